"""When a measurement is decided: "the p95 of one inference is at most 20 ms", looked at after every round. Pure.

A round is one fresh process that warms up and times some inferences. After each round one player bets that fewer of
them are over the limit than the percentile allows, another that more are: three fixed bets each, which win nothing in
the mean if the player is wrong, however often one looks. Whose unit of money has become 1/alpha is believed: a player
who is wrong gets there with probability alpha at most (Ville, 1939; test martingales: Shafer et al., 2011).

The mean of a round's share over the limit is the probability, whatever happens inside the round, so a round counts as
one inference at least; core/dependence.py says when as more. docs/adr/020-measuring-on-a-board.md says what is assumed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import partial
from itertools import chain
from statistics import fmean

from pydantic import Field

from armopt.core.dependence import effective_samples
from armopt.core.quantiles import ALLOWED_OVER, Rounds, mean_share_over, quantile
from armopt.core.record import Record
from armopt.core.records import Percentile, VerdictName
from armopt.core.stability import Conditions, Stability, stability

# By how much each bet takes the odds of an inference over the limit to differ from the claim's own. The small one wins
# at a limit near the quantile, the large one where no inference is over.
_ODDS = (1.5, 3.0, 19.0)
# No process is expected to lie further outside the ones seen than three times as far as they lie apart.
_REACH = 3.0


class Claim(Record):
    """What a measurement shall decide: one inference takes at most `limit_ms` at the percentile; None: how long."""

    limit_ms: float | None = Field(None, gt=0)
    percentile: Percentile = "p50"
    alpha: float = Field(0.05, gt=0, le=0.05, description="chance of a false verdict, on either side")
    max_rounds: int = Field(30, ge=1, description="rounds after which an undecided claim is inconclusive")
    least_rounds: int = Field(0, ge=0, description="rounds that are wanted even where fewer decide: to compare with")

    @property
    def fewest_rounds(self) -> int:
        """Rounds before which nothing is decided: with fewer, not even a round that counts as one inference could."""
        count = 1
        while _log_wealth(count, 0.0, 0.5, faster=True) < -math.log(self.alpha):
            count += 1
        return count


class Decision(Record):
    """Where a measurement stands.

    Attributes:
        verdict: None while undecided, and without a limit.
        interval_ms: where the percentile lies, each end wrong with probability alpha at most; None before the fewest
            rounds. A steady claim is met if the upper end is at most the limit, missed if the lower one is over it.
        finished: True where further rounds are not wanted.
        stable: None before the fewest rounds.
        reason: what is known, in words, or why the measurement is unstable.
    """

    verdict: VerdictName | None
    interval_ms: tuple[float, float] | None
    finished: bool
    stable: bool | None
    reason: str


def decide(rounds: Rounds, claim: Claim, conditions: Conditions | None = None) -> Decision:
    """Say what the rounds so far decide. To be asked after every round, until `finished`.

    Without a limit a measurement is finished when the interval is known and nothing drifts.

    Args:
        rounds: milliseconds, in the order of time; a round without inferences is left out.
        claim: what is to be decided.
        conditions: what the board said of itself.
    """
    timed = [one for one in rounds if len(one)]
    steady = stability(timed, conditions or Conditions(), last=len(timed) >= claim.max_rounds)
    interval = _interval(timed, claim) if len(timed) >= claim.fewest_rounds else None
    done = len(timed) >= claim.max_rounds or steady.stable is False
    verdict = None
    if claim.limit_ms is None:
        done = done or (interval is not None and steady.trend == 0)
    else:
        verdict = _verdict(timed, interval, claim, claim.limit_ms, steady)
        verdict = "inconclusive" if verdict is None and done else verdict
    return Decision(
        verdict=verdict,
        interval_ms=interval,
        finished=done or verdict is not None,
        stable=steady.stable,
        reason=steady.reason or _words(timed, interval, claim, steady.trend),
    )


def _verdict(
    timed: Rounds, interval: tuple[float, float] | None, claim: Claim, limit_ms: float, steady: Stability
) -> VerdictName | None:
    """The verdict that the interval gives, if the rounds are steady enough for it."""
    if claim.percentile == "max" and any(max(one) > limit_ms for one in timed):
        return "missed"  # one run over the limit is all it takes, whatever the others do
    if steady.stable is False:
        return "unstable"
    if interval is None or steady.trend != 0:
        return None
    low, high = interval
    if high <= limit_ms:
        return "met"
    return "missed" if low > limit_ms else None


def _interval(timed: Rounds, claim: Claim) -> tuple[float, float]:
    """Where the percentile lies. For `max` that is the slowest of the runs that were timed: it speaks of no other."""
    if claim.percentile == "max":
        slowest = max(max(one) for one in timed)
        return slowest, slowest
    share = 1 - ALLOWED_OVER[claim.percentile]
    ordered = [sorted(one) for one in timed]
    low, high = _by_bets(ordered, effective_samples(timed, share), share, claim.alpha)
    levels = [quantile([one], share) for one in ordered]
    reach = _REACH * (max(levels) - min(levels))
    return max(low, min(levels) - reach), min(high, max(levels) + reach)


def _by_bets(ordered: Rounds, samples: float, share: float, alpha: float) -> tuple[float, float]:
    """The limits that the bets do not decide: 0 or infinity where they decide none on that side."""

    def shown(over: float, *, faster: bool) -> bool:
        return _log_wealth(samples, over, 1 - share, faster=faster) >= -math.log(alpha)

    over = partial(mean_share_over, ordered)
    # Limits that no timed value lies between are decided alike, so the ends of the interval are timed values.
    limits = sorted(chain.from_iterable(ordered))
    met = bisect_left(limits, True, key=lambda limit_ms: shown(over(limit_ms), faster=True))
    not_missed = bisect_left(limits, True, key=lambda limit_ms: not shown(over(limit_ms), faster=False))
    return (
        limits[not_missed] if shown(1.0, faster=False) else 0.0,
        limits[met] if met < len(limits) else math.inf,
    )


def _log_wealth(samples: float, over: float, allowed: float, *, faster: bool) -> float:
    """The logarithm of what is left of one unit of money after `samples` bets.

    Args:
        samples: independent inferences that the rounds are worth.
        over: share of inferences over the limit.
        allowed: share that the percentile lets be over it.
        faster: bet on fewer than allowed, else on more.
    """
    logs = []
    for ratio in _ODDS:
        odds = allowed / (1 - allowed) * (1 / ratio if faster else ratio)
        bet = odds / (1 + odds)
        logs.append(samples * (over * math.log(bet / allowed) + (1 - over) * math.log((1 - bet) / (1 - allowed))))
    most = max(logs)
    return most + math.log(fmean(math.exp(one - most) for one in logs))


def _words(timed: Rounds, interval: tuple[float, float] | None, claim: Claim, trend: int) -> str:
    runs = f"{sum(len(one) for one in timed):,} inferences in {len(timed)} rounds"
    if claim.percentile == "max" and timed:
        said = f"the slowest of {runs} took {max(max(one) for one in timed):.3g} ms"
    elif interval is None:
        said = f"{runs} do not tell {claim.percentile}"
    else:
        said = f"{claim.percentile} is {interval[0]:.3g} to {interval[1]:.3g} ms by {runs}"
    return said + ("" if trend == 0 else ", rising" if trend > 0 else ", falling")
