"""Keeps the start-up chatter of C++ libraries off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to the process's stderr: TensorFlow 2.21 and LiteRT print before any log level applies.

    If the block fails the chatter is printed after all, since it may say why.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(real, 2)
            chatter.seek(0)
            os.write(2, chatter.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
