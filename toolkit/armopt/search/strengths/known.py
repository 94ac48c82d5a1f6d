"""What earlier searches on the same model, data and device found: a search starts from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from armopt.core.search_record import Trial
from armopt.search.store import Store, key_of
from armopt.search.strengths.space import Space
from armopt.search.strengths.told import Goal, excesses, objectives

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# Newest first; a sampler learns little from more, and each is read anew.
_MOST = 200


def as_known(trial: Trial, goal: Goal, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """The trial as Optuna takes it in, held against this search's own goal."""
    import optuna

    return optuna.trial.create_trial(
        params=dict(trial.strengths),
        distributions=dict(distributions),
        values=[value for value, _ in objectives(goal, trial)],
        constraints=excesses(goal, trial),
    )


class Memory:
    """The trials of all searches, in the store.

    Args:
        store: where they are kept.
        subject: what tells model, data, task and device from others.
        study: what tells this search from others on the same subject.
    """

    def __init__(self, store: Store, subject: str, study: str) -> None:
        self._store, self._subject, self._study = store, subject, study

    def known(self, space: Space) -> list[Trial]:
        """What was known when this search was first begun: a search that goes on starts from the same."""
        key = key_of("search", self._subject, self._study)
        entry = self._store.get(key)
        if entry is None:
            found = [trial.model_dump() for trial in self._others()]
            entry = self._store.put(key, lambda folder: self._record("search", {"known": found}))
        trials = [Trial.model_validate(record) for record in entry.record["known"]]
        return [trial for trial in trials if space.holds(trial.strengths)]

    def keep(self, trial: Trial) -> None:
        """Remember a finished trial."""
        key = key_of("trial", self._subject, self._study, trial.number)
        if self._store.get(key) is None:
            self._store.put(key, lambda folder: self._record("trial", {"trial": trial.model_dump()}))

    def _others(self) -> list[Trial]:
        found = [
            Trial.model_validate(entry.record["trial"])
            for entry in self._store.entries()
            if entry.record.get("kind") == "trial"
            and entry.record["subject"] == self._subject
            and entry.record["study"] != self._study
        ]
        return [trial for trial in found if trial.metric is not None][:_MOST]

    def _record(self, kind: str, more: dict[str, Any]) -> dict[str, Any]:
        return {"kind": kind, "node": "", "model": "", "seconds": 0.0, "subject": self._subject, "study": self._study,
                **more}  # fmt: skip
