"""Builds one node of the tree, or fetches it from the store: train, export, audit, score."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from armopt.compress.audit import audit
from armopt.compress.constraints import Constraints
from armopt.compress.data import Data
from armopt.compress.export import export_tflite
from armopt.compress.models import Source, copy_model
from armopt.compress.promises import promises_of
from armopt.compress.quality import score_keras, score_tflite
from armopt.compress.stages import STAGES, Context, Workpiece, channels
from armopt.compress.task import Task
from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Listener, NodeStarted, Note, TrainingStep, silent
from armopt.core.profile import Profile, StageSettings
from armopt.core.records import Audit
from armopt.core.stages import FACTS
from armopt.core.tree import FIRST_STAGES, ROOT, parent_of, stage_of
from armopt.search.builder import FULL, TFLITE, Builder, Built, Scoring, Terms, built_or_why_not
from armopt.search.store import Entry, Store, key_of

# Raised whenever a stage, the exporter or the audit would make other bytes or figures from equal inputs.
RECIPE = 3


class NodeBuilder:
    """Builds nodes of one tree from one source on one data set. Shared prefixes are trained once.

    Args:
        source: the model as given.
        data: prepared data.
        task: loss and metric.
        profile: strengths.
        overrides: settings from flags, over the profile's.
        float_io: float32 inputs and outputs in the exported files.
        store: where nodes are kept.
        listener: told of progress.
        scoring: what is scored of each node; nodes of different scoring are kept apart.
    """

    def __init__(
        self,
        source: Source,
        data: Data,
        task: Task,
        profile: Profile,
        overrides: dict[str, object],
        float_io: bool,
        store: Store,
        listener: Listener,
        scoring: Scoring = FULL,
    ) -> None:
        self._source, self._data, self._task, self._scoring = source, data, task, scoring
        self._profile, self._overrides, self._float_io = profile, overrides, float_io
        self._store, self._listener = store, listener
        self._pieces: dict[str, Workpiece] = {ROOT: Workpiece(source.model, Constraints())}
        told_apart = () if scoring == FULL else (asdict(scoring),)
        self._root_key = key_of(
            RECIPE, _versions(), source.fingerprint(), data.fingerprint(), task.identity, *told_apart
        )
        self._source_metrics: dict[str, float] = {}

    @property
    def terms(self) -> Terms:
        """The terms as they stand now; what is settled later changes them."""
        return Terms(self._profile, self._overrides, self._float_io, self._scoring)

    def expect(self, leaves: Iterable[str], all_needed: bool = False) -> None:
        """Nothing is built ahead: one process builds what it is asked for, when it is asked."""

    def build_each(self, jobs: Sequence[tuple[NodeBuilder, str]]) -> list[Built | ModelError | ConversionError]:
        """As `Builder` says, one after the other."""
        return [built_or_why_not(partial(builder.build, path)) for builder, path in jobs]

    def instead(self, inner: NodeBuilder) -> Builder:
        """The other builder itself."""
        return inner

    def settings(self, path: str) -> StageSettings:
        """Settings of the stage that makes the node."""
        return self._profile.settings_of(path, self._overrides)

    def apart(
        self,
        scoring: Scoring,
        overrides: dict[str, object] | None = None,
        profile: Profile | None = None,
        listener: Listener = silent,
    ) -> NodeBuilder:
        """A builder on the same source and data: otherwise scored, with further settings over all, or of other nodes.

        `listener` is told of its progress; nobody by default.
        """
        merged = {**self._overrides, **(overrides or {})}
        return NodeBuilder(
            self._source, self._data, self._task, profile or self._profile, merged, self._float_io, self._store,
            listener, scoring,
        )  # fmt: skip

    @property
    def at_once(self) -> int:
        """One: this process builds them."""
        return 1

    def settle(self, path: str, settings: dict[str, object]) -> None:
        """Give one node settings that were found for it; only before it or anything below it is built."""
        nodes = {**self._profile.nodes, path: {**self._profile.nodes.get(path, {}), **settings}}
        self._profile = self._profile.model_copy(update={"nodes": nodes})

    def key(self, path: str) -> str:
        """Content address of a node: its source, data and task, and every setting that its path depends on."""
        if path == ROOT:
            return self._root_key
        stage = stage_of(path)
        used = STAGES[stage].USES
        settings = {name: value for name, value in self.settings(path).model_dump().items() if name in used}
        leaf = (
            {"export": self._profile.export.model_dump(), "float_io": self._float_io} if FACTS[stage].numbers else None
        )
        return key_of(self.key(parent_of(path)), stage, settings, leaf)

    def source_metric(self, split: str) -> float:
        """The metric of the model as given on `val` or `test`; scored once and remembered."""
        if not self._source_metrics:
            self._source_metrics = dict(self.build(ROOT).metrics)
        return self._source_metrics[f"keras_{split}"]

    def build(self, path: str) -> Built:
        """The node, from the store or made now; ancestors are made first where they are missing.

        Raises:
            ModelError: the stage can't work on this model.
            ConversionError: the converter refused it.
            StructureLost: the exported file breaks an ancestor's promise.
            StoreError: the store can't be written.
        """
        key = self.key(path)
        entry = self._store.get(key)
        cached = entry is not None
        if entry is None:
            waiting = Note(f"{path}: another run is building this node, waiting for it")
            with self._store.lock(key, lambda: self._listener(waiting)):
                entry = self._store.get(key)
                cached = entry is not None
                entry = entry or self._make(path, key)
        return _as_built(entry, cached)

    def stored(self, path: str) -> Built | None:
        """The node where the store has it."""
        entry = self._store.get(self.key(path))
        return None if entry is None else _as_built(entry, True)

    def _make(self, path: str, key: str) -> Entry:
        started = time.monotonic()
        if path == ROOT:
            self._listener(NodeStarted(path, "scoring the model as given"))
            piece, words = self._pieces[ROOT], ""
        else:
            parent = self.piece(parent_of(path))
            stage = STAGES[stage_of(path)]
            words = stage.describe(self.settings(path))
            self._listener(NodeStarted(path, words))
            started = time.monotonic()
            piece = stage.apply(parent, self._context(path))
        self._pieces[path] = piece

        def write(folder: Path) -> dict[str, Any]:
            metrics, found, notes = self._finish(path, piece, folder)
            return {
                "kind": "node",
                "node": path,
                "model": self._source.name,
                "work": words,
                "metrics": metrics,
                "audit": found.model_dump() if found else None,
                "notes": notes,
                "seconds": round(time.monotonic() - started, 2),
            }

        return self._store.put(key, write)

    def _finish(self, path: str, piece: Workpiece, folder: Path) -> tuple[dict[str, float], Audit | None, list[str]]:
        """Write a node's files and score it: Keras always, the .tflite where the node is a leaf."""
        data, task, splits = self._data, self._task, self._scoring.splits
        floats = splits if self._scoring.float_models else ()
        notes = list(piece.notes)
        if path != ROOT:
            np.savez(folder / "weights.npz", **{f"{i:05d}": w for i, w in enumerate(piece.model.get_weights())})
            piece.constraints.save(folder / "constraints.npz")
            channels.save(piece, folder)
        if path != ROOT and not FACTS[stage_of(path)].trains:
            # Nothing was trained, so the parent's Keras metric is the node's.
            metrics = {f"keras_{split}": self.build(parent_of(path)).metrics[f"keras_{split}"] for split in floats}
        else:
            metrics = {f"keras_{split}": score_keras(piece.model, getattr(data, split), task) for split in floats}
        numbers = FACTS[stage_of(path)].numbers if path != ROOT else None
        if numbers is None:
            return metrics, None, notes
        samples = self._scoring.calibration_samples or self._profile.export.calibration_samples
        calibration = data.train.sample(samples)
        exported = export_tflite(
            piece.model, calibration, folder / TFLITE, self._float_io or self._profile.export.float_io, numbers
        )
        found = audit(exported.path, promises_of(piece.model, piece.constraints))
        notes += exported.notes
        if found.unproven:
            notes.append(f"not proved in the file: {', '.join(found.unproven)}")
        for split in splits:
            metrics[f"int8_{split}"] = score_tflite(exported.path, getattr(data, split), task)
        return metrics, found, notes

    def piece(self, path: str) -> Workpiece:
        """Model and promises of the root or an inner node, in memory or read back onto a model of its shape.

        A leaf's can't be read back: quantization-aware training changes the layers.
        """
        built = self.build(path)
        if path not in self._pieces:
            parent = self.piece(parent_of(path)).model
            reshapes = stage_of(path) in FIRST_STAGES
            model = channels.rebuild(parent, built.entry.path) if reshapes else copy_model(parent)
            with np.load(built.entry.path / "weights.npz", allow_pickle=False) as file:
                model.set_weights([file[name] for name in sorted(file.files)])
            self._pieces[path] = Workpiece(model, Constraints.load(built.entry.path / "constraints.npz"))
        return self._pieces[path]

    def _context(self, path: str) -> Context:
        def on_step(step: int, steps: int, epoch: int, epochs: int, loss: float) -> None:
            self._listener(TrainingStep(path, step, steps, epoch, epochs, loss))

        settings = self.settings(path)
        return Context(self._data, self._task, settings, on_step, self._source.model if settings.distill else None)


def _as_built(entry: Entry, cached: bool) -> Built:
    record = entry.record
    found = Audit.model_validate(record["audit"]) if record["audit"] else None
    return Built(entry, cached, record["metrics"], found, tuple(record["notes"]))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {
        name: version(name) for name in ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert")
    }
