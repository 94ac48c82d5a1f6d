"""What a stage is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from armopt.compress.constraints import Constraints
from armopt.compress.data import Data
from armopt.compress.task import Task
from armopt.compress.training import OnStep
from armopt.core.profile import StageSettings


@dataclass(frozen=True, eq=False)
class Workpiece:
    """A model on its way down the tree.

    Attributes:
        model: tf-keras model; a stage must not change it, only copies of it.
        constraints: what all ancestors promised about its kernels.
        notes: what the stage could not do as asked, in sentences.
        kept: which of the parent's channels the model has, where it has fewer (`channels.groups.Kept`); else None.
    """

    model: Any
    constraints: Constraints
    notes: tuple[str, ...] = ()
    kept: Any | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """What a stage works with.

    Attributes:
        data: prepared data.
        task: loss and metric.
        settings: strengths.
        on_step: told of progress.
        teacher: tf-keras model that distillation asks for agreement with, the model as given; needed where the
            settings distill.
    """

    data: Data
    task: Task
    settings: StageSettings
    on_step: OnStep
    teacher: Any | None = None


class Stage(Protocol):
    """A module with these names is a stage; `core.stages.FACTS` says whether it trains and what file it ends in.

    Attributes:
        USES: the settings that its result depends on: only these tell its nodes apart in the store.
    """

    USES: frozenset[str]

    def describe(self, settings: StageSettings) -> str:
        """The work in a few words, for example 'prune to 50% zeros'."""
        ...

    def apply(self, piece: Workpiece, context: Context) -> Workpiece:
        """A new workpiece: the source model untouched, its promises kept, the stage's own added."""
        ...
