"""Constants are measured with the real model, kept, and refused where they do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from streammac.planning import constants as kept
from streammac.planning.calibration import calibrate, narrowest, synthetic
from streammac.planning.constants import HopCost, VisitCost
from streammac.planning.hops import measure
from streammac.planning.outlook import outlook
from streammac.planning.workload import BadPlan, CodeWorkload, NetWorkload
from tests.planning.rings import equal
from workers.transports.zeromq import ZeroMQTransport

WORK = CodeWorkload(4096, 16, 16)


@pytest.fixture(scope="module")
def measured():
    x = synthetic(WORK)
    return calibrate(WORK, x, narrowest(WORK, [2]), HopCost(1e-4, 1e-9), "here")


def test_the_real_model_is_measured(measured):
    measured.check(WORK)
    assert (measured.machine, measured.vectors) == ("here", "4,096 float32")
    for piece in WORK.pieces(2):
        assert 1e-6 < measured.visit_s(piece, 2048) < 1.0
        # weights of 16 inputs, in training with their sums
        assert measured.token_bytes(piece, final=False) >= measured.token_bytes(piece, final=True)
        assert measured.token_bytes(piece, final=True) > 8 * 16 * 4
    # decoders share one pass over the points: in more blocks they do not take longer
    once = measured.once_s(10**6)
    alone, parts = (
        once + sum(measured.visit_s(p, 10**6) for p in WORK.pieces(count) if p.kind == "decoder")
        for count in (1, 2)
    )
    assert parts == pytest.approx(alone, rel=0.1)
    assert measured.z_step_s(4096) > measured.z_step_s(64) > 0
    assert measured.once_s(4096) > 0


@pytest.mark.parametrize("classes", [0, 3])
def test_so_is_a_real_net(classes):
    net = NetWorkload(4096, 16, (32, 24), classes, slice_points=1024)
    found = calibrate(net, synthetic(net), narrowest(net, [2]), HopCost(1e-4, 1e-9), "here")
    found.check(net)
    with pytest.raises(BadPlan, match="these constants are of a net 16-32-24"):
        found.check(CodeWorkload(4096, 16, 16))
    for piece in net.pieces(2):
        assert 1e-6 < found.visit_s(piece, 512) < 1.0
        assert found.token_bytes(piece, final=True) > piece.submodels * 16 * 4
    assert found.once_s(10**6) == 0
    assert (net.slices(2), net.shard_points(2)) == (4, 512)
    alone, two = outlook(net, found, [1, 2])
    assert two.refresh_s == 5 * two.simulated_s
    assert two.simulated_s < 1.5 * alone.simulated_s


def test_what_is_kept_is_read_again(measured, tmp_path):
    kept.write(tmp_path / "constants.json", measured)
    assert kept.read(tmp_path / "constants.json") == measured


def test_too_few_points_are_refused():
    with pytest.raises(
        BadPlan, match="at least 2,048 vectors of 16 numbers to measure on, got 5 of 16"
    ):
        calibrate(WORK, np.zeros((5, 16), np.float32), 8, HopCost(0, 0), "here")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "truncated"),
        ("{}", "machine"),
        ('{"machine": 3}', r"\$.machine"),
        ("\udcff", "no constants"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, told):
    path = tmp_path / "constants.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadPlan, match=told):
        kept.read(path)


def test_constants_of_something_else_are_refused():
    with pytest.raises(BadPlan, match="dim: these constants are of 128, the plan is for 64"):
        equal().check(CodeWorkload(1000, 64, 32))
    with pytest.raises(BadPlan, match="model: these constants are of codes of 32 bits, the plan"):
        equal().check(CodeWorkload(1000, 128, 16))
    with pytest.raises(BadPlan, match="nothing is said of 'decoder'"):
        replace(equal(), visits={"encoder": VisitCost(0, 0, 0)}).check(CodeWorkload(1000, 128, 32))
    with pytest.raises(BadPlan, match="finite"):
        replace(equal(), z_point_s=-1.0).check(CodeWorkload(1000, 128, 32))
    with pytest.raises(BadPlan, match="finite"):
        replace(equal(), hop=HopCost(float("nan"), 0)).check(CodeWorkload(1000, 128, 32))


def test_hops_of_a_real_transport_are_measured():
    import zmq

    with zmq.Context() as context:
        here, there = ZeroMQTransport(context), ZeroMQTransport(context)
        found = measure(here, there, rounds=5)
        here.close()
        there.close()
    assert 1e-6 < found.latency_s < 1
    assert 0 <= found.byte_s < 1e-6
