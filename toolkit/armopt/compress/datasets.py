"""Where data comes from: `digits`, an .npz, a folder of class folders of images, or `module:function`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.data import Array, Data, Split
from armopt.compress.usercode import import_object
from armopt.core.errors import DataError

# Share of the training samples that becomes val where none is given, and the generator's seed: fixed, so that every
# run of every stage chooses on the same samples.
_VAL_SHARE, _SPLIT_SEED = 0.1, 20260102
_IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


def load_data(what: str, image_size: tuple[int, int] | None = None, channels: int = 3) -> Data:
    """Read the data that the user named.

    Args:
        what: `digits`, a path of an .npz or of a folder, or `module:function`.
        image_size: height and width that images of a folder are resized to.
        channels: colour channels that images of a folder are read with.

    Raises:
        DataError: not found, not readable, splits missing or of different lengths.
    """
    path = Path(what).expanduser()
    if what == "digits":
        from armopt.compress.digits import load_digits_data

        return load_digits_data()
    if path.suffix == ".npz":
        return with_val(_from_mapping(what, _read_npz(path)))
    if path.is_dir():
        return with_val(_from_folder(path, image_size, channels))
    if ":" in what and not path.exists():
        return with_val(_from_function(what))
    if path.exists():
        raise DataError(
            f"'{what}' is not data that armopt reads", "give an .npz, a folder of images or module:function"
        )
    raise DataError(f"data '{what}' not found", "give digits, an .npz, a folder of class folders or module:function")


def _read_npz(path: Path) -> dict[str, Array]:
    if not path.exists():
        raise DataError(f"data file '{path}' not found", "check the path")
    try:
        # numpy takes any file that is not its own for a pickle, and returns a bare array for an .npy.
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "holds pickled objects" if "pickle" in str(error).lower() else "is damaged or not an .npz"
        raise DataError(f"data file '{path}' {reason}", "write it with numpy.savez from plain arrays") from error


def _from_function(what: str) -> Data:
    function = import_object(what, "--data")
    try:
        result = function()
    except Exception as error:  # the user's function may fail in any way it likes
        raise DataError(f"'{what}' raised {type(error).__name__}: {error}", "mend the function") from error
    if isinstance(result, tuple) and len(result) in (2, 3):
        names = ("train", "test") if len(result) == 2 else ("train", "val", "test")
        result = dict(zip(names, result, strict=True))
    if not isinstance(result, Mapping):
        raise DataError(
            f"'{what}' returned {type(result).__name__}", "return a dict with x_train, y_train, x_test, y_test"
        )
    if "x_train" in result or any(str(key).startswith("x_train") for key in result):
        data = _from_mapping(what, result)
    else:
        data = _from_splits(what, result)
    return replace(data, notes=(f"data come from your function {what}",))


def _from_splits(what: str, splits: Mapping[str, Any]) -> Data:
    """Splits given whole: a tf.data.Dataset of batches or samples, or a pair (x, y)."""
    missing = {"train", "test"} - set(splits)
    if missing:
        raise DataError(
            f"'{what}' returned no {' and no '.join(sorted(missing))}", "return x_train, y_train, x_test, y_test"
        )
    made = {}
    for name in ("train", "val", "test"):
        value = splits.get(name)
        if value is None:
            made[name] = Split(())
        elif hasattr(value, "element_spec"):
            made[name] = _from_tf_data(value)
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            made[name] = Split(arrays_of(value[0]), arrays_of(value[1]))
        else:
            raise DataError(
                f"split '{name}' of '{what}' is {type(value).__name__}", "return a pair (x, y) or a tf.data.Dataset"
            )
    check_lengths(what, made)
    return Data(what, made["train"], made["val"], made["test"])


def check_lengths(what: str, splits: Mapping[str, Split]) -> None:
    """Demand as many labels as samples.

    Raises:
        DataError: the arrays of a split differ in length.
    """
    for name, split in splits.items():
        lengths = {len(array) for array in (*split.x, *split.y)}
        if len(lengths) > 1:
            raise DataError(
                f"the arrays of split '{name}' of '{what}' differ in length: {sorted(lengths)}", "make them equal"
            )


def _from_tf_data(dataset: Any) -> Split:
    """Read a finite tf.data.Dataset of (x, y) samples into memory; batches are joined."""
    spec = dataset.element_spec
    first = spec[0] if isinstance(spec, tuple) else spec
    leaf = next(iter(first.values())) if isinstance(first, Mapping) else first[0] if isinstance(first, tuple) else first
    batched = len(leaf.shape) > 0 and leaf.shape[0] is None
    elements = [element if isinstance(element, tuple) else (element,) for element in dataset.as_numpy_iterator()]
    if not elements:
        raise DataError("a tf.data split is empty", "check the function that makes it")
    join = np.concatenate if batched else np.stack

    def column(part: int) -> tuple[Array, ...]:
        parts = [arrays_of(element[part]) for element in elements]
        return tuple(join([arrays[i] for arrays in parts]) for i in range(len(parts[0])))

    return Split(column(0), column(1) if len(elements[0]) > 1 else ())


def arrays_of(value: Any) -> tuple[Array, ...]:
    """One array, or the arrays of a list, tuple or dict of several inputs or outputs; nothing for None."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return tuple(np.asarray(value[key]) for key in value)
    if isinstance(value, (tuple, list)) and value and hasattr(value[0], "shape"):
        return tuple(np.asarray(part) for part in value)
    return (np.asarray(value),)


def _from_mapping(what: str, arrays: Mapping[str, Any]) -> Data:
    splits = {
        name: Split(_columns(arrays, f"x_{name}"), _columns(arrays, f"y_{name}")) for name in ("train", "val", "test")
    }
    if not splits["train"].x or not splits["test"].x:
        have = ", ".join(sorted(map(str, arrays))) or "nothing"
        raise DataError(
            f"'{what}' needs x_train and x_test, it has {have}", "name the arrays x_train, y_train, x_test, y_test"
        )
    check_lengths(what, splits)
    return Data(what, splits["train"], splits["val"], splits["test"])


def _columns(arrays: Mapping[str, Any], stem: str) -> tuple[Array, ...]:
    """`x_train`, or `x_train_0, x_train_1, ...`; a dict or tuple under `x_train` is several inputs."""
    if stem in arrays:
        return arrays_of(arrays[stem])
    numbered = sorted(
        (key for key in arrays if key.startswith(f"{stem}_") and key[len(stem) + 1 :].isdigit()),
        key=lambda key: int(key[len(stem) + 1 :]),
    )
    return tuple(np.asarray(arrays[key]) for key in numbered)


def with_val(data: Data) -> Data:
    """Split val off train where none is given, the same samples every time."""
    if data.val.x and len(data.val):
        return data
    count = len(data.train)
    order = np.random.default_rng(_SPLIT_SEED).permutation(count)
    held = max(1, round(count * _VAL_SHARE))
    note = f"no val split given: {held:,} of {count:,} training samples are kept for choosing"
    return replace(
        data,
        train=data.train.take(np.sort(order[held:])),
        val=data.train.take(np.sort(order[:held])),
        notes=(*data.notes, note),
    )


def _from_folder(folder: Path, size: tuple[int, int] | None, channels: int) -> Data:
    """`folder/train/CLASS/*.png` and `folder/test/CLASS/*.png` (val optional), or `folder/CLASS/*` split here."""
    if size is None:
        raise DataError(f"'{folder}' is a folder of images, the model does not take images", "give an .npz")
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        classes = _class_names(folder / "train")
        parts = {
            name: _read_classes(folder / name, classes, size, channels)
            for name in ("train", "val", "test")
            if (folder / name).is_dir()
        }
        return Data(str(folder), parts["train"], parts.get("val", Split(())), parts["test"])
    every = _read_classes(folder, _class_names(folder), size, channels)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(every))
    held = max(1, round(len(every) * 0.2))
    note = f"the folder has no train and test: {held:,} of {len(every):,} images are the test split"
    return Data(
        str(folder), every.take(np.sort(order[held:])), Split(()), every.take(np.sort(order[:held])), notes=(note,)
    )


def _class_names(folder: Path) -> list[str]:
    names = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"'{folder}' has {len(names)} class folders", "give a folder with one folder per class")
    return names


def _read_classes(folder: Path, classes: Iterable[str], size: tuple[int, int], channels: int) -> Split:
    from PIL import Image, UnidentifiedImageError

    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted(folder.joinpath(name).glob("*")):
            if path.suffix.lower() not in _IMAGE_ENDINGS:
                continue
            try:
                with Image.open(path) as image:
                    pixels = image.convert("L" if channels == 1 else "RGB").resize((size[1], size[0]))
            except (UnidentifiedImageError, OSError) as error:
                raise DataError(f"image '{path}' can't be read", "remove or replace it") from error
            images.append(np.asarray(pixels).reshape(*size, channels))
            labels.append(label)
    if not images:
        raise DataError(f"'{folder}' holds no images", f"put {', '.join(sorted(_IMAGE_ENDINGS))} into class folders")
    return Split((np.stack(images),), (np.array(labels, np.int64),))
