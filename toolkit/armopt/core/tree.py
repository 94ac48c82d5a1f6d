"""The deployment tree as data: nodes named by their path, `prune/cluster/pcqat`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from armopt.core.errors import UsageError
from armopt.core.stages import FACTS, FURTHER_LEAVES, LEAF_STAGES, OTHER_NAMES, PRESERVES, TRAINING_STAGES

ROOT = "float"

# What a stage leaves behind that every stage below it must preserve.
STRUCTURE: Mapping[str, str] = MappingProxyType({"prune": "zeros", "cluster": "codes"})


# Stages that make another architecture: whatever is promised of kernels is promised of those that they leave.
FIRST_STAGES = frozenset({"channels"})


def stage_of(path: str) -> str:
    """Name of the stage that makes the node: the last part of its path."""
    return path.rsplit("/", 1)[-1]


def parent_of(path: str) -> str:
    """Path of the node's parent; the root's children have `float`."""
    return path.rsplit("/", 1)[0] if "/" in path else ROOT


def ancestors_of(path: str) -> tuple[str, ...]:
    """Paths from the root's child down to the node's parent."""
    parts = path.split("/")
    return tuple("/".join(parts[:depth]) for depth in range(1, len(parts)))


def preserved_at(path: str) -> tuple[str, ...]:
    """Structure of its ancestors that the node must preserve, the eldest's first: ('zeros', 'codes')."""
    stages = path.split("/")[:-1]
    return tuple(dict.fromkeys(STRUCTURE[stage] for stage in stages if stage in STRUCTURE))


def with_further_leaves(paths: Iterable[str], leaves: Iterable[str]) -> tuple[str, ...]:
    """The paths, with `leaves` (stages such as `16x8`) beside each `ptq`: they too quantize what is there untrained.

    A leaf that preserves something (`sparse`: zeros) stands only where a stage above made it.

    Raises:
        UsageError: a stage that is none of the further leaves, or no `ptq` to stand beside.
    """
    given, wanted = list(paths), [OTHER_NAMES.get(leaf, leaf) for leaf in leaves]
    for leaf in wanted:
        if leaf not in FURTHER_LEAVES:
            raise UsageError(f"'{leaf}' is not a further leaf", f"known: {', '.join(FURTHER_LEAVES)}")
    beside = [path for path in given if stage_of(path) == "ptq"]
    if wanted and not beside:
        raise UsageError("the tree has no 'ptq' that leaves could stand beside", "name them in the profile's tree")
    for leaf in wanted:
        if not any(_stands(leaf, path) for path in beside):
            above = "' and '".join(sorted(PRESERVES[leaf]))
            raise UsageError(
                f"the tree has no 'ptq' below '{above}' that '{leaf}' could stand beside", f"add '{above}'"
            )
    made = []
    for path in given:
        made.append(path)
        if stage_of(path) == "ptq":
            made += [path.removesuffix("ptq") + leaf for leaf in wanted if _stands(leaf, path)]
    return tuple(dict.fromkeys(made))


def _stands(leaf: str, path: str) -> bool:
    """Whether all that the leaf preserves stands above the node at `path`, so that it can stand beside it."""
    return PRESERVES.get(leaf, frozenset()) <= set(path.split("/")[:-1])


class Tree:
    """The nodes of one run, the root `float` first, parents before children.

    Args:
        paths: node paths without the root, in any order.
        leaf_stages: stages whose result is a .tflite.
        inner_stages: all other stages.
        preserves: what a stage's name says that it preserves: the stages that must stand above it.

    Raises:
        UsageError: an unknown stage, a stage without what it preserves, a node without its parent, twice the same
            node, a child below a leaf, or no leaf at all.
    """

    def __init__(
        self,
        paths: Iterable[str],
        leaf_stages: Iterable[str] = LEAF_STAGES,
        inner_stages: Iterable[str] = tuple(FACTS),
        preserves: Mapping[str, frozenset[str]] = PRESERVES,
    ) -> None:
        given = list(paths)
        self._leaf_stages = frozenset(leaf_stages)
        known = self._leaf_stages | frozenset(inner_stages)
        if len(set(given)) != len(given):
            raise UsageError("the tree names a node twice", "list every path once")
        for path in given:
            parent, stage = parent_of(path), stage_of(path)
            if stage in FIRST_STAGES and parent != ROOT:
                raise UsageError(f"'{path}' changes the model's shape below '{parent}'", f"put '{stage}' first")
            if stage not in known:
                mend = (
                    f"it is called '{OTHER_NAMES[stage]}'"
                    if stage in OTHER_NAMES
                    else f"known: {', '.join(sorted(known))}"
                )
                raise UsageError(f"the tree has an unknown stage '{stage}'", mend)
            absent = preserves.get(stage, frozenset()) - set(path.split("/"))
            if absent:
                mend = "use qat there" if stage in TRAINING_STAGES else f"put it below '{min(absent)}'"
                raise UsageError(f"'{path}' has no {' and no '.join(sorted(absent))} to preserve", mend)
            if parent != ROOT and parent not in given:
                raise UsageError(f"the tree has '{path}' without its parent '{parent}'", f"add '{parent}'")
            if parent != ROOT and self.is_leaf(parent):
                raise UsageError(f"'{path}' stands below '{parent}', which is already quantized", "quantize last")
        if not any(self.is_leaf(path) for path in given):
            raise UsageError("the tree has no quantizing leaf", "add for example 'ptq'")
        self.paths: tuple[str, ...] = (ROOT, *sorted(given, key=lambda path: (path.count("/"), given.index(path))))

    def is_leaf(self, path: str) -> bool:
        """True where the node is a deployable .tflite."""
        return stage_of(path) in self._leaf_stages

    def children_of(self, path: str) -> tuple[str, ...]:
        """Paths of the nodes made from this one."""
        return tuple(node for node in self.paths if node != ROOT and parent_of(node) == path)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Paths of the leaves, level by level in the profile's order."""
        return tuple(path for path in self.paths if self.is_leaf(path))

    def cheapest_first(self, trains: frozenset[str]) -> Iterator[str]:
        """Leaves level by level; within a level those with fewer trained stages on their path first.

        Args:
            trains: stages that train; all others cost next to nothing.
        """

        def cost(path: str) -> tuple[int, int, int]:
            parts = path.split("/")
            return len(parts), sum(part in trains for part in parts), self.paths.index(path)

        return iter(sorted(self.leaves, key=cost))
