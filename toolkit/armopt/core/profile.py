"""An optimisation profile: the tree, and the strength of each stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from armopt.core.errors import UsageError
from armopt.core.pattern import Pattern, parse_pattern
from armopt.core.records import Record
from armopt.core.target import Target
from armopt.core.tree import stage_of, with_further_leaves

# Zero, and both ends of the codes' range: with fewer clusters channels can't share them.
FEWEST_SHARED = 3


def _known_pattern(text: str) -> str:
    parse_pattern(text)
    return text


class StageSettings(Record):
    """How hard one stage works. Keys that a stage does not use are ignored by it."""

    sparsity: float = Field(0.5, gt=0, lt=1, description="share of each pruned kernel that becomes zero")
    schedule: Literal["polynomial", "constant"] = "polynomial"
    scope: Literal["layer", "global"] = Field(
        "layer",
        description="threshold of each kernel by itself, or one for all of them (N:M knows none); channels: the same "
        "width for every group, or widths weighed against each other",
    )
    pattern: Annotated[str, AfterValidator(_known_pattern)] = Field(
        "unstructured",
        description="which weights become zero together: 'unstructured', 'block:RxC' (outputs x inputs), or 'N:M', "
        "N of M inputs kept, which fixes the sparsity",
    )
    clusters: int = Field(16, ge=2, le=256, description="distinct values a clustered kernel may hold, zero included")
    clustering: Literal["shared", "tensor", "channel"] = Field(
        "shared",
        description="what holds that many: the INT8 tensor (shared codes), the float tensor, or each of its channels",
    )
    epochs: int = Field(2, ge=0, le=10_000)
    min_steps: int = Field(
        300, ge=0, description="optimizer steps at least: small data get more epochs; 0 with --epochs"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam, at the start")
    decay: Literal["constant", "cosine"] = Field(
        "constant", description="how the learning rate goes on: as it is, or down to zero along half a cosine"
    )
    batch_size: int = Field(100, ge=1)
    seed: int = Field(1, ge=0, lt=2**32)
    depthwise: bool = Field(False, description="prune and cluster depthwise kernels too")
    spare: tuple[str, ...] = Field((), description="shell-style patterns of layer names to leave alone")
    first_layer: bool = Field(True, description="prune and cluster the layers that read the model's inputs")
    last_layer: bool = Field(True, description="prune and cluster the layers that make the model's outputs")
    width: float = Field(
        0.5, gt=0, le=1, description="share of its channels that every group keeps; solved for where a target asks it"
    )
    widths: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict, description="the same by the group's name, over `width`"
    )
    width_step: int = Field(8, ge=1, description="channels are kept in multiples of this; the device's own by default")
    importance: Literal["taylor", "l1", "random"] = Field(
        "taylor",
        description="which channels stay: by what the loss would change, by the consumers' weights, or by chance",
    )
    layer_sparsity: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict, description="sparsity by shell-style pattern of layer names, over `sparsity`"
    )
    layer_clusters: dict[str, Annotated[int, Field(ge=2, le=256)]] = Field(
        default_factory=dict, description="clusters by shell-style pattern of layer names, over `clusters`"
    )
    distill: float = Field(
        0.0, ge=0, le=1, description="share of the loss that is agreement with the model as given (distillation)"
    )
    temperature: float = Field(2.0, gt=0, description="softens what is agreed on, of classifiers")

    @property
    def pruning(self) -> Pattern:
        """The pruning pattern, read."""
        return parse_pattern(self.pattern)


class ExportSettings(Record):
    """How leaves are written."""

    float_io: bool = Field(False, description="float32 inputs and outputs instead of int8")
    calibration_samples: int = Field(200, ge=1, description="training samples that set the activation ranges")


class Profile(Record):
    """A tree with its strengths: settings common to all stages, then per stage, then per node, the later winning."""

    name: str
    title: str = ""
    tree: tuple[str, ...] = Field(description="node paths, for example 'prune/cluster/pcqat'")
    speed_tree: tuple[str, ...] = Field(
        (), description="nodes that join the tree where the target limits latency or instructions"
    )
    common: dict[str, object] = Field(default_factory=dict)
    stages: dict[str, dict[str, object]] = Field(default_factory=dict)
    nodes: dict[str, dict[str, object]] = Field(default_factory=dict)
    export: ExportSettings = ExportSettings()

    @property
    def joining(self) -> tuple[str, ...]:
        """Nodes that stand in the tree only under a limit on latency or instructions."""
        return tuple(path for path in self.speed_tree if path not in self.tree)

    def with_leaves(self, leaves: tuple[str, ...]) -> Profile:
        """The profile with further leaves (`16x8`, `dynamic`, `float16`, `sparse`) beside each `ptq` of its tree.

        Raises:
            UsageError: not such a leaf, or no `ptq` in the tree.
        """
        return self.model_copy(
            update={
                "tree": with_further_leaves(self.tree, leaves),
                "speed_tree": with_further_leaves(self.speed_tree, leaves if self.speed_tree else ()),
            }
        )

    def under(self, target: Target, width_is_named: bool = False) -> Profile:
        """The profile with the tree that is walked under a target.

        `speed_tree` joins it where the target limits latency, instructions or an Ethos-U's memory, and where the user
        named a width.
        """
        if not target.limits_cost and not width_is_named:
            return self
        return self.model_copy(update={"tree": tuple(dict.fromkeys((*self.tree, *self.speed_tree)))})

    def with_width_step(self, step: int) -> Profile:
        """The profile with a device's own step of channels wherever it names none."""
        return self.model_copy(update={"common": {"width_step": step, **self.common}})

    def with_settings(self, settings: dict[str, object]) -> Profile:
        """The profile with these settings in place of what it says of them anywhere."""

        def without(given: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
            return {name: {k: v for k, v in table.items() if k not in settings} for name, table in given.items()}

        update = {
            "common": {**self.common, **settings}, "stages": without(self.stages), "nodes": without(self.nodes)
        }  # fmt: skip
        return self.model_copy(update=update)

    def settings_of(self, path: str, overrides: dict[str, object] | None = None) -> StageSettings:
        """Settings of the stage that makes the node at `path`; `overrides` (from flags) win over everything."""
        merged = {**self.common, **self.stages.get(stage_of(path), {}), **self.nodes.get(path, {}), **(overrides or {})}
        return StageSettings.model_validate(merged)

    def check_clusters(self, overrides: dict[str, object] | None = None) -> None:
        """Find out before anything is trained that a node asks for what clustering can't do.

        Raises:
            UsageError: fewer than 3 clusters for shared codes.
        """
        for path in (*self.tree, *self.speed_tree):
            if stage_of(path) == "cluster":
                refuse_too_few(self.settings_of(path, overrides))


def refuse_too_few(settings: StageSettings) -> None:
    """Refuse shared codes of fewer clusters than zero and both ends.

    Raises:
        UsageError: fewer than 3.
    """
    fewest = min(settings.clusters, *settings.layer_clusters.values(), 256)
    if settings.clustering == "shared" and fewest < FEWEST_SHARED:
        raise UsageError(
            f"{fewest} clusters can't be shared between channels",
            "give 3 or more: zero and both ends; or set clustering to 'tensor' in the profile",
        )
