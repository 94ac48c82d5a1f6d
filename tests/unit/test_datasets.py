from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from armopt.compress.data import Data, Split
from armopt.compress.datasets import load_data, with_val
from armopt.core.errors import DataError, UsageError

X, Y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 3


def _npz(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def _refused(what: str, words: str, kind: type[UsageError] = DataError, **options: Any) -> None:
    with pytest.raises(kind, match=words) as caught:
        load_data(what, **options)
    assert "\n" not in str(caught.value) and caught.value.mend


def test_an_npz_with_three_splits_is_read_as_it_is(tmp_path: Path) -> None:
    data = load_data(_npz(tmp_path, x_train=X, y_train=Y, x_val=X[:3], y_val=Y[:3], x_test=X[3:9], y_test=Y[3:9]))
    assert [len(split) for split in (data.train, data.val, data.test)] == [20, 3, 6]
    assert np.array_equal(data.train.x[0], X) and np.array_equal(data.test.y[0], Y[3:9])
    assert data.notes == ()


def test_val_is_split_off_train_the_same_every_time_and_said(tmp_path: Path) -> None:
    what = _npz(tmp_path, x_train=X, y_train=Y, x_test=X, y_test=Y)
    first, second = load_data(what), load_data(what)
    assert (len(first.train), len(first.val), len(first.test)) == (18, 2, 20)
    assert np.array_equal(first.val.x[0], second.val.x[0])
    together = np.concatenate([first.train.x[0], first.val.x[0]])
    assert np.array_equal(np.sort(together.ravel()), X.ravel())
    assert np.array_equal(first.val.y[0], (first.val.x[0][:, 0] // 2).astype(int) % 3)
    assert "2 of 20 training samples are kept for choosing" in first.notes[0]


def test_several_inputs_are_numbered_and_ten_comes_after_two(tmp_path: Path) -> None:
    many = {f"x_{part}_{i}": np.full((4, 1), i) for part in ("train", "test") for i in (10, 2, 0)}
    data = load_data(_npz(tmp_path, **many))
    assert [int(array[0, 0]) for array in data.test.x] == [0, 2, 10]
    assert data.test.y == ()


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    _refused(_npz(tmp_path, x_train=X, y_train=Y), "needs x_train and x_test, it has x_train, y_train")
    _refused(_npz(tmp_path), "it has nothing")


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    _refused(
        _npz(tmp_path, x_train=X, y_train=Y[:7], x_test=X, y_test=Y), r"split 'train' .* differ in length: \[7, 20\]"
    )


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    _refused(_npz(tmp_path, x_train=np.array([{}, []], object), x_test=X), "holds pickled objects")


def test_a_damaged_npz_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    path = Path(_npz(tmp_path, x_train=X, y_train=Y, x_test=X, y_test=Y))
    content = path.read_bytes()
    for bad in (b"", b"hello", content[: len(content) // 2], content[:60] + b"\xff" * 40 + content[100:]):
        path.write_bytes(bad)
        _refused(str(path), "is damaged or not an .npz")


def test_a_single_array_under_the_name_of_an_npz_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    _refused(str(tmp_path / "data.npz"), "is damaged or not an .npz")


def test_what_is_not_there_or_no_data_is_refused(tmp_path: Path) -> None:
    _refused(str(tmp_path / "absent.npz"), "not found")
    _refused("no-such-thing", "data 'no-such-thing' not found")
    (tmp_path / "data.csv").write_text("1,2")
    _refused(str(tmp_path / "data.csv"), "is not data that armopt reads")


def _pictures(folder: Path, shades: dict[str, int], count: int = 5) -> None:
    for name, shade in shades.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (6, 4), (shade, shade, shade)).save(folder / name / f"{number}.png")


def test_a_folder_of_images_with_its_own_splits(tmp_path: Path) -> None:
    _pictures(tmp_path / "train", {"cat": 10, "dog": 200})
    _pictures(tmp_path / "test", {"cat": 10, "dog": 200}, 2)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    data = load_data(str(tmp_path), image_size=(3, 5), channels=1)
    assert data.test.x[0].shape == (4, 3, 5, 1) and data.test.x[0].dtype == np.uint8
    assert len(data.train) + len(data.val) == 10
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.x[0][:, 0, 0, 0], np.where(split.y[0] == 0, 10, 200))


def test_a_folder_without_splits_gets_a_test_split_and_says_so(tmp_path: Path) -> None:
    _pictures(tmp_path, {"a": 0, "b": 50, "c": 100}, 10)
    data, again = (load_data(str(tmp_path), image_size=(4, 6)) for _ in range(2))
    assert (len(data.train), len(data.val), len(data.test)) == (22, 2, 6)
    assert data.train.x[0].shape[1:] == (4, 6, 3)
    assert np.array_equal(data.test.y[0], again.test.y[0])
    assert "6 of 30 images are the test split" in data.notes[0]


def test_folders_that_are_no_image_classes_are_refused(tmp_path: Path) -> None:
    _refused(str(tmp_path), "the model does not take images")
    _refused(str(tmp_path), "has 0 class folders", image_size=(4, 4))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _refused(str(tmp_path), "holds no images", image_size=(4, 4))
    (tmp_path / "a" / "broken.png").write_bytes(b"\x89PNG no more")
    _refused(str(tmp_path), "broken.png' can't be read", image_size=(4, 4))


FUNCTIONS = """
import numpy as np

x, y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 3

def as_dict():
    return {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4]}

def as_pairs():
    return (x, y), (x[:4], y[:4])

def as_triple():
    return (x, y), (x[4:7], y[4:7]), (x[:4], y[:4])

def as_splits():
    return {"train": (x, y), "test": (x[:4], y[:4])}

def as_batches():
    import tensorflow as tf
    make = lambda a, b: tf.data.Dataset.from_tensor_slices((a, b)).batch(3)
    return make(x, y), make(x[:4], y[:4])

def as_samples():
    import tensorflow as tf
    make = lambda a, b: tf.data.Dataset.from_tensor_slices((a, b))
    return make(x, y), make(x[:4], y[:4])

def empty():
    import tensorflow as tf
    nothing = tf.data.Dataset.from_tensor_slices((x, y)).take(0)
    return nothing, nothing

def two_inputs():
    return {"x_train": (x, x + 1), "x_test": {"a": x, "b": x + 1}}

def raises():
    raise RuntimeError("no disk today")

def a_number():
    return 7

def train_only():
    return {"train": (x, y)}

def not_a_pair():
    return {"train": x, "test": x}

def lengths():
    return (x, y), (x[:4], y[:3])
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_data_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_data_functions"


@pytest.mark.parametrize("name", ["as_dict", "as_pairs", "as_triple", "as_splits", "as_batches", "as_samples"])
def test_a_users_function_may_return_its_splits_in_these_forms(functions: str, name: str) -> None:
    data = load_data(f"{functions}:{name}")
    assert np.array_equal(data.test.x[0], X[:4]) and np.array_equal(data.test.y[0], Y[:4])
    held = 0 if name == "as_triple" else 2
    assert len(data.train) == 20 - held and len(data.val) == (3 if name == "as_triple" else 2)
    assert f"data come from your function {functions}:{name}" in data.notes[0]


def test_a_users_function_may_return_several_inputs(functions: str) -> None:
    data = load_data(f"{functions}:two_inputs")
    for split in (data.train, data.test):
        assert np.array_equal(split.x[1], split.x[0] + 1)


@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("raises", "raised RuntimeError: no disk today", DataError),
        ("a_number", "returned int", DataError),
        ("train_only", "returned no test", DataError),
        ("empty", "is empty", DataError),
        ("not_a_pair", "split 'train' of .* is ndarray; return a pair", DataError),
        ("lengths", "differ in length", DataError),
        ("absent", "has no 'absent'", UsageError),
    ],
)
def test_a_users_function_that_fails_is_told_in_one_line(functions: str, name: str, words: str, kind: Any) -> None:
    _refused(f"{functions}:{name}", words, kind)


def test_a_module_that_can_not_be_imported_is_named() -> None:
    _refused("no_such_module_here:f", "no_such_module_here", UsageError)


def test_a_given_val_split_is_left_alone() -> None:
    split = Split((X,), (Y,))
    data = Data("given", split, split, split)
    assert with_val(data) is data


def test_the_built_in_digits_never_change() -> None:
    data, again = load_data("digits"), load_data("digits")
    assert [len(split) for split in (data.train, data.val, data.test)] == [1257, 180, 360]
    assert data.train.x[0].shape[1:] == (32, 32, 1)
    assert (data.train.x[0].min(), data.train.x[0].max()) == (0, 1)
    assert data.fingerprint() == again.fingerprint()
