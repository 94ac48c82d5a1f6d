"""The outputs that a board hands over, each checked against what was announced before room is made for it."""

from __future__ import annotations

import io
import math
import zipfile
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from armopt.runners.base import Arrays

_LIMIT = 1 << 30
_MOST_OUTPUTS = 1000
_NPY_HEADER = 1 << 16  # at most, in version 1.0 of the format
_ZIP_ENTRY = 1 << 10  # beside its content; names are short
_DIRECTORY_ENTRY = b"PK\x01\x02"


class Tensor(BaseModel):
    """An output as the agent describes it."""

    model_config = ConfigDict(extra="ignore")
    scale: float = Field(allow_inf_nan=False)
    dtype: str = Field(pattern=r"^(bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128))$")
    shape: tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...] = Field(max_length=16)

    def size_bytes(self, samples: int) -> int:
        """What so many samples of it take."""
        return np.dtype(self.dtype).itemsize * math.prod((samples, *self.shape))


class Told(BaseModel):
    """What the agent says of a job whose outputs it stored."""

    model_config = ConfigDict(extra="ignore")
    runtime: str = Field(pattern=r"^(litert|tflite-runtime) [0-9A-Za-z.+-]{1,40}$")
    numpy: str = Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")
    outputs: tuple[Tensor, ...] = Field(max_length=_MOST_OUTPUTS)
    raw_ms: tuple[Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)], ...]

    def stored_bytes(self, samples: int) -> int:
        """What an .npz of it takes at most.

        Raises:
            ValueError: more than there is room for.
        """
        size = sum(tensor.size_bytes(samples) + _NPY_HEADER + _ZIP_ENTRY for tensor in self.outputs) + _ZIP_ENTRY
        if size > _LIMIT:
            raise ValueError("too large")
        return size


def read_arrays(stored: bytes, told: Told, samples: int) -> Arrays:
    """The arrays `a0`, `a1`, ... of an .npz: (samples, *shape) each.

    Raises:
        ValueError: anything else than was announced.
    """
    if stored.count(_DIRECTORY_ENTRY) > 2 * _MOST_OUTPUTS:  # each would become an object; a few may be numbers
        raise ValueError("too many files")
    arrays = []
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            for position, tensor in enumerate(told.outputs):
                arrays.append(_read(archive, f"a{position}.npy", tensor, samples))
    except Exception as error:  # of many types, where the libraries meet nonsense
        raise ValueError(str(error)) from error
    return tuple(arrays)


def _read(archive: zipfile.ZipFile, name: str, tensor: Tensor, samples: int) -> Any:
    size, shape, dtype = tensor.size_bytes(samples), (samples, *tensor.shape), np.dtype(tensor.dtype)
    if archive.getinfo(name).file_size > size + _NPY_HEADER:
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
