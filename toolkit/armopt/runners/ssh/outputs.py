"""The outputs that a board hands over, each checked against what was announced before room is made for it."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from armopt.runners.base import Arrays

_LIMIT = 1 << 30


class Tensor(BaseModel):
    """An output as the agent describes it."""

    model_config = ConfigDict(extra="ignore")
    scale: float = Field(allow_inf_nan=False)
    dtype: str = Field(max_length=40)
    shape: tuple[int, ...] = Field(max_length=16)


class Told(BaseModel):
    """What the agent says of a job whose outputs it stored."""

    model_config = ConfigDict(extra="ignore")
    runtime: str = Field(pattern=r"^(litert|tflite-runtime) [0-9A-Za-z.+-]{1,40}$")
    numpy: str = Field(max_length=40)
    outputs: tuple[Tensor, ...] = Field(max_length=1000)
    raw_ms: tuple[float, ...]


def read_arrays(stored: bytes, told: Told, samples: int) -> Arrays:
    """The arrays `a0`, `a1`, ... of an .npz: (samples, *shape) each.

    Raises:
        ValueError: anything else than was announced.
    """
    arrays = []
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            for position, tensor in enumerate(told.outputs):
                arrays.append(_read(archive, f"a{position}.npy", np.dtype(tensor.dtype), (samples, *tensor.shape)))
    except (KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(str(error)) from error
    return tuple(arrays)


def _read(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    size = dtype.itemsize * int(np.prod(shape, dtype=np.float64))
    # The header is at most 64 KiB in this version of the format; what unpacks to more than both is not read.
    if dtype.hasobject or not 0 <= size < _LIMIT or archive.getinfo(name).file_size > size + (1 << 16):
        raise ValueError(f"{name}: too large")
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name}: format {version}")
        seen, fortran, kind = np.lib.format.read_array_header_1_0(file)
        content = file.read(size + 1)
    if (seen, fortran, kind) != (shape, False, dtype) or len(content) != size:
        raise ValueError(f"{name}: another shape or type")
    return np.frombuffer(content, dtype).reshape(shape)
