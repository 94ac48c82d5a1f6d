"""How far a share of right answers may be from the share in all the answers that there could be. Pure."""

from __future__ import annotations

from statistics import NormalDist


def wilson(share: float, samples: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of a share seen in so many samples, each wrong with probability `alpha` (Wilson, 1927)."""
    z = NormalDist().inv_cdf(1 - alpha)
    middle = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    reach = z / (1 + z * z / samples) * (share * (1 - share) / samples + z * z / (4 * samples * samples)) ** 0.5
    return middle - reach, middle + reach


def drop_bounds(before: float, after: float, samples: tuple[int, int], alpha: float) -> tuple[float, float]:
    """Lower and upper bound of `before - after`, each wrong with probability `alpha`, by Wilson's bounds of both.

    Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10. On one and the
    same test set the two are not independent and the bounds are wider than they would have to be; which samples each
    model got right is not in a result.

    Args:
        before: share of right answers, 0 to 1.
        after: likewise.
        samples: of each.
        alpha: chance that a bound is wrong.
    """
    (low_1, high_1), (low_2, high_2) = (
        wilson(share, count, alpha) for share, count in zip((before, after), samples, strict=True)
    )
    drop = before - after
    low = drop - ((before - low_1) ** 2 + (high_2 - after) ** 2) ** 0.5
    high = drop + ((high_1 - before) ** 2 + (after - low_2) ** 2) ** 0.5
    return low, high
