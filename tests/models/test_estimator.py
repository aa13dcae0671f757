"""The scikit-learn estimator: conventions, streams, and quality on real data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ingest.sources.array_files import read_arrays
from ingest.sources.digits import DigitSource
from streammac.models import BinaryAutoencoder
from streammac.models.estimator import LearnerCodes
from streammac.models.retrieval import baselines, precision, true_neighbours

CODES = [
    BinaryAutoencoder(bits=4, epochs=3),
    LearnerCodes(bits=2, learner="perceptron", epochs=2),
]


@parametrize_with_checks(CODES)
def test_sklearn_conventions(estimator, check):
    check(estimator)


def digits() -> np.ndarray:
    return load_digits().data.astype(np.float32)


def precisions(database, queries, neighbours, retrieved, bits):
    """Precision of the model and of its baselines (ITQ: the mean of three starts)."""
    near = true_neighbours(database, queries, neighbours)

    def score(encode):
        return precision(encode(queries), encode(database), near, retrieved)

    model = BinaryAutoencoder(bits=bits).fit(database)
    ours = score(lambda points: np.packbits(model.transform(points), axis=1))
    fitted = [baselines(database, bits, np.random.default_rng(seed)) for seed in range(3)]
    return ours, {name: np.mean([score(f[name]) for f in fitted]) for name in fitted[0]}


@pytest.mark.parametrize("bits", [16, 32])
def test_digits_are_found_about_as_well_as_by_itq_and_far_better_than_by_the_others(bits):
    x = np.random.default_rng(0).permutation(digits())
    ours, others = precisions(x[400:], x[:400], 50, 50, bits)
    assert ours > others["itq"] - 0.01
    assert ours > max(others["pca"], others["random"]) + 0.1


def test_histograms_of_handwriting_are_found_better_than_by_any_baseline():
    x = next(iter(DigitSource().chunks(5000))).x.astype(np.float32)
    ours, others = precisions(x[1000:], x[:1000], 40, 40, 16)
    assert ours > max(others.values()) + 0.01, (ours, others)


@pytest.mark.skipif("STREAMMAC_DATA" not in os.environ, reason="needs the data set siftsmall")
def test_sift_descriptors_are_found_better_than_by_itq():
    folder = Path(os.environ["STREAMMAC_DATA"]) / "siftsmall"
    database = read_arrays(folder / "siftsmall_base.fvecs").x[:3000]
    queries = read_arrays(folder / "siftsmall_query.fvecs").x
    ours, others = precisions(database, queries, 100, 100, 16)
    assert ours > others["itq"] + 0.03, (ours, others)


def test_a_stream_reaches_about_what_the_whole_reaches():
    x = np.random.default_rng(0).permutation(digits())[:900]
    whole = BinaryAutoencoder(bits=16).fit(x).objective_
    stream = BinaryAutoencoder(bits=16)
    for part in np.array_split(x, 8):
        stream.partial_fit(part)
    assert stream.objective_ < 1.06 * whole


def test_a_stream_that_changes_is_followed():
    x = np.random.default_rng(0).permutation(digits())
    x += np.random.default_rng(1).normal(0, 1, x.shape)
    other = x[500:1250, np.random.default_rng(2).permutation(64)]
    stream = BinaryAutoencoder(bits=16, window=500).fit(x[:500])
    errors = []
    for part in np.array_split(other, 6):
        stream.partial_fit(part)
        errors.append(stream.objective_)
    fresh = BinaryAutoencoder(bits=16).fit(other[-500:]).objective_
    assert errors[-1] < 1.1 * fresh
    assert errors[1] < 1.5 * fresh, "it does not wait until all points are replaced"


def test_a_quarter_of_new_points_is_learned_from_the_model_there_is():
    x = np.random.default_rng(0).permutation(digits())
    stream = BinaryAutoencoder(bits=16).fit(x[:1000])
    mean, weight = stream.params_["input/mean"], stream.params_["encoder/0-15/weight"]
    stream.partial_fit(x[1000:1200])
    np.testing.assert_array_equal(stream.params_["encoder/0-15/weight"], weight)
    stream.partial_fit(x[1200:1300])
    assert not np.array_equal(stream.params_["encoder/0-15/weight"], weight)
    np.testing.assert_array_equal(stream.params_["input/mean"], mean)


def test_a_window_bounds_what_is_kept():
    model = BinaryAutoencoder(bits=8, window=500)
    for part in np.array_split(digits(), 6):
        model.partial_fit(part)
    assert len(model._shard) == 500


def test_the_same_seed_gives_the_same_codes_and_another_one_others():
    x = digits()[:500]
    first = BinaryAutoencoder(bits=8, epochs=3, random_state=1).fit_transform(x)
    again = clone(BinaryAutoencoder(bits=8, epochs=3, random_state=1)).fit_transform(x)
    other = BinaryAutoencoder(bits=8, epochs=3, random_state=2).fit_transform(x)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_reconstructs_better_than_the_mean():
    x = digits()
    model = BinaryAutoencoder(bits=32).fit(x)
    back = model.inverse_transform(model.transform(x))
    assert ((x - back) ** 2).sum() < 0.6 * ((x - x.mean(0)) ** 2).sum()


def test_works_in_a_pipeline():
    codes = make_pipeline(StandardScaler(), BinaryAutoencoder(bits=8, epochs=2)).fit_transform(
        digits()[:300]
    )
    assert set(np.unique(codes)) <= {0, 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"epochs": 0}, "epochs"), ({"window": 0}, "window"), ({"bits": 0}, "bits")],
)
def test_a_wrong_parameter_is_named_when_fitting(wrong, said):
    with pytest.raises(ValueError, match=f"{said}: expected"):
        BinaryAutoencoder(**wrong).fit(digits()[:100])
