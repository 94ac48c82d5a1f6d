"""What all pictures share: colours, settings, and a figure that a notebook shows by itself.

Drawn on matplotlib's own `Figure`, never through pyplot: a user's session keeps its backend, figures and settings.
Import this module only where a picture is made; matplotlib takes half a second.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Paul Tol's bright and vibrant schemes (personal.sron.nl/~pault), told apart under all common colour blindness; words
# in the pictures say the same.
GREY, BLUE, GREEN, PURPLE, ORANGE, RED, YELLOW = (
    "#777777",
    "#4477AA",
    "#228833",
    "#AA3377",
    "#EE7733",
    "#CC3311",
    "#CCBB44",
)
QUIET = "#5F5F5F"


class Picture(Figure):
    """A matplotlib figure that a notebook shows as it is, whatever its backend."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with calm():
            self.savefig(content, format="png")
        return content.getvalue()


def write(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Put text on a figure; dollar signs in it are no formula."""
    figure.text(x, y, text, parse_math=False, **look)


@contextmanager
def calm() -> Iterator[None]:
    """Settings of ours for the time of drawing, and no warnings about characters of a name that no font has."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        # A user's matplotlibrc would change layout and colours that fit together here.
        matplotlib.rcParams.update(
            {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
        )
        # A fixed salt makes equal pictures equal files.
        matplotlib.rcParams.update({"svg.hashsalt": "armopt", "axes.unicode_minus": False})
        try:
            yield
        finally:
            logger.setLevel(level)
