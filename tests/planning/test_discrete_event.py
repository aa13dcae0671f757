"""The ring in virtual time is the real ring: it is as fast as one can reckon, and sends what one can count."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.planning import formulas
from streammac.planning.constants import HopCost
from streammac.planning.discrete_event import simulate
from streammac.planning.outlook import outlook
from streammac.planning.workload import CodeWorkload
from tests.planning.rings import equal


def test_one_worker_does_one_thing_after_the_other():
    work, costs = CodeWorkload(10_000, 128, 32), equal()
    alone = simulate(work, costs, 1)
    assert alone.epoch_s == pytest.approx(formulas.epoch_s(work, costs, 1))
    assert alone.busy == pytest.approx(1.0)
    assert alone.hops == 0


@settings(max_examples=8)
@given(st.integers(2, 9), st.sampled_from([1, 2, 4, 8]), st.integers(1, 3))
def test_it_sends_as_many_bytes_as_one_can_count(workers, block_bits, laps):
    work, costs = CodeWorkload(100_000, 128, 32, laps, block_bits), equal()
    ring = simulate(work, costs, workers)
    blocks = len(work.pieces(workers)) // 2
    # in training (laps P - 1) hops, then P - 1; the order changes only from epoch to epoch
    assert ring.hops == blocks * ((laps * workers - 1) + (workers - 1) + 2 * (workers - 1))
    assert ring.sent_bytes == pytest.approx(formulas.epoch_bytes(work, costs, workers))


@settings(max_examples=8)
@given(st.integers(2, 9), st.sampled_from([1, 4, 8]), st.floats(0, 0.01))
def test_it_is_never_faster_than_its_work_and_slower_than_the_formula_by_little(
    workers, block_bits, latency_s
):
    work = CodeWorkload(1_000_000, 128, 32, 2, block_bits)
    costs = equal().elsewhere(latency_s=latency_s)
    ring = simulate(work, costs, workers)
    alone = formulas.epoch_s(work, costs, 1)
    assert ring.epoch_s >= alone / workers * (1 - 1e-9)
    # an epoch begins where the one before ends, but not with the same blocks at the same workers
    assert ring.epoch_s <= 1.35 * formulas.epoch_s(work, costs, workers)


def test_hops_hide_behind_the_work_where_a_worker_has_several_blocks():
    # the formula counts all hops; here blocks travel while others are trained
    work, costs = CodeWorkload(100_000, 128, 32, block_bits=1), equal(t_cw=0.005)
    assert simulate(work, costs, 4).epoch_s < 0.8 * formulas.epoch_s(work, costs, 4)


def test_a_narrow_network_is_a_queue():
    work = CodeWorkload(10_000, 128, 32, block_bits=8)
    wide, narrow = (simulate(work, equal().elsewhere(byte_s=s), 4).epoch_s for s in (0.0, 1e-5))
    sent = formulas.epoch_bytes(work, equal(), 4) / 4
    assert narrow - wide > 0.5 * sent * 1e-5
    assert simulate(work, equal(), 4) == simulate(work, equal(), 4)


def test_both_agree_where_the_paper_says_that_the_speed_up_is_perfect():
    work, costs = CodeWorkload(10_000_000, 128, 64, block_bits=1), equal(t_cw=1e-4, bits=64)
    for one in outlook(work, costs, [1, 2, 16]):
        assert one.formula_speedup == pytest.approx(one.workers, rel=0.02)
        assert one.simulated_speedup == pytest.approx(one.workers, rel=0.06)
        assert one.refresh_s == 2 * one.simulated_s


def test_faster_machines_and_other_networks():
    there = equal().elsewhere(speed=2.0, latency_s=0.5, byte_s=1e-6)
    assert there.visits["encoder"].submodel_s == equal().visits["encoder"].submodel_s / 2
    assert there.z_step_s(1000) == equal().z_step_s(1000) / 2
    assert there.hop == HopCost(0.5, 1e-6)


def test_what_is_done_once_for_all_blocks_is_done_once_at_each_worker():
    work = CodeWorkload(6400, 128, 32, laps=3, block_bits=1)
    for workers in (1, 8):
        cost, dear = equal(t_cw=0.0), replace(equal(t_cw=0.0), once_point_s=1e-3)
        more = formulas.epoch_s(work, dear, workers) - formulas.epoch_s(work, cost, workers)
        assert more == pytest.approx(6.4 / workers)
        took = simulate(work, dear, workers).epoch_s - simulate(work, cost, workers).epoch_s
        assert took == pytest.approx(6.4 / workers, rel=0.3)
