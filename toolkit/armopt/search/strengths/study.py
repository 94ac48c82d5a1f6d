"""The search's loop: Optuna says what to try, the ladder says what goes on, the store remembers.

Trials are asked for in generations of a fixed size and told in their order. With a seeded sampler and evaluations that
the store remembers, a search that was killed asks the same again, is answered from the store, and goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from armopt.core.errors import UsageError
from armopt.core.events import Doing, Listener, Note, SearchProgress, silent
from armopt.core.gate import Judgement, Observed, judge
from armopt.core.records import Measurement, Metric
from armopt.core.search_record import RUNGS, Rung, Trial
from armopt.core.target import Target
from armopt.search.strengths.evaluate import Ask, Outcome
from armopt.search.strengths.known import as_known
from armopt.search.strengths.ladder import Standing, going_on, next_rung
from armopt.search.strengths.recipe import on_the_way
from armopt.search.strengths.space import Space
from armopt.search.strengths.told import Goal, excesses, objectives, winners

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

GENERATION = 4
_STARTUP = 12
_SEED_LIMIT = 2**32

_OUT_OF_TIME = "the budget was used up"

Evaluate = Callable[[Sequence[Ask]], list[Outcome]]
Clock = Callable[[], float]


class Study:
    """One search.

    Args:
        space: what can be turned.
        goal: target, metric and the source's own figures on val.
        evaluate: builds and measures.
        seed: of the sampler.
        known: trials of earlier searches on the same subject, to start from.
        listener: told of each trial.
        keep: given each trial when nothing more is done on it.
        clock: seconds, for the budget.
        rungs: on which trials are compared.
        at_once: how many trials are evaluated side by side; between them a budget is looked at.
        guesses_fit: the first guesses keep all limits that an untrained file can miss: they are trained at once.
        sampler: what asks after the first guesses; None: TPE, as `tpe` makes it.
    """

    def __init__(
        self,
        space: Space,
        goal: Goal,
        evaluate: Evaluate,
        seed: int,
        known: Sequence[Trial] = (),
        listener: Listener = silent,
        keep: Callable[[Trial], None] = lambda trial: None,
        clock: Clock = time.monotonic,
        rungs: Sequence[Rung] = RUNGS,
        at_once: int = GENERATION,
        guesses_fit: bool = False,
        sampler: BaseSampler | None = None,
    ) -> None:
        import optuna

        self._rungs, self._at_once, self._guesses_fit = rungs, at_once, guesses_fit

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._goal, self._evaluate, self._listener, self._keep, self._clock = goal, evaluate, listener, keep, clock
        self._distributions = space.distributions()
        if not self._distributions:
            raise UsageError("there is nothing left to search", "name fewer settings on the command line")
        directions = [direction for _, direction in objectives(goal)]
        self._study = optuna.create_study(sampler=sampler or tpe(seed), directions=directions)
        for one in known:
            self._study.add_trial(as_known(one, goal, self._distributions))
        for guess in space.first_guesses():
            self._study.enqueue_trial(guess)
        self._seen: dict[Rung, list[Standing]] = {rung: [] for rung in RUNGS}
        self.trials: list[Trial] = []
        self._named = space.named
        self._ended: list[Trial] = []
        self._asked = 0
        self._beside: list[Trial] = []
        self._wanted: int | None = None

    def run(self, trials: int | None, budget_s: float | None) -> list[Trial]:
        """Try so many strengths, or as many as fit into so many seconds; at least one generation.

        What lies on the way of those that were trained is not counted: it is there for the price of an export.

        Raises:
            DeviceError: the device failed.
        """
        began = self._clock()
        self._wanted = trials
        self._listener(SearchProgress(0, trials))

        def in_time() -> bool:
            return budget_s is None or self._clock() - began < budget_s

        while (trials is None or self._asked < trials) and (in_time() or not self.trials):
            room = GENERATION if trials is None else min(GENERATION, trials - self._asked)
            self._generation(room, in_time)
        return self.trials

    def _generation(self, size: int, in_time: Callable[[], bool]) -> None:
        # Always a whole generation is asked for, so that a longer search begins like a shorter one.
        asked = [self._study.ask(self._distributions) for _ in range(GENERATION)][:size]
        first = len(self.trials)
        course = {first + place: dict(trial.params) for place, trial in enumerate(asked)}
        done: dict[int, Trial] = {
            number: Trial(number=number, path="", strengths=strengths, state="stopped")
            for number, strengths in course.items()
        }
        # There is nothing yet to compare guesses with: untrained, all would go on.
        rung: Rung | None = self._rungs[1 if self._guesses_fit and not first else 0]
        alive = list(course)
        while rung is not None and alive:
            alive = self._climb(rung, alive, done, in_time)
            rung = next_rung(rung, self._rungs)
        for number, trial in zip(course, asked, strict=True):
            self._tell(trial, done[number])
            if done[number].reason != _OUT_OF_TIME:
                self._keep(done[number])
        self._asked += size
        self.trials += [*done.values(), *self._beside]
        self._beside = []

    def _climb(self, rung: Rung, alive: list[int], done: dict[int, Trial], in_time: Callable[[], bool]) -> list[int]:
        """Evaluate those that are alive at a rung, as far as there is time to train; who goes on."""
        is_last = next_rung(rung, self._rungs) is None
        compared, open_ones = [], list(alive)
        for first in range(0, len(alive), self._at_once):
            some = [Ask(number, done[number].strengths, rung) for number in alive[first : first + self._at_once]]
            if rung != "one-shot" and not in_time():
                for number in alive[first:]:
                    done[number] = done[number].model_copy(update={"reason": _OUT_OF_TIME})
                break
            self._listener(Doing(f"search: trials {', '.join(str(ask.number) for ask in some)}, {_WORDS[rung]}"))
            outcomes = list(zip(some, self._evaluate(some), strict=True))
            for ask, outcome in outcomes:
                trial = done[ask.number] = _with_outcome(done[ask.number], outcome, rung, self._goal)
                if trial.state == "stopped" and trial.metric is not None and trial.gz_bytes is not None:
                    compared.append(ask.number)
                    self._seen[rung].append(Standing(ask.number, trial.metric, trial.gz_bytes, trial.known_latency_ms))
            if is_last:  # told of before what lies on the way, and before the next ones are trained
                for number in (ask.number for ask in some):
                    if number in compared:
                        done[number] = done[number].model_copy(update={"state": "finished"})
                    open_ones.remove(number)
                    self._end(done[number])
                trained = [ask for ask, outcome in outcomes if outcome.metric is not None]
                self._look_on_the_way(trained, len(self.trials) + len(done), in_time)
        going = [] if is_last else going_on(rung, self._seen[rung], compared, self._goal.metric)
        for number in sorted(set(open_ones) - set(going)):
            if number in compared:
                done[number] = done[number].model_copy(update={"reason": f"others were better, {_WORDS[rung]}"})
            self._end(done[number])
        return going

    def _look_on_the_way(self, trained: Sequence[Ask], number: int, in_time: Callable[[], bool]) -> None:
        """Score the models that were trained on the way to these; their numbers follow those of the generation.

        The sampler is not told: it would learn from several trials of one training as if each were its own.
        """
        tried = [trial.strengths for trial in [*self.trials, *self._beside]]
        parts = [(part, ask.number) for ask in trained for part in on_the_way(ask.strengths, self._named)]
        for strengths, whole in parts:
            if strengths in tried or not in_time():
                continue
            tried.append(strengths)
            place = number + len(self._beside)
            self._listener(Doing(f"search: on the way of trial {whole}"))
            [outcome] = self._evaluate([Ask(place, strengths, self._rungs[-1])])
            found = Trial(number=place, path="", strengths=strengths, state="stopped", on_the_way_of=whole)
            found = _with_outcome(found, outcome, self._rungs[-1], self._goal)
            if found.state == "stopped":
                found = found.model_copy(update={"state": "finished"})
            self._beside.append(found)
            self._end(found)

    def _end(self, trial: Trial) -> None:
        """Tell of a trial on which nothing more is done."""
        self._ended.append(trial)
        asked = sum(one.on_the_way_of is None for one in self._ended)
        self._listener(Note(trial_line(trial, self._goal.metric)))
        best = next((trial_figures(one, self._goal.metric) for one in winners(self._goal, self._ended)), "")
        self._listener(SearchProgress(asked, self._wanted, best))

    def _tell(self, asked: object, trial: Trial) -> None:
        import optuna

        values = [value for value, _ in objectives(self._goal, trial)] if trial.metric is not None else None
        if values is None:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)  # type: ignore[arg-type]
            return
        for name, excess in excesses(self._goal, trial).items():
            asked.set_constraint(name, excess)  # type: ignore[attr-defined]
        self._study.tell(asked, values)  # type: ignore[arg-type]


def tpe(seed: int, startup: int = _STARTUP) -> BaseSampler:
    """Optuna's TPE for generations; the first `startup` trials are drawn at random where nothing is enqueued."""
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed % _SEED_LIMIT, n_startup_trials=startup, multivariate=True, constant_liar=True
    )


_WORDS: dict[Rung, str] = {"one-shot": "untrained", "short": "trained briefly", "long": "trained to the end"}


def _with_outcome(trial: Trial, outcome: Outcome, rung: Rung, goal: Goal) -> Trial:
    if outcome.error or outcome.measured is None:
        return trial.model_copy(update={"path": outcome.path, "state": "failed", "reason": outcome.error})
    if outcome.metric is not None and not math.isfinite(outcome.metric):
        reason = f"{goal.metric.name} is not a number"
        return trial.model_copy(update={"path": outcome.path, "state": "failed", "reason": reason})
    measured = outcome.measured
    seen = trial.model_copy(
        update={
            "path": outcome.path,
            "rung": rung,
            "metric": outcome.metric,
            "gz_bytes": outcome.gz_bytes,
            "latency_ms": measured.latency_ms.p50 if measured.latency_ms else None,
            "interval_ms": measured.interval_ms,
            "instructions": measured.instructions,
            "npu": measured.npu,
            "seconds": round(trial.seconds + outcome.seconds, 2),
        }
    )
    verdict = judged(outcome, goal, goal.target)
    hopeless = judged(outcome, goal, goal.before_training) if rung == "one-shot" else None
    if hopeless is not None and hopeless.verdict not in (None, "met") and not _more_rounds_may_tell(hopeless, measured):
        return seen.model_copy(update={"state": "infeasible", "reason": hopeless.reason})
    return seen.model_copy(update={"meets_target": verdict.verdict in (None, "met")})


def _more_rounds_may_tell(judgement: Judgement, measured: Measurement) -> bool:
    return measured.evidence == "measured" and judgement.verdict == "inconclusive"


def judged(outcome: Outcome, goal: Goal, target: Target) -> Judgement:
    """The gate's judgement of a trial's figures on val."""
    assert outcome.measured is not None
    figures = {"metric": outcome.metric, "source_metric": goal.source_metric, "gz_bytes": outcome.gz_bytes}
    return judge(target, Observed.by(outcome.measured, **figures), goal.metric)


def trial_line(trial: Trial, metric: Metric) -> str:
    """A trial in one line."""
    words = f"{trial.state}: {trial.reason}" if trial.reason else trial.state
    figures = trial_figures(trial, metric)
    part = "" if trial.on_the_way_of is None else f", on the way of {trial.on_the_way_of}"
    return f"trial {trial.number}{part}, {trial.path or '?'}: {', '.join([figures, words] if figures else [words])}"


def trial_figures(trial: Trial, metric: Metric) -> str:
    """What is known of a trial, in words."""
    figures = []
    if trial.metric is not None:
        figures.append(f"{metric.name} {trial.metric:.4f}")
    if trial.gz_bytes is not None:
        figures.append(f"{trial.gz_bytes:,} bytes")
    if trial.latency_ms is not None:
        figures.append(f"{trial.latency_ms:.3g} ms")
    return ", ".join(figures)
