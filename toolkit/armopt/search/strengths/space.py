"""What the search may turn, and within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from armopt.core.search_record import Strength

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# A network of which less than this is left of any layer is another network.
_NARROWEST = 0.25
# Sparsity below this does not pay for a mask: the steps from 0 to it are one.
LEAST_SPARSITY = 0.3
_MOST_SPARSITY = 0.9
_STEP = 0.05
NO_SPARSITY = LEAST_SPARSITY - _STEP
CLUSTERS = (0, 8, 12, 16, 24, 32, 64)
EPOCHS = (0.5, 1.0, 2.0)
MOST_SPARED = 3

# What a setting given on the command line takes out of the search with it.
_FIXED_BY = {
    "width": ("width", "width_tilt"),
    "sparsity": ("sparsity", "sparsity_tilt"),
    "clusters": ("clusters", "clusters_tilt"),
    "epochs": ("epochs",),
    "distill": ("distill",),
}


@dataclass(frozen=True)
class Space:
    """The strengths that are searched over.

    Attributes:
        widest: largest share of its channels that the model may keep on this device; None: channels are not pruned.
        stages: which of `channels`, `prune` and `cluster` may stand on a path.
        named: strengths that the user named: they hold for all trials and are not searched.
        layers: how many could be pruned or clustered; one at least is not spared.
    """

    widest: float | None
    stages: frozenset[str] = frozenset({"channels", "prune", "cluster"})
    named: Mapping[str, Strength] = field(default_factory=dict)
    layers: int = MOST_SPARED + 1

    @property
    def has_channels(self) -> bool:
        """True where the number of channels may change."""
        return self.widest is not None and "channels" in self.stages

    @property
    def identity(self) -> tuple[float | None, list[str], dict[str, Strength], int]:
        """What tells this space from others, the same in every process: the order of a set is not."""
        return self.widest, sorted(self.stages), dict(self.named), self.layers

    @property
    def narrowest(self) -> float:
        """The least share of the channels that is tried, where any may go."""
        return _NARROWEST if self.widest is None else min(_NARROWEST, self.widest)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's description of the space, by name. 0 means: leave the technique out.

        `*_tilt`: 0 treats all layers alike, 1 takes most from the least sensitive ones.
        """
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, BaseDistribution] = {}
        if self.has_channels:
            assert self.widest is not None
            found["width"] = FloatDistribution(self.narrowest, self.widest)
            found["width_tilt"] = FloatDistribution(0.0, 1.0)
        if "prune" in self.stages:
            found["sparsity"] = FloatDistribution(NO_SPARSITY, _MOST_SPARSITY, step=_STEP)
            found["sparsity_tilt"] = FloatDistribution(0.0, 1.0)
        if "cluster" in self.stages:
            found["clusters"] = CategoricalDistribution(CLUSTERS)
            found["clusters_tilt"] = FloatDistribution(0.0, 1.0)
        if {"prune", "cluster"} & self.stages and self.layers > 1:
            found["spared"] = IntDistribution(0, min(MOST_SPARED, self.layers - 1))
        found["qat"] = CategoricalDistribution((True, False))
        found["epochs"] = CategoricalDistribution(EPOCHS)
        found["distill"] = CategoricalDistribution((0.0, 0.5))
        left_out = {name for setting in self.named for name in _FIXED_BY.get(setting, ())}
        return {name: distribution for name, distribution in found.items() if name not in left_out}

    def first_guesses(self) -> list[dict[str, Strength]]:
        """Strengths to begin with: a stair of widths from its middle, then plain, and smaller.

        A budget may end with them, so that those come first that are most likely worth having. Small models win more by
        training longer than by training quantization-aware, which is left to the plain guess and to what comes after.
        """
        plain: dict[str, Strength] = {
            "width_tilt": 0.0, "sparsity": NO_SPARSITY, "sparsity_tilt": 0.0, "clusters": 0,
            "clusters_tilt": 0.0, "spared": 0, "qat": True, "epochs": 1.0, "distill": 0.5,
        }  # fmt: skip
        widest = self.widest if self.has_channels and self.widest is not None else 1.0
        narrow, narrower, narrowest = (max(share * widest, self.narrowest) for share in (0.8, 0.6, 0.4))
        small: dict[str, Strength] = {"sparsity": 0.5, "clusters": 16, "qat": False, "epochs": 2.0}
        tried: tuple[dict[str, Strength], ...] = (
            {"width": narrower, **small},
            {"width": narrow, **small},
            {"width": narrowest, **small},
            {"width": widest, **small},
            {"width": widest},
            {"width": narrower, **small, "sparsity": 0.7, "clusters": 12},
        )
        names = self.distributions()
        kept = [{name: value for name, value in {**plain, **one}.items() if name in names} for one in tried]
        return [guess for index, guess in enumerate(kept) if guess not in kept[:index]]

    def holds(self, strengths: dict[str, Strength]) -> bool:
        """True where the strengths are a point of this space."""
        names = self.distributions()
        return set(names) == set(strengths) and all(
            names[name]._contains(names[name].to_internal_repr(value)) for name, value in strengths.items()
        )
