"""Held-out and publisher: what is measured, what is promoted, and that quality cannot creep down."""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.coordinator.epoch_reports import EpochResult
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.publishing import versions
from streammac.publishing.held_out import LEAST_POINTS, HeldOutSample, Measurement
from streammac.publishing.publisher import Publisher, judge
from streammac.publishing.versions import VersionError, VersionStore
from streammac.settings.schema import HeldOut as HeldOutSettings
from streammac.settings.schema import Settings
from streammac.wire.messages import EpochPlan
from tests.patience import wait_for

BITS = 16


def digits() -> np.ndarray:
    return np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))


@pytest.fixture(scope="module")
def params():
    return BinaryAutoencoder(bits=BITS, epochs=3).fit(digits()).params_


def spoiled(params, rows=BITS):
    """The same model with the hash functions of some bits set to chance."""
    rng = np.random.default_rng(1)
    worse = dict(params)
    weight = worse["encoder/0/weight"].copy()
    weight[:rows] = rng.standard_normal(weight[:rows].shape)
    return worse | {"encoder/0/weight": weight}


def measurement(quality: float) -> Measurement:
    return Measurement("share", quality, 0.0, 0.0, 0.0, 100, 50)


def result_of(params, epoch: int) -> EpochResult:
    sums = {"points": 10.0, "nested": 5.0}
    return EpochResult(epoch, EpochPlan(), EpochPlan(age=1), 0.1, sums, {}, 1.0, params)


class TestJudge:
    def test_the_first_version_is_promoted(self):
        assert judge(None, None, 0, 0.01) == (True, "the first version")

    def test_a_version_a_little_worse_is_promoted(self):
        assert judge(measurement(0.495), measurement(0.5), 3, 0.01)[0]

    def test_a_version_much_worse_stays_a_candidate_and_says_why(self):
        promoted, reason = judge(measurement(0.48), measurement(0.5), 3, 0.01)
        assert not promoted
        assert "0.4800" in reason
        assert "0.5000" in reason

    def test_without_a_probe_there_is_nothing_to_object_to(self):
        assert judge(None, None, 3, 0.01)[0]


class TestHeldOutSample:
    def test_too_few_points_measure_nothing(self):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        held_out.add(digits()[: LEAST_POINTS - 1])
        assert held_out.task(BITS) is None
        held_out.add(digits()[:1])
        assert held_out.task(BITS) is not None

    def test_a_good_model_measures_better_than_a_spoiled_one(self, params):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        held_out.add(digits()[:1000])
        model = BinaryAutoencoderModel(bits=BITS)
        task = held_out.task(BITS)
        good, bad = task.measure(model, params), task.measure(model, spoiled(params))
        assert good.model > bad.model + 0.05
        assert good.itq == bad.itq
        assert good.itq > good.random

    def test_measurements_tell_of_each_query_and_which_of_them_are_of_the_same_ones(self, params):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        held_out.add(digits()[:400])
        model = BinaryAutoencoderModel(bits=BITS)
        first = held_out.task(BITS).measure(model, params)
        assert first.leading.shape == (first.queries,)
        assert first.leading.mean() == pytest.approx(first.model)
        assert held_out.task(BITS).measure(model, spoiled(params)).probe == first.probe
        held_out.add(digits()[400:600])
        assert held_out.task(BITS).measure(model, params).probe != first.probe
        assert not {"leading", "probe"} & set(first.summary())

    def test_a_bit_that_is_always_the_same_shows(self, params):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        held_out.add(digits()[:1000])
        task = held_out.task(BITS)
        stuck = dict(params)
        stuck["encoder/0/bias"] = stuck["encoder/0/bias"].copy()
        stuck["encoder/0/bias"][0] = 1e6
        model = BinaryAutoencoderModel(bits=BITS)
        good, bad = task.measure(model, params), task.measure(model, stuck)
        assert 0.5 < good.least_entropy < good.entropy <= 1
        assert bad.least_entropy == 0
        assert bad.entropy == pytest.approx(good.entropy * (BITS - 1) / BITS, abs=0.06)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
    def test_points_that_are_not_finite_or_out_of_range_are_refused(self, value):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        x = digits()[:200]
        x[7, 3] = value
        assert held_out.add(x) == 1
        assert held_out.task(BITS).points == 199
        assert held_out.add(np.ones((5, 3), np.float32)) == 5  # of another length
        assert held_out.add(np.ones(5, np.float32)) == 5

    def test_one_outlier_does_not_decide_what_the_baselines_are_worth(self, params):
        model, x = BinaryAutoencoderModel(bits=BITS), digits()[:1000]
        clean, odd = HeldOutSample(HeldOutSettings(), 0), HeldOutSample(HeldOutSettings(), 0)
        clean.add(x[1:])
        odd.add(np.concatenate([x[1:500], np.full((1, x.shape[1]), 1e12, np.float32), x[500:]]))
        assert odd.task(BITS).points == 999
        assert odd.task(BITS).measure(model, params) == clean.task(BITS).measure(model, params)

    def test_the_sample_is_bounded_and_follows_the_feed(self):
        held_out = HeldOutSample(HeldOutSettings(points=200), 0)
        held_out.add(np.zeros((200, 3), np.float32))
        for _ in range(20):
            held_out.add(np.ones((200, 3), np.float32))
        assert held_out._filled == 200
        assert held_out._points.min() == 1.0

    def test_measuring_again_uses_the_same_task_until_the_sample_has_changed(self):
        held_out = HeldOutSample(HeldOutSettings(), 0)
        held_out.add(digits()[:400])
        first = held_out.task(BITS)
        held_out.add(digits()[400:410])
        assert held_out.task(BITS) is first
        held_out.add(digits()[410:600])
        assert held_out.task(BITS) is not first


class TestPublisher:
    def publish(self, publisher, params, epoch):
        """Hand over a finished epoch and wait for its version."""
        before = publisher.published.version
        publisher.offer(result_of(params, epoch), 10)
        wait_for(lambda: publisher.published.version != before)
        assert publisher.published.version == before + 1

    @pytest.fixture
    def publisher(self, tmp_path):
        settings = Settings.model_validate(
            {"model": {"bits": BITS}, "publish": {"interval_s": 0.0, "keep": 50}}
        )
        publisher = Publisher(settings, VersionStore(tmp_path, 50))
        publisher.observe({"x": digits()[:1000]})
        publisher.start()
        yield publisher
        publisher.stop()

    def test_a_bad_version_stays_a_candidate(self, publisher, params):
        self.publish(publisher, params, 0)
        self.publish(publisher, spoiled(params), 1)
        assert (publisher.published.version, publisher.published.current) == (2, 1)
        assert "worse by more than" in publisher.published.reason
        assert publisher.published.quality.version == 1, (
            "what is shown is the quality that users get"
        )
        self.publish(publisher, params, 2)
        assert publisher.published.current == 3
        assert publisher.published.resume["epoch"] == 3

    def test_a_full_disk_costs_versions_and_not_the_publisher(
        self, publisher, params, tmp_path, monkeypatch
    ):
        self.publish(publisher, params, 0)

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(versions.document, "save", full)  # the model fits, its number does not
            publisher.offer(result_of(params, 1), 10)
            wait_for(lambda: publisher._trouble)
            with pytest.raises(OSError, match="No space left"):
                publisher.check()
            assert publisher.versions.list() == (1,), "no file is left of it"
        self.publish(publisher, params, 2)
        publisher.check()
        assert publisher.published.version == 2

    @pytest.mark.parametrize(
        "trouble",
        [VersionError("NaN or infinite"), ArithmeticError("x")],
    )
    def test_an_epoch_that_cannot_be_published_is_told_of_and_the_next_one_is(
        self, publisher, params, monkeypatch, trouble
    ):
        def fail(*_):
            raise trouble

        with monkeypatch.context() as patch:
            patch.setattr(publisher.versions, "publish", fail)
            publisher.offer(result_of(params, 4), 10)
            wait_for(lambda: publisher.published.trouble)
        assert publisher.published.trouble.startswith(f"epoch 4: {type(trouble).__name__}")
        self.publish(publisher, params, 5)
        assert publisher.published.trouble == ""

    @pytest.mark.parametrize("made_up", [{"b/0": np.ones(3)}, {}])
    def test_arrays_that_are_no_model_are_not_published(self, publisher, params, made_up):
        self.publish(publisher, params, 4)
        publisher.offer(result_of(made_up or {k: np.ones(1) for k in params}, 5), 100)
        wait_for(lambda: publisher.published.trouble)
        assert publisher.published.trouble.startswith("epoch 5: ")
        assert publisher.published.current == 1

    def test_a_model_that_is_not_finite_is_not_published(self, publisher, params):
        weight = np.full_like(params["encoder/0/weight"], np.nan)
        publisher.offer(result_of(params | {"encoder/0/weight": weight}, 0), 10)
        wait_for(lambda: publisher.published.trouble)
        assert publisher.versions.list() == ()

    def test_a_version_of_unknown_objective_says_so(self, publisher, params):
        publisher.offer(replace(result_of(params, 0), sums={}), 10)
        wait_for(lambda: publisher.published.version)
        assert publisher.versions.load(1).metadata["objective"] is None

    def test_quality_cannot_creep_down_step_by_step(self, publisher, params, monkeypatch):
        """Each version is within the tolerance of the one before it, but not of the best."""
        quality = iter([0.5, 0.5, 0.495, 0.49, 0.485, 0.48])
        known: dict[int, float] = {}

        def measure(_model, tensors):
            key = int(tensors["mark"][0])
            if key not in known:
                known[key] = next(quality)
            return replace(measurement(known[key]))

        monkeypatch.setattr(publisher, "_measure", measure)
        for epoch in range(6):
            self.publish(publisher, params | {"mark": np.array([epoch])}, epoch)
        best = max(known.values())
        assert (
            known[int(publisher.versions.load(publisher.published.current).tensors["mark"][0])]
            >= best - 0.011
        )
