"""The runtime model is the paper's where all blocks are alike, and its limits are those of the paper."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.planning.formulas import epoch_bytes, epoch_s, w_step_s, z_step_s
from streammac.planning.workload import BadPlan, CodeWorkload
from tests.planning.rings import equal

TIMES = st.floats(1e-9, 1e-2)


@given(st.integers(1, 64), st.integers(1, 200), TIMES, TIMES, TIMES, st.integers(1000, 10**8))
def test_equal_blocks_take_the_time_of_the_paper(bits, workers, t_rw, t_cw, t_rz, points):
    # one lap, as the decoders have: M = 2 L equal submodels
    work = CodeWorkload(points, 128, bits, laps=1, block_bits=1)
    costs = equal(t_rw, t_cw, 2 * bits * t_rz, bits)
    M, P, N, e = 2 * bits, workers, points, 1
    hops = (e + 1) * P * t_cw if P > 1 else 0
    paper = M * (N / P) * t_rz + ceil(M / P) * (hops + e * N * t_rw)
    assert epoch_s(work, costs, workers) == pytest.approx(paper)


@given(st.sampled_from([2, 4, 8, 16, 32, 64]), TIMES, TIMES, TIMES)
def test_the_speed_up_is_that_of_the_paper(workers, t_rw, t_cw, t_rz):
    # M = 64 is a multiple of P: S(P) = P / (1 + P / (rho N))
    points, e = 1_000_000, 1
    work = CodeWorkload(points, 128, 32, laps=e, block_bits=1)
    costs = equal(t_rw, t_cw, 64 * t_rz)
    rho = (t_rz + e * t_rw) / ((e + 1) * t_cw)
    speedup = epoch_s(work, costs, 1) / epoch_s(work, costs, workers)
    assert speedup == pytest.approx(workers / (1 + workers / (rho * points)))


def test_more_workers_than_blocks_help_in_the_z_step_alone():
    work, costs = CodeWorkload(1_000_000, 128, 8, block_bits=8), equal(bits=8)
    assert w_step_s(work, costs, 64) == pytest.approx(w_step_s(work, costs, 4), rel=0.2)
    assert z_step_s(work, costs, 64) == pytest.approx(z_step_s(work, costs, 4) / 16)


def test_one_worker_sends_nothing():
    assert epoch_bytes(CodeWorkload(1000, 128, 32), equal(), 1) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("points", 0),
        ("dim", 1 << 30),
        ("bits", 0),
        ("laps", 0),
        ("block_bits", 64),
        ("points", 10**20),
    ],
)
def test_absurd_numbers_are_refused_by_name(field, value):
    good = {"points": 1000, "dim": 128, "bits": 32}
    with pytest.raises(BadPlan, match=f"{field}: expected a number from .* got {value:,}"):
        CodeWorkload(**(good | {field: value}))


@pytest.mark.parametrize("workers", [0, 1025])
def test_a_ring_that_cannot_be_is_refused(workers):
    with pytest.raises(BadPlan, match="workers: expected a number from 1 to"):
        CodeWorkload(10**6, 128, 32).check_workers(workers)
    with pytest.raises(BadPlan, match=r"from 1 to 3 \(points\), got 4"):
        CodeWorkload(3, 128, 32).check_workers(4)
