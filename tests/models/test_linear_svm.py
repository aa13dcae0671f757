"""Groups of SVMs: their step sizes, margins, averages, and how eta0 is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streammac.models.linear_svm import (
    CANDIDATES,
    TUNING_PASSES,
    TUNING_POINTS,
    SvmState,
    train,
)


def untrained(machines=3, dim=5, eta0=0.0) -> SvmState:
    weight, bias = np.zeros((machines, dim), np.float32), np.zeros(machines, np.float32)
    return SvmState(weight, bias, np.full(machines, eta0))


def problem(points, machines=3, dim=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((points, dim)).astype(np.float32)
    return x, (x @ rng.standard_normal((dim, machines)) > 0.3).astype(np.uint8)


def cut(x, bits, size):
    return [(x[i : i + size], bits[i : i + size]) for i in range(0, len(x), size)]


class TestSteps:
    """One input, one machine, and points that stay inside the margin: every gradient is the same."""

    X = 0.01
    ETA0 = 0.05

    def after(self, points, decay, *, bit=1, start=0.0, size=1, steps=0) -> SvmState:
        x = np.full((points, 1), self.X, np.float32)
        bits = np.full((points, 1), bit, np.uint8)
        weight, bias = np.full((1, 1), start, np.float32), np.zeros(1, np.float32)
        begun = SvmState(weight, bias, np.array([self.ETA0]), steps)
        return train(begun, cut(x, bits, size), 1.0, decay, average=False)

    @pytest.mark.parametrize("decay", [1e-3, 0.5, 3.0])
    def test_decay_as_bottou_has_it(self, decay):
        """With eta0 / (1 + lambda eta0 t) what the steps add is averaged: no step outweighs another."""
        state = self.after(8, decay, start=2.0)
        last = 1 + decay * self.ETA0 * 7
        mean = ((1 - decay * self.ETA0) * 2.0 + 8 * self.ETA0 * self.X) / last
        assert state.weight.item() == pytest.approx(mean, rel=1e-5)
        steps = self.ETA0 / (1 + decay * self.ETA0 * np.arange(8))
        assert state.bias.item() == pytest.approx(steps.sum(), rel=1e-5)

    def test_go_on_where_the_former_visit_stopped(self):
        whole = self.after(8, 3.0)
        half = self.after(4, 3.0)
        assert half.steps == 4
        rest = self.after(4, 3.0, start=half.weight.item(), steps=4)
        assert rest.weight.item() == pytest.approx(whole.weight.item(), rel=1e-5)
        assert rest.steps == whole.steps == 8

    def test_of_a_minibatch_follow_its_mean(self):
        state = self.after(8, 0.0, size=4)
        assert state.weight.item() == pytest.approx(2 * self.ETA0 * self.X, rel=1e-5)
        assert state.bias.item() == pytest.approx(2 * self.ETA0, rel=1e-5)
        assert state.steps == 8

    def test_of_a_bit_that_is_off_go_the_other_way(self):
        on, off = self.after(8, 0.1), self.after(8, 0.1, bit=0)
        assert off.weight.item() == -on.weight.item() < 0
        assert off.bias.item() == -on.bias.item() < 0


@pytest.mark.parametrize(
    ("x", "bit", "pushed"),
    [(0.74, 1, True), (0.75, 1, False), (-0.74, 1, True), (-1.24, 0, True), (-1.25, 0, False)],
)
def test_only_points_inside_the_margin_push(x, bit, pushed):
    """Weight 1 on inputs divided by 0.5, offset -0.5: the margins are at 0.75 and -0.25."""
    state = SvmState(np.ones((1, 1), np.float32), np.full(1, -0.5, np.float32), np.array([0.1]))
    if bit == 0:
        x += 1.0
    batch = [(np.array([[x]], np.float32), np.array([[bit]], np.uint8))]
    after = train(state, batch, 0.5, 0.0, average=False)
    step = 0.1 * (2 * bit - 1) * pushed
    assert after.bias.item() == pytest.approx(-0.5 + step)
    assert after.weight.item() == pytest.approx(1.0 + step * x / 0.5)


def test_machines_do_not_disturb_each_other():
    x, bits = problem(200)
    together = train(untrained(3, eta0=0.1), cut(x, bits, 20), 2.0, 1e-3, average=False)
    for one in range(3):
        alone = train(untrained(1, eta0=0.1), cut(x, bits[:, [one]], 20), 2.0, 1e-3, average=False)
        np.testing.assert_allclose(together.weight[one], alone.weight[0], rtol=1e-4, atol=1e-6)
        assert together.bias[one] == pytest.approx(alone.bias[0], abs=1e-6)


class TestAverage:
    def test_is_the_mean_over_the_minibatches_of_all_visits(self):
        x, bits = problem(60)
        single = untrained(eta0=0.1)
        weights, biases = [], []
        for batch in cut(x, bits, 10):
            single = train(single, [batch], 1.0, 1e-2, average=False)
            weights.append(single.weight)
            biases.append(single.bias)
        state = untrained(eta0=0.1)
        for visit in (slice(0, 20), slice(20, 60)):
            state = train(state, cut(x[visit], bits[visit], 10), 1.0, 1e-2, average=True)
        assert state.summed == 6
        np.testing.assert_allclose(state.weight, weights[-1], rtol=1e-5)
        done = state.averaged()
        np.testing.assert_allclose(done.weight, np.mean(weights, axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(done.bias, np.mean(biases, axis=0), rtol=1e-4, atol=1e-6)
        assert (done.eta0.tolist(), done.steps) == ([0.1] * 3, 60)
        assert (done.weight_sum, done.bias_sum, done.summed) == (None, None, 0)

    def test_is_not_taken_where_it_is_not_asked_for(self):
        state = train(untrained(eta0=0.1), cut(*problem(20), 10), 1.0, 1e-2, average=False)
        assert (state.weight_sum, state.bias_sum, state.summed) == (None, None, 0)
        assert state.averaged().weight is state.weight

    def test_of_nothing_are_the_weights(self):
        eta0 = np.array([0.1])
        state = SvmState(np.ones((1, 1)), np.ones(1), eta0, 5, np.ones((1, 1)), np.ones(1), 0)
        done = state.averaged()
        assert done.weight is state.weight
        assert (done.weight_sum, done.bias_sum, done.steps) == (None, None, 5)


def test_a_state_that_has_travelled_is_left_as_it_came():
    begun = train(untrained(eta0=0.1), cut(*problem(20), 10), 1.0, 1e-2, average=True)
    kept = [np.copy(t) for t in (begun.weight, begun.bias, begun.weight_sum, begun.bias_sum)]
    train(begun, cut(*problem(20), 10), 1.0, 1e-2, average=True)
    now = (begun.weight, begun.bias, begun.weight_sum, begun.bias_sum)
    for before, after in zip(kept, now, strict=True):
        np.testing.assert_array_equal(before, after)


class TestTuning:
    SIZE = 100
    DECAY = 0.05

    def penalised(self, state, x, bits, scale):
        margins = (x / scale @ state.weight.T + state.bias) * (2.0 * bits - 1.0)
        hinge = np.maximum(0.0, 1.0 - margins).mean(axis=0)
        return hinge + self.DECAY / 2 * (state.weight**2).sum(axis=1)

    @pytest.mark.parametrize(("scale", "start"), [(0.1, 0.0), (1.0, 0.0), (20.0, 0.0), (1.0, -3.0)])
    def test_takes_for_each_the_step_size_that_does_best_on_the_first_points(self, scale, start):
        x, bits = problem(TUNING_POINTS + 500)
        weight, bias = np.full((3, 5), start, np.float32), np.zeros(3, np.float32)
        bits[TUNING_POINTS:] ^= 1  # what comes later has no say
        first = slice(0, TUNING_POINTS)
        losses = []
        for eta0 in CANDIDATES:
            trial = SvmState(weight, bias, np.full(3, eta0))
            for _ in range(TUNING_PASSES):
                batches = cut(x[first], bits[first], self.SIZE)
                trial = train(trial, batches, scale, self.DECAY, average=False)
            losses.append(self.penalised(trial, x[first], bits[first], scale))
        best = [CANDIDATES[i] for i in np.argmin(losses, axis=0)]
        begun = SvmState.untuned(weight, bias)
        got = train(begun, cut(x, bits, self.SIZE), scale, self.DECAY, average=False)
        assert got.eta0.tolist() == best

    def test_uses_up_no_points_and_is_done_once(self):
        x, bits = problem(400)
        tuned = train(untrained(), iter(cut(x.copy(), bits, self.SIZE)), 1.0, 1e-3, average=False)
        assert tuned.steps == 400
        begun = replace(untrained(), eta0=tuned.eta0)
        known = train(begun, cut(x, bits, self.SIZE), 1.0, 1e-3, average=False)
        np.testing.assert_array_equal(tuned.weight, known.weight)
        later = train(tuned, cut(-x, bits, self.SIZE), 1.0, 1e-3, average=False)
        assert later.eta0 is tuned.eta0

    def test_keeps_points_whose_memory_is_used_again(self):
        """A shard reads every minibatch into the same memory."""
        x, bits = problem(400)
        scratch = np.empty((self.SIZE, 5), np.float32)

        def batches():
            for part, wanted in cut(x, bits, self.SIZE):
                scratch[:] = part
                yield scratch, wanted

        reused = train(untrained(), batches(), 1.0, 1e-3, average=False)
        plain = train(untrained(), cut(x, bits, self.SIZE), 1.0, 1e-3, average=False)
        np.testing.assert_array_equal(reused.weight, plain.weight)
