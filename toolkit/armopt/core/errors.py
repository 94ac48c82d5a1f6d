"""Errors that a user can mend. Each class fixes the exit code that the command line returns for it."""

from __future__ import annotations


class ArmoptError(Exception):
    """Something the user can act on: one line that says what is wrong, and how to mend it.

    Args:
        what: what happened and to which input, without a full stop.
        mend: what to do about it; appended after a semicolon.
    """

    exit_code = 2

    def __init__(self, what: str, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what}; {mend}" if mend else what)

    def __reduce__(self) -> tuple[type[ArmoptError], tuple[str, str]]:
        """The same error on the other side of a pipe: workers raise theirs in the process that sent them."""
        return type(self), (self.what, self.mend)


class UsageError(ArmoptError):
    """The caller's input is wrong: an option, a file, a key. Exit 2."""


class ModelError(UsageError):
    """The model can't be read, bridged, trained or exported as asked. Exit 2."""


class DataError(UsageError):
    """The data can't be read or does not fit the model or the task. Exit 2."""


class DeviceError(ArmoptError):
    """A board, an emulator or a tool it needs is missing or failed. Exit 4."""

    exit_code = 4


class StoreError(ArmoptError):
    """The node store can't be written or read. Nothing that was finished is lost. Exit 4."""

    exit_code = 4


class ConversionError(ArmoptError):
    """The converter refused the model or died. Exit 4; in a tree the node fails and its siblings go on."""

    exit_code = 4


class StructureLost(ArmoptError):
    """The exported file does not hold what an ancestor promised: a zero came back or a code was added. Exit 4."""

    exit_code = 4


class WorkerError(ArmoptError):
    """Workers died of a task again and again, or a cluster can't be reached. Exit 4; finished nodes are kept."""

    exit_code = 4
