from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armopt.compress.backend import keras
from armopt.compress.data import Data, Split, prepare
from armopt.core.errors import DataError

layers = keras.layers


def _model(*shapes: tuple[int | None, ...], dtype: str = "float32") -> Any:
    inputs = [layers.Input(shape, dtype=dtype, name=f"in{i}") for i, shape in enumerate(shapes)]
    return keras.Model(inputs, [layers.Flatten()(one) for one in inputs] if None not in shapes[0] else inputs)


def _data(*arrays: Any) -> Data:
    split = Split(tuple(np.asarray(array) for array in arrays))
    return Data("some", split, split, split)


def test_samples_are_drawn_the_same_every_time_from_all_over_the_file() -> None:
    split = Split((np.arange(1000),), (np.arange(1000) * 2,))
    first, second = split.sample(100), split.sample(100)
    assert np.array_equal(first.x[0], second.x[0])
    assert len(np.unique(first.x[0])) == 100
    assert np.array_equal(first.y[0], first.x[0] * 2)
    assert first.x[0].max() > 900
    assert len(split.sample(5000)) == 1000


def test_equal_data_have_equal_fingerprints_and_any_change_shows() -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    base = _data(x)
    assert base.fingerprint() == Data("elsewhere", base.train, base.val, base.test).fingerprint()
    changed = x.copy()
    changed[3, 2] += 1
    others = [_data(changed), _data(x.reshape(3, 4)), _data(x.astype(np.float64)), _data(x, x)]
    others.append(Data("some", base.train, base.val, base.test, preprocess="unit"))
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 6


@pytest.mark.parametrize(("how", "low", "high"), [("none", 0.0, 255.0), ("unit", 0.0, 1.0), ("signed", -1.0, 1.0)])
def test_bytes_are_preprocessed_as_declared(how: str, low: float, high: float) -> None:
    ready = prepare(_data(np.array([[0, 255]], np.uint8)), _model((2,)), how)
    assert ready.preprocess == how
    for split in (ready.train, ready.val, ready.test):
        assert split.x[0].dtype == np.float32
        np.testing.assert_allclose(split.x[0], [[low, high]], atol=1e-6)


def test_integer_inputs_are_not_scaled() -> None:
    ready = prepare(_data(np.array([[3, 7]], np.int64)), _model((2,), dtype="int32"), "unit")
    assert ready.train.x[0].dtype == np.int32
    assert ready.train.x[0].tolist() == [[3, 7]]


@pytest.mark.parametrize(
    ("wanted", "given"), [((4, 4, 1), (4, 4)), ((4, 4), (4, 4, 1)), ((4, 4), (4, 4)), ((None, 4), (9, 4))]
)
def test_a_single_channel_may_be_left_out_and_free_axes_take_any_size(wanted: Any, given: Any) -> None:
    x = np.arange(2 * np.prod(given), dtype=np.float32).reshape(2, *given)
    ready = prepare(_data(x), _model(wanted), "none")
    assert len(ready.train.x[0].shape) == len(wanted) + 1
    assert np.array_equal(ready.train.x[0].ravel(), x.ravel())


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ([np.zeros((2, 3))], "takes samples of shape 4, x_train has 3"),
        ([np.zeros((2, 2, 2))], "takes samples of shape 4, x_train has 2x2"),
        ([np.zeros(2)], "x_train has scalar"),
        ([np.zeros((2, 4)), np.zeros((2, 4))], "the model has 1 inputs, the data has 2"),
        ([np.zeros((0, 4))], "split 'train' has no samples"),
        ([np.array([[0, 0, 0, np.nan]])], "not finite"),
        ([np.array([[0, 0, 0, np.inf]])], "not finite"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_line(arrays: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        prepare(_data(*arrays), _model((4,)), "none")
    assert "\n" not in str(caught.value) and caught.value.mend


def test_an_unknown_preprocessing_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"unknown preprocessing 'half'.*none, unit, signed"):
        prepare(_data(np.zeros((2, 4))), _model((4,)), "half")
