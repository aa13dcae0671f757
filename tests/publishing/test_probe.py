"""The probe: what a ring of workers measures is what one finds who has all points; it lives as long as it should."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.datasets import load_digits

from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.publishing import probe as probes
from streammac.publishing.held_out import LEAST_POINTS, HeldOutSample
from streammac.publishing.inquiry import Unanswerable, Unanswered
from streammac.publishing.measurement import estimate
from streammac.publishing.probe import Prober
from streammac.settings.schema import HeldOut
from streammac.wire.messages import OpenProbe
from streammac.wire.status import METHODS
from tests.publishing.asked import Asked
from tests.publishing.direct import recall_of

BITS = 16
WEIGHT = "encoder/0-15/weight"
MODEL = BinaryAutoencoderModel(bits=BITS)
X = np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))
STORED, HELD_OUT = X[:1400], X[1400:]
SHARDS = {"w1": STORED[:700], "w2": STORED[700:720], "w3": STORED[720:]}


@pytest.fixture(scope="module")
def params():
    return BinaryAutoencoder(bits=BITS, epochs=4).fit(STORED).params_


def spoiled(params):
    weight = params[WEIGHT]
    random = np.random.default_rng(1).standard_normal(weight.shape).astype(np.float32)
    return params | {WEIGHT: random}


@pytest.fixture
def prober(monkeypatch):
    monkeypatch.setattr(probes, "PAUSE", 0)  # a probe is renewed as soon as it is outdated
    prober = Prober(HeldOut(), 0, patience_s=20.0)
    prober.held_out.add(HELD_OUT)
    return prober


@pytest.fixture
def asked(prober):
    with Asked(prober.inquiry, MODEL, SHARDS) as asked:
        yield asked


def test_the_workers_find_what_one_finds_who_has_all_points(prober, asked, params):
    measured = prober.measure(MODEL, params)
    queries = prober._probe.held_out.queries.x
    assert len(queries) == measured.queries == len(HELD_OUT)
    assert measured.points == len(STORED)
    np.testing.assert_allclose(
        measured.leading, recall_of(MODEL, params, STORED, queries), atol=1e-12
    )
    assert measured.model == measured.leading.mean()
    initial = {n: a for n, a in params.items() if not n.startswith(("encoder", "decoder"))}
    assert measured.others["initial"] == pytest.approx(
        recall_of(MODEL, initial, STORED, queries).mean()
    )
    assert measured.model > measured.reference > measured.others["random"]
    assert set(measured.measures) == set(MODEL.measures().names)
    assert set(measured.measures["recall_10"]) == set(METHODS)
    assert measured.measures["recall_100"]["model"] == estimate(measured.leading)
    told = measured.quality(3)
    assert told.estimates()["model"].value == pytest.approx(told.model, abs=1e-6)
    assert 0.5 < told.entropy <= 1
    assert json.loads(json.dumps(measured.summary()))["model"] == measured.model


def test_a_good_model_measures_better_than_a_spoiled_one_on_the_same_probe(prober, asked, params):
    good, bad = prober.measure(MODEL, params), prober.measure(MODEL, spoiled(params))
    assert good.model > bad.model + 0.05
    assert good.probe == bad.probe
    assert good.others["itq"] == bad.others["itq"] == good.reference
    opened = [one for one in asked.questions if isinstance(one, OpenProbe)]
    assert len(opened) == len(SHARDS), "the neighbours are found once"
    # rounds of fitting; model, initial model, ITQ from three starts and two baselines; then the other model alone
    assert len(asked.questions) == len(SHARDS) * (1 + MODEL.measures().rounds + 7 + 1)


def test_a_probe_is_renewed_when_a_quarter_of_the_points_is_new(prober, asked, params):
    first = prober.measure(MODEL, params).probe
    asked.extend("w2", STORED[: len(STORED) // 5])
    time.sleep(0.02)
    assert prober.measure(MODEL, params).probe == first
    asked.extend("w2", STORED[: len(STORED) // 10])
    time.sleep(0.02)
    grown = prober.measure(MODEL, params)
    assert grown.probe != first
    assert grown.points == len(STORED) + len(STORED) // 5 + len(STORED) // 10
    prober.held_out.add(HELD_OUT[:50])
    assert prober.measure(MODEL, params).probe == grown.probe
    prober.held_out.add(HELD_OUT[:80])
    assert prober.measure(MODEL, params).probe != grown.probe


def test_a_probe_that_took_long_to_open_is_not_renewed_at_once(prober, asked, params, monkeypatch):
    monkeypatch.setattr(probes, "PAUSE", 1e6)
    first = prober.measure(MODEL, params).probe
    asked.extend("w1", STORED[: len(STORED) * 2 // 5])
    time.sleep(0.02)
    assert prober.measure(MODEL, params).probe == first
    asked.extend("w1", STORED[: len(STORED) // 5])
    time.sleep(0.02)
    assert prober.measure(MODEL, params).probe != first, "half of what it is of may be gone"


def test_a_probe_is_renewed_when_workers_come_go_or_are_replaced(prober, asked, params):
    seen = [prober.measure(MODEL, params)]
    asked.join("w4", HELD_OUT)
    time.sleep(0.02)
    seen.append(prober.measure(MODEL, params))
    asked.die("w2")
    time.sleep(0.02)
    seen.append(prober.measure(MODEL, params))
    asked.die("w1")
    asked.join("w1", SHARDS["w1"], incarnation=2)
    time.sleep(0.02)
    seen.append(prober.measure(MODEL, params))
    assert len({one.probe for one in seen}) == 4
    assert [one.points for one in seen] == [1400, 1797, 1777, 1777]


def test_a_worker_that_dies_meanwhile_is_not_waited_for(prober, params):
    def dies(answer):
        if answer.name == "w2" and ("w2", 1) in asked.workers:
            threading.Thread(target=asked.die, args=["w2"]).start()
        return None if answer.name == "w2" else answer

    with Asked(prober.inquiry, MODEL, SHARDS, dies) as asked:
        assert prober.measure(MODEL, params).points == len(STORED) - len(SHARDS["w2"])


def test_one_who_does_not_answer_is_not_waited_for_for_ever(prober, params):
    prober.inquiry._patience_s = 0.3
    silent = lambda answer: None if answer.name == "w3" else answer  # noqa: E731
    with Asked(prober.inquiry, MODEL, SHARDS, silent) as asked:
        with pytest.raises(Unanswered, match="w3 did not answer in"):
            prober.measure(MODEL, params)
        asked.change = lambda answer: answer
        prober.inquiry._patience_s = 20.0
        assert prober.measure(MODEL, params).points == len(STORED)


def test_nobody_waits_once_the_cluster_ends(prober, params):
    with Asked(prober.inquiry, MODEL, SHARDS, lambda _: None):
        threading.Timer(0.05, prober.inquiry.close).start()
        with pytest.raises(Unanswered, match="the cluster ends"):
            prober.measure(MODEL, params)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda answer: replace(answer, points=answer.points + 1),
        lambda answer: replace(answer, tensors={}),
        lambda answer: replace(answer, tensors={n: -a for n, a in answer.tensors.items()}),
        lambda answer: replace(
            answer, tensors={n: a.ravel()[1:] for n, a in answer.tensors.items()}
        ),
    ],
    ids=["points", "nothing", "negative", "shape"],
)
@pytest.mark.parametrize("question", [0, 6], ids=["survey", "answer"])
def test_an_answer_that_makes_no_sense_is_refused(prober, params, wrong, question):
    def spoil(answer):
        return wrong(answer) if answer.name == "w2" and answer.number == question else answer

    with Asked(prober.inquiry, MODEL, SHARDS, spoil) as asked:
        with pytest.raises(Unanswered, match="an answer of w2 makes no sense"):
            prober.measure(MODEL, params)
        assert len(asked.refused) == 1
        asked.change = lambda answer: answer
        assert prober.measure(MODEL, params).points == len(STORED)


@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_what_is_no_model_is_nobodys_fault_but_its_own(prober, asked, value):
    with pytest.raises(Unanswerable, match=r"NaN|KeyError"):
        prober.measure(MODEL, {WEIGHT: np.array([value])})
    assert asked.refused == []


def test_without_queries_or_points_nothing_is_measured(params):
    prober = Prober(HeldOut(), 0)
    assert prober.measure(MODEL, params) is None, "nobody is there"
    with Asked(prober.inquiry, MODEL, SHARDS):
        prober.held_out.add(HELD_OUT[: LEAST_POINTS - 1])
        assert prober.measure(MODEL, params) is None
        prober.held_out.add(HELD_OUT[:1])
        assert prober.measure(MODEL, params) is not None


def test_of_large_shards_a_sample_is_asked(params):
    prober = Prober(HeldOut(stored=200), 0)
    prober.held_out.add(HELD_OUT)
    with Asked(prober.inquiry, MODEL, SHARDS) as asked:
        measured = prober.measure(MODEL, params)
        assert abs(measured.points - 600) <= 2
        assert {one.share for one in asked.questions if isinstance(one, OpenProbe)} == {600 / 1400}


class TestHeldOutSample:
    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
    def test_points_that_are_not_finite_or_out_of_range_are_refused(self, value):
        held_out = HeldOutSample(HeldOut(), 0)
        x = X[:200].copy()
        x[7, 3] = value
        assert held_out.add(x) == 1
        assert len(held_out.draw().queries) == 199
        assert held_out.add(np.ones((5, 3), np.float32)) == 5  # of another length
        assert held_out.add(np.ones(5, np.float32)) == 5

    def test_points_ask_with_their_targets(self):
        held_out = HeldOutSample(HeldOut(points=200, queries=60), 0)
        x = np.arange(600, dtype=np.float32)[:, None] * [1, 1]
        for part in np.array_split(x, 5):
            y = -part[:, :1]
            y[0] = np.nan
            assert held_out.add(part, y) == 1
            assert held_out.add(part) == len(part), "there are targets in this stream"
        queries = held_out.draw().queries
        assert len(queries) == 60
        assert (queries.y == -queries.x[:, :1]).all()

    def test_one_outlier_asks_nothing(self):
        held_out = HeldOutSample(HeldOut(), 0)
        held_out.add(np.concatenate([X[:199], np.full((1, 64), 1e12, np.float32)]))
        assert len(held_out.draw().queries) == 199

    def test_the_sample_is_bounded_and_follows_the_feed(self):
        held_out = HeldOutSample(HeldOut(points=200), 0)
        held_out.add(np.zeros((200, 3), np.float32))
        for _ in range(20):
            held_out.add(np.ones((200, 3), np.float32))
        assert len(held_out.draw().queries) == 200
        assert held_out.draw().queries.x.min() == 1.0

    def test_points_that_came_before_all_that_is_stored_ask_nothing(self):
        held_out = HeldOutSample(HeldOut(points=1000), 0)
        for second in range(10):
            held_out.add(np.full((60, 2), second, np.float32))
            held_out.see(accepted=1000 * (second + 1), stored=5000)
        assert held_out.draw().queries.x.min() == 4, "the five thousand that are stored came since"
        assert held_out.draw().of == len(held_out.sample()) == 360
        held_out.add(np.full((700, 2), 10, np.float32))
        assert held_out.draw().queries.x.min() == 4, "there was room for them"
        held_out.see(accepted=100_000, stored=500)
        assert (held_out.sample() == 10).all()

    def test_what_came_before_a_drift_asks_nothing_until_that_is_over(self):
        held_out = HeldOutSample(HeldOut(points=1000), 0)
        for second in range(5):
            held_out.add(np.full((200, 2), second, np.float32))
            held_out.see(accepted=1000 * (second + 1), stored=5000)
        before = held_out.draw()
        assert held_out.too_old(before) == 0
        held_out.see(accepted=5000, stored=5000, since=5000)
        assert (held_out.sample() == 4).all()
        assert (held_out.draw().of, held_out.too_old(before)) == (200, 800)
        held_out.see(accepted=5000, stored=5000)
        assert len(held_out.sample()) == 1000

    def test_the_newest_few_ask_however_little_is_stored(self):
        held_out = HeldOutSample(HeldOut(points=1000), 0)
        for second in range(10):
            held_out.add(np.full((60, 2), second, np.float32))
            held_out.see(accepted=1000 * (second + 1), stored=100)
        assert held_out.draw().queries.x.min() == 6
        assert len(held_out.sample()) == 4 * 60

    def test_queries_are_random_ones_and_the_same_every_time(self):
        held_out = HeldOutSample(HeldOut(queries=60), 0)
        held_out.add(np.arange(600, dtype=np.float32)[:, None] * [1, 1])
        queries = held_out.draw().queries.x
        np.testing.assert_array_equal(queries, held_out.draw().queries.x)
        assert 200 < queries.mean() < 400, "a sorted feed does not ask for its beginning alone"
