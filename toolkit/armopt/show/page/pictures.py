"""Pictures that a run drew, as parts of the page: embedded as images, in which nothing runs and nothing is loaded."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from armopt.show.text import clean

# Of one picture, and of all pictures of a page: what a page of 5 MB has room for beside all else.
MOST_BYTES, MOST_BYTES_IN_ALL = 300_000, 2_000_000
# Kernels of one run.
MOST_KERNELS = 6

# The words of a picture stand in it as outlines, each behind a comment that says them (matplotlib's SVG backend).
_WORDS = re.compile(r"<!-- (.{1,400}?) -->")
_WEIGHTS = re.compile(r"^([0-9,]{1,20}) weights, ")
_SIZE = re.compile(r'<svg\b[^>]{0,400}\bviewBox="0 0 ([0-9.]{1,8}) ([0-9.]{1,8})"')
# A browser runs none of these in an image. They have no place in a picture of ours, so it is none.
_NOT_OURS = re.compile(r"<script|<foreignObject|<!ENTITY|\son\w+\s*=|\bhref\s*=\s*[\"'](?!#)|@import|url\((?!#)", re.I)
_CAPTION = re.compile(r"distinct|zeros|weights, ")


@dataclass(frozen=True)
class Picture:
    """One picture: what it is of, its words, and itself as a `data:` address. Size in CSS pixels."""

    title: str
    words: str
    weights: int
    address: str
    width: int
    height: int

    @property
    def size_bytes(self) -> int:
        """What it adds to the page."""
        return len(self.address)


def picture_of(name: str, content: bytes) -> Picture | None:
    """The picture in an SVG file of a run's `plots`, or None where it is none of ours or too large.

    Args:
        name: of the file, such as `003-block1_pw_kernel.svg`.
        content: of the file, which anybody may have written.
    """
    text = content.decode("utf-8", "replace")
    size = _SIZE.search(text)
    if len(content) > MOST_BYTES or size is None or _NOT_OURS.search(text):
        return None
    found = [clean(html.unescape(words), 120) for words in _WORDS.findall(text)]
    counted = [place for place, words in enumerate(found) if _WEIGHTS.match(words)]
    title = found[counted[0] - 1] if counted and counted[0] else clean(name.split("-", 1)[-1].removesuffix(".svg"), 80)
    weights = int(found[counted[0]].split(" ", 1)[0].replace(",", "") or 0) if counted else 0
    return Picture(
        title=title,
        words=clean("; ".join(words for words in found if _CAPTION.search(words)), 600),
        weights=weights,
        address=f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}",
        width=round(float(size[1]) * 4 / 3),
        height=round(float(size[2]) * 4 / 3),
    )


def largest(pictures: Sequence[Picture], room: int) -> tuple[Picture, ...]:
    """Those without weights (a search's trials), then the kernels with the most weights, as far as `room` bytes go."""
    kept: list[Picture] = []
    kernels = 0
    for picture in sorted(pictures, key=lambda one: (bool(one.weights), -one.weights)):
        if picture.size_bytes > room or (picture.weights and kernels == MOST_KERNELS):
            continue
        kept.append(picture)
        kernels += bool(picture.weights)
        room -= picture.size_bytes
    return tuple(kept)
