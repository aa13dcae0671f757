"""How a model is laid out in blocks, and laid out anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streammac.models import layout
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.signature import Signature

DIM = 6


def params_of(bits: int, groups: int) -> dict[str, np.ndarray]:
    """A trained model in so many groups; every number tells whose it is."""
    params = {
        "input/mean": np.arange(DIM, dtype=np.float32),
        "input/scale": np.ones(1, np.float32),
        "init/encoder": np.ones((bits, DIM), np.float32),
    }
    weight = np.arange(bits * DIM, dtype=np.float32).reshape(bits, DIM)
    for name in layout.names("encoder", bits, groups, unit=4):
        rows = layout.rows(name)
        params[f"{name}/weight"] = weight[rows]
        params[f"{name}/bias"] = np.arange(bits, dtype=np.float32)[rows]
        params[f"{name}/eta0"] = np.full(rows.stop - rows.start, 0.1)
        params[f"{name}/steps"] = np.array([700])
    for name in layout.names("decoder", DIM, groups):
        rows = layout.rows(name)
        params[f"{name}/weight"] = weight.T[rows]
        params[f"{name}/bias"] = np.arange(DIM, dtype=np.float32)[rows]
    return params


@given(total=st.integers(1, 300), groups=st.integers(0, 400))
def test_groups_have_every_row_once_and_are_as_equal_as_can_be(total, groups):
    rows = [layout.rows(name) for name in layout.names("encoder", total, groups)]
    assert len(rows) == max(1, min(groups, total))
    assert [i for part in rows for i in range(part.start, part.stop)] == list(range(total))
    sizes = {part.stop - part.start for part in rows}
    assert max(sizes) - min(sizes) <= 1


@given(total=st.integers(1, 300), groups=st.integers(1, 80), unit=st.integers(1, 8))
def test_groups_begin_at_multiples_if_there_are_enough(total, groups, unit):
    rows = [layout.rows(name) for name in layout.names("encoder", total, groups, unit)]
    assert len(rows) == min(groups, total)
    assert [i for part in rows for i in range(part.start, part.stop)] == list(range(total))
    if groups * unit <= total:
        assert all(part.start % unit == 0 for part in rows)
        sizes = [part.stop - part.start for part in rows]
        assert max(sizes) - min(sizes) < 2 * unit


@given(bits=st.integers(1, 40), before=st.integers(1, 12), after=st.integers(1, 12))
def test_a_model_that_is_laid_out_anew_is_the_same_one(bits, before, after):
    model = BinaryAutoencoderModel(bits=bits)
    old = params_of(bits, before)
    new = model.regrouped(old, after)
    expected = params_of(bits, after)
    assert new.keys() == expected.keys()
    for name, tensor in expected.items():
        if name.endswith(("eta0", "steps")):
            np.testing.assert_allclose(new[name], tensor)
            assert new[name].dtype == tensor.dtype
        else:
            np.testing.assert_array_equal(new[name], tensor, err_msg=name)
    for name, tensor in model.functions(old).items():
        np.testing.assert_array_equal(model.functions(new)[name], tensor)


def test_a_model_that_has_the_layout_stays_as_it_is():
    params = params_of(16, 2)
    assert BinaryAutoencoderModel(bits=16).regrouped(params, 2) is params
    assert BinaryAutoencoderModel(bits=16).regrouped({}, 2) == {}


def test_bits_keep_their_step_sizes_and_go_on_from_the_mean_of_the_steps_of_several_blocks():
    params = params_of(4, 2)
    params["encoder/0-1/eta0"] = np.array([0.3])  # an older release had one for all
    params["encoder/2-3/steps"] = np.array([100])
    (eta0, steps) = (
        BinaryAutoencoderModel(bits=4).regrouped(params, 1)[f"encoder/0-3/{name}"]
        for name in ("eta0", "steps")
    )
    assert eta0.tolist() == [0.3, 0.3, 0.1, 0.1]
    assert steps.tolist() == [400]


def test_a_first_model_begins_the_first_epoch_in_blocks_and_what_nobody_needs_any_more_is_gone():
    model = BinaryAutoencoderModel(bits=5)
    rng = np.random.default_rng(0)
    first = {
        "input/mean": np.zeros(DIM, np.float32),
        "input/scale": np.ones(1, np.float32),
        "init/encoder": rng.standard_normal((5, DIM)).astype(np.float32),
        "init/decoder": rng.standard_normal((DIM, 5)).astype(np.float32),
        "init/offset": rng.standard_normal(DIM).astype(np.float32),
    }
    begun = model.regrouped(first, 2)
    assert {name for name in begun if name.startswith("init/")} == {"init/encoder"}
    x = rng.standard_normal((50, DIM)).astype(np.float32)
    z = model.coordinates(first, x.copy())
    np.testing.assert_array_equal(model.coordinates(begun, x.copy()), z)
    np.testing.assert_array_equal(model.decode(begun, z), model.decode(first, z))
    for block in model.blocks(Signature(DIM), 2)[:2]:
        state = model.start(block, Signature(DIM), begun, 0)
        rows = layout.rows(block.name)
        np.testing.assert_array_equal(state[f"{block.name}/weight"], first["init/encoder"][rows])
        assert state[f"{block.name}/bias"].tolist() == [0.0] * (rows.stop - rows.start)
        assert state[f"{block.name}/steps"].tolist() == [0]


def test_models_of_a_release_that_numbered_blocks_can_be_read():
    """Twelve blocks: sorted by their names, the tenth would come second."""
    model, params = BinaryAutoencoderModel(bits=12), params_of(12, 12)
    old = {}
    for name, tensor in params.items():
        kind, _, rest = name.partition("/")
        if kind in ("encoder", "decoder"):
            rows, what = rest.split("/")
            old[f"{kind}/{rows.split('-')[0]}/{what}"] = tensor
        else:
            old[name] = tensor
    x = np.random.default_rng(0).standard_normal((20, DIM)).astype(np.float32)
    np.testing.assert_array_equal(model.encode(old, x.copy()), model.encode(params, x.copy()))
    order = np.arange(12)[::-1]
    renamed = model.renamed(old, order, np.zeros(12, bool))
    assert renamed.keys() == old.keys()
    np.testing.assert_array_equal(
        model.coordinates(renamed, x.copy()), model.coordinates(params, x.copy())[:, ::-1]
    )
    new = model.regrouped(old, 3)
    assert new.keys() == params_of(12, 3).keys()
    np.testing.assert_array_equal(model.encode(new, x.copy()), model.encode(params, x.copy()))
