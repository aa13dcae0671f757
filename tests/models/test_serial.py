"""The order of everything in ParMAC: who trains what when, and at which mu."""

from __future__ import annotations

from itertools import islice

import numpy as np

from streammac.models.arrays import ArrayShard
from streammac.models.base import Block
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.models.shuffling import RUN, ring_order
from tests.models.recorder import Recorder

MEMBERS = {"w1": 1.0, "w2": 2.0, "w3": 3.0}
"""The one point of each."""
PLAN = VisitPlan(seed=5, minibatch=8)


def epochs(count, slices=1, points=1):
    """Return what is asked of a model in each epoch, and what comes out."""
    model = Recorder(Block("b0", 2), Block("b1", 1), initial=(Block("init", 3),), slices=slices)
    shards = {
        name: ArrayShard(np.full((points, 1), x, np.float32), ((1,), np.dtype(np.int64)))
        for name, x in MEMBERS.items()
    }
    steps = parmac(model, shards, PLAN)
    for params, objective in islice(steps, count):
        yield model.calls, params, objective
        model.calls = []


def trained(name, laps, members, age):
    """Return what training a block is: from member to member, lap after lap."""
    yield "start", name, 1, age
    for lap in range(laps):
        for member in members:
            yield "visit", name, lap, MEMBERS[member]
        yield "end of lap", name, lap


def without_z(calls):
    """Return the calls, of each visit the one point."""
    return [
        (*call[:3], call[3][0][0].item()) if call[0] == "visit" else call
        for call in calls
        if call[0] != "z step"
    ]


def test_a_fresh_model_is_made_of_points_without_coordinates():
    calls, params, _ = next(epochs(1))
    order = ring_order(list(MEMBERS), PLAN.seed, 0)
    assert without_z(calls) == list(trained("init", 3, order, 0))
    assert all(z is None for call in calls if call[0] == "visit" for _, z, _ in call[3])
    assert params == {"init": [3 * len(MEMBERS) + 300]}


def test_every_block_goes_round_the_ring_from_a_start_of_its_own():
    for epoch, (calls, params, _) in enumerate(epochs(4)):
        if epoch == 0:
            continue
        order = ring_order(list(MEMBERS), PLAN.seed, epoch)
        assert without_z(calls) == [
            *trained("b0", 2, order, epoch - 1),
            *trained("b1", 1, (*order[1:], order[0]), epoch - 1),
        ]
        assert params == {"init": [309], "b0": [206], "b1": [103]}


def test_the_coordinates_are_improved_after_every_w_step():
    mus = []
    for epoch, (calls, _, objective) in enumerate(epochs(4)):
        steps = [call for call in calls if call[0] == "z step"]
        assert [numbers for _, numbers, _ in steps] == [[x] for x in MEMBERS.values()]
        assert calls[-3:] == steps
        mus.append({mu for _, _, mu in steps})
        assert objective.points == 3
        for call in calls:
            if call[0] == "visit" and epoch:
                ((x, z, _),) = call[3]
                # h(x) is x + 1, and every Z step adds one
                assert z.item() == x.item() + 1 + epoch
    assert mus == [{10.0}, {10.0}, {11.0}, {12.0}]


def test_an_epoch_trains_on_a_slice_whose_coordinates_the_one_before_has_renewed():
    """With two slices: every Z step adds one to the coordinates of those rows that the next epoch visits."""
    seen = []
    for epoch, (calls, _, objective) in enumerate(epochs(6, slices=2, points=4 * RUN)):
        visits = [call for call in calls if call[0] == "visit" and call[1] == "b1"]
        if epoch:
            seen.append(
                {
                    int(z - x)
                    for call in visits
                    for xs, zs, _ in call[3]
                    for x, z in zip(xs.ravel(), zs.ravel(), strict=True)
                }
            )
            assert sum(len(xs) for call in visits for xs, *_ in call[3]) == 3 * 2 * RUN
        assert objective.points == 3 * 2 * RUN
        steps = {call[2] for call in calls if call[0] == "z step"}
        assert steps == {10.0 + max(0, epoch - 1) / 2}
    # h(x) is x + 1; in a pass each row is renewed once
    assert seen == [{2}, {2}, {3}, {3}, {4}]
