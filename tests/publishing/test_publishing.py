"""Held-out and publisher: what is measured, what is published, promoted and gone on from."""

from __future__ import annotations

import errno
import threading
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.coordinator.epoch_reports import EpochResult
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.publishing import versions
from streammac.publishing.publisher import Publisher
from streammac.publishing.versions import VersionError, VersionStore
from streammac.publishing.writing import UNMEASURED
from streammac.settings.schema import Settings
from streammac.wire.messages import EpochPlan
from tests.patience import PATIENCE_S, wait_for
from tests.publishing.asked import Asked

BITS = 16
WEIGHT, OFFSETS = f"encoder/0-{BITS - 1}/weight", "decoder/0-63/bias"


def digits() -> np.ndarray:
    return np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))


@pytest.fixture(scope="module")
def params():
    return BinaryAutoencoder(bits=BITS, epochs=3).fit(digits()).params_


def spoiled(params, rows=BITS):
    """The same model with the hash functions of some bits set to chance."""
    rng = np.random.default_rng(1)
    worse = dict(params)
    weight = worse[WEIGHT].copy()
    weight[:rows] = rng.standard_normal(weight[:rows].shape)
    return worse | {WEIGHT: weight}


def varied(params, number):
    """The same codes from other hash functions."""
    return params | {WEIGHT: params[WEIGHT] * np.float32(1 + number / 64)}


def result_of(params, epoch: int, age: int = 0, restart: int = 0) -> EpochResult:
    sums = {"points": 10.0, "nested": 5.0}
    plan, following = (EpochPlan(age=a, restart=restart) for a in (age, age + 1))
    return EpochResult(epoch, plan, following, 0.1, sums, {}, 1.0, params)


@pytest.fixture
def publisher_of(tmp_path):
    """Makes publishers, with workers that have the other points."""
    x, model = digits()[1000:], BinaryAutoencoderModel(bits=BITS)
    with ExitStack() as stack:

        def make(held_out: int = 1000, keep: int = 50, change=lambda answer: answer, **training):
            settings = Settings.model_validate(
                {
                    "model": {"bits": BITS},
                    "publish": {"interval_s": 0.0, "keep": keep},
                    "training": training,
                }
            )
            publisher = Publisher(settings, VersionStore(tmp_path, keep))
            publisher.observe({"x": digits()[:held_out]})
            shards = {"w1": x[:300], "w2": x[300:]}
            stack.enter_context(Asked(publisher.prober.inquiry, model, shards, change))
            return publisher

        yield make


class TestPublisher:
    def publish(self, publisher, params, epoch):
        """Hand over a finished epoch and wait for its version."""
        before = publisher.published.version
        publisher.offer(result_of(params, epoch), 10)
        wait_for(lambda: publisher.published.judged != before)
        assert publisher.published.version == before + 1

    @pytest.fixture
    def publisher(self, publisher_of):
        publisher = publisher_of()
        publisher.start()
        yield publisher
        publisher.stop()

    def test_a_full_disk_costs_versions_and_not_the_publisher(
        self, publisher, params, tmp_path, monkeypatch
    ):
        self.publish(publisher, params, 0)

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(versions.document, "save", full)  # the model fits, its number does not
            publisher.offer(result_of(varied(params, 1), 1), 10)
            wait_for(lambda: publisher._trouble)
            with pytest.raises(OSError, match="No space left"):
                publisher.check()
            assert publisher.versions.list() == (1,), "no file is left of it"
        # a ring that rests has no other epoch to offer
        wait_for(lambda: publisher._trouble is None)
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
        weight = np.full_like(params[WEIGHT], np.nan)
        publisher.offer(result_of(params | {WEIGHT: weight}, 0), 10)
        wait_for(lambda: publisher.published.trouble)
        assert publisher.versions.list() == ()

    def test_a_version_of_unknown_objective_says_so(self, publisher, params):
        publisher.offer(replace(result_of(params, 0), sums={}), 10)
        wait_for(lambda: publisher.published.version)
        assert publisher.versions.load(1).metadata["objective"] is None

    def test_at_the_end_the_newest_epoch_is_published_and_no_time_is_spent_on_measuring(
        self, publisher, params
    ):
        self.publish(publisher, params, 0)
        with publisher._signal:
            publisher.offer(result_of(varied(params, 1), 1), 10)
            publisher.offer(result_of(spoiled(params), 2), 10)
            publisher._ending = True
        publisher.stop()
        assert publisher.published.version == 2
        assert publisher.published.current == 1
        assert publisher.versions.load(2).metadata["epoch"] == 2
        assert "could not be measured" in publisher.versions.load(2).metadata["reason"]

    def test_of_too_many_epochs_that_wait_the_oldest_give_way(self, publisher_of, params):
        publisher = publisher_of()
        for epoch in range(20):
            publisher.offer(result_of(varied(params, epoch), epoch, age=epoch % 5), 10)
        assert [result.epoch for result, _ in publisher._waiting] == list(range(12, 20))
        for epoch in range(20, 30):  # at rest, of which only the newest is of interest
            publisher.offer(result_of(params, epoch, age=900), 10)
        assert [result.epoch for result, _ in publisher._waiting] == [*range(13, 20), 29]

    def test_epochs_wait_for_the_publishing_interval_until_the_hash_functions_rest(
        self, publisher, params, publisher_of
    ):
        publisher._settings = Settings.model_validate(
            {"model": {"bits": BITS}, "publish": {"interval_s": 3600.0}}
        )
        for epoch in range(3):
            publisher.offer(result_of(varied(params, epoch), epoch, age=epoch), 10)
        wait_for(lambda: publisher.published.quality)
        assert publisher.published.version == 1
        for epoch in range(3, 30):  # at rest, of which only the newest is of interest
            publisher.offer(result_of(varied(params, 2), epoch, age=900), 10)
        wait_for(lambda: publisher.verdict)
        assert publisher.published.version == 3


def test_where_points_must_not_wait_epochs_are_written_while_another_is_measured(
    publisher_of, params
):
    answers = threading.Event()
    answers.set()

    def slow(answer):
        answers.wait(PATIENCE_S)
        return answer

    publisher = publisher_of(keep=2, change=slow, refresh="5s")
    publisher.start()
    try:
        publisher.offer(result_of(spoiled(params), 0), 10)
        wait_for(lambda: publisher.published.quality)
        answers.clear()
        for epoch in range(1, 6):
            publisher.offer(result_of(varied(params, epoch), epoch), 10)
            wait_for(lambda number=epoch: publisher.published.examined == number)
        written = publisher.published
        assert (written.version, written.judged, written.current) == (6, 1, 1)
        assert publisher.versions.list() == (1, 2, 5, 6), "the one that is measured is kept"
        answers.set()
        wait_for(lambda: publisher.published.judged == 6)
    finally:
        answers.set()
        publisher.stop()
    assert publisher.published.current == 2
    told = [publisher.versions.load(version).metadata for version in (2, 5, 6)]
    assert [one["quality"] is not None for one in told] == [True, False, True]
    assert told[1]["reason"] == UNMEASURED
    assert "better than version 1" in told[0]["reason"]
    assert "than version 2" in told[2]["reason"]


class TestVersions:
    """What becomes of finished epochs, one by one."""

    @pytest.fixture
    def publisher(self, publisher_of):
        return publisher_of()

    @staticmethod
    def take(publisher, *epochs, age=0, restart=0):
        """Hand over epochs with these parameters; return the newest version and the current one."""
        for params in epochs:
            publisher._take(result_of(params, 7, age, restart), 10)
        return publisher.published.version, publisher.published.current

    @classmethod
    def rest(cls, publisher, params, restart=0):
        cls.take(publisher, params, age=900, restart=restart)
        return publisher.verdict

    def test_what_is_better_is_promoted_and_what_is_not_stays_a_candidate(self, publisher, params):
        assert self.take(publisher, spoiled(params)) == (1, 1)
        assert self.take(publisher, params) == (2, 2)
        assert "better than version 1, " in publisher.published.reason
        assert self.take(publisher, varied(params, 1)) == (3, 2)
        assert self.take(publisher, spoiled(params, 4)) == (4, 2)
        assert "worse than version 2, " in publisher.published.reason
        assert publisher.published.quality.version == 2, "what is shown is what users get"
        assert "worse than" in publisher.versions.load(4).metadata["reason"]

    def test_at_rest_nothing_is_written(self, publisher, params, tmp_path):
        self.take(publisher, spoiled(params), params)
        self.rest(publisher, params)
        there = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        decoder = params | {OFFSETS: params[OFFSETS] + 1}
        for _ in range(5):
            self.rest(publisher, decoder)
        assert there == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    def test_a_publisher_that_begins_anew_publishes_nothing_that_is_there(
        self, publisher, params, publisher_of
    ):
        model = BinaryAutoencoderModel(bits=BITS)
        self.take(publisher, spoiled(params))
        order, flips = np.arange(BITS)[::-1], np.ones(BITS, bool)
        renamed = model.renamed(params, order, flips)
        assert self.take(publisher, renamed) == (2, 2)
        # a ring that goes on has its own order of bits, one that begins anew that of the version
        for known in (renamed, publisher.versions.load(2).tensors):
            again = publisher_of()
            assert self.take(again, known) == (2, 2)
            assert again.published.quality.version == 2

    def test_bits_are_named_after_those_of_the_current_version(self, publisher, params):
        model = BinaryAutoencoderModel(bits=BITS)
        self.take(publisher, params)
        order, flips = np.random.default_rng(0).permutation(BITS), np.arange(BITS) % 2 > 0
        self.take(publisher, model.renamed(params, order, flips))
        found = publisher.versions.load(2)
        x = digits()
        np.testing.assert_array_equal(
            model.encode(found.tensors, x.copy()), model.encode(params, x.copy())
        )
        assert found.metadata["changed"] == {"than": 1, "bits": 0, "share": 0, "points": 1000}
        self.take(publisher, spoiled(params, 4))
        changed = publisher.versions.load(3).metadata["changed"]
        assert 0 < changed["bits"] < 5
        assert changed["share"] == pytest.approx(changed["bits"] / BITS, abs=1e-4)

    def test_training_goes_on_from_the_best_epoch_of_a_continuation(self, publisher, params):
        self.take(publisher, spoiled(params))
        self.take(publisher, spoiled(params, 6), params, spoiled(params, 2), restart=1)
        verdict = self.rest(publisher, spoiled(params, 2), restart=1)
        assert (verdict.restart, verdict.version, verdict.better) == (1, 3, True)
        assert verdict.tensors is params
        assert verdict.newest == 4
        found, _ = publisher.versions.resumption()
        assert found.metadata["version"] == 3
        assert found.metadata["next"]["plan"]["age"] == 901

    def test_training_goes_on_from_the_current_version_if_that_is_better(self, publisher, params):
        self.take(publisher, params)
        self.take(publisher, spoiled(params, 6), spoiled(params, 4), restart=1)
        verdict = self.rest(publisher, spoiled(params, 4), restart=1)
        assert (verdict.restart, verdict.version, verdict.better) == (1, 1, False)
        np.testing.assert_array_equal(verdict.tensors[WEIGHT], params[WEIGHT])
        self.take(publisher, verdict.tensors, age=901, restart=1)
        assert publisher.published.version == 3, "its hash functions are known"

    def test_a_restarted_publisher_passes_the_verdict_that_was_due(
        self, publisher, params, publisher_of
    ):
        self.take(publisher, params)
        self.take(publisher, spoiled(params, 4), restart=1)
        again = publisher_of()
        verdict = self.rest(again, spoiled(params, 4), restart=1)
        assert (verdict.version, verdict.better) == (1, False)
        assert publisher_of().versions.resumption()[0].metadata["version"] == 1

    def test_a_pinned_version_stays_until_it_is_let_go(self, publisher, params, publisher_of):
        self.take(publisher, spoiled(params), spoiled(params, 4))
        publisher.pin(1)
        assert (publisher.published.current, publisher.published.pinned) == (1, True)
        again = publisher_of()
        assert again.published.pinned
        assert self.take(again, params) == (3, 1)
        assert again.published.reason.startswith("version 1 is pinned: ")
        assert again.published.quality.version == 1
        again.unpin()
        assert self.take(again, varied(params, 1)) == (4, 4)

    def test_without_held_out_points_the_newest_version_is_the_current_one(
        self, publisher_of, params
    ):
        publisher = publisher_of(held_out=0)
        assert self.take(publisher, params, spoiled(params)) == (2, 2)
        assert self.rest(publisher, spoiled(params)) is None
        assert publisher.versions.resumption()[0].metadata["version"] == 2
