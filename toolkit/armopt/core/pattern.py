"""Which weights become zero together: the patterns that pruning knows, as a profile writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMS = "use 'unstructured', 'block:RxC' such as 'block:1x4', or 'N:M' such as '2:4'"


@dataclass(frozen=True)
class Unstructured:
    """Each weight by itself."""

    def words(self, sparsity: float) -> str:
        """What is asked for, for people."""
        return f"{sparsity:.0%} zeros"


@dataclass(frozen=True)
class Blocks:
    """Blocks of a kernel seen as a matrix, outputs by inputs, are zero as a whole.

    Attributes:
        rows: outputs (units, filters) that a block spans.
        columns: inputs that it spans.
    """

    rows: int
    columns: int

    def words(self, sparsity: float) -> str:
        """What is asked for, for people."""
        return f"{sparsity:.0%} zeros in blocks of {self.rows}x{self.columns}"


@dataclass(frozen=True)
class NofM:
    """Of `group` inputs in a row that one output sums up, at most `kept` have a weight: a sparsity of its own.

    2:4 is what sparse matrix units take (Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks").
    """

    kept: int
    group: int

    @property
    def sparsity(self) -> float:
        """Share of zeros, whatever the settings say."""
        return 1 - self.kept / self.group

    def words(self, sparsity: float) -> str:
        """What is asked for, for people."""
        return f"{self.sparsity:.0%} zeros as {self.kept}:{self.group}"


Pattern = Unstructured | Blocks | NofM


def parse_pattern(text: str) -> Pattern:
    """The pattern that a profile's `pattern` describes.

    Raises:
        ValueError: the text is none of the forms, or asks for nothing to be zero.
    """
    if text == "unstructured":
        return Unstructured()
    if found := re.fullmatch(r"block:([1-9]\d{0,3})x([1-9]\d{0,3})", text):
        return Blocks(int(found[1]), int(found[2]))
    if found := re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", text):
        kept, group = int(found[1]), int(found[2])
        if kept < group:
            return NofM(kept, group)
        raise ValueError(f"'{text}' keeps {kept} of {group}: nothing would become zero; {_FORMS}")
    raise ValueError(f"'{text}' is no pruning pattern; {_FORMS}")
