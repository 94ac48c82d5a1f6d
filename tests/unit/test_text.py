from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armopt.show.text import clean


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bPq payload \x1b\\sixel", "sixel"),
        ("\x1b]0;never ends", ""),
        ("a\rb\nc\td", "a b c d"),
        ("back\x08space\x00", "backspace"),
        ("right\u202eto left", "rightto left"),
        ("\ud800 half", "? half"),
        ("\x1b", ""),
    ],
)
def test_escapes_vanish_whole_and_the_words_stay(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@given(st.text(st.characters(), max_size=200))
def test_nothing_that_steers_a_terminal_survives(text: str) -> None:
    cleaned = clean(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") for character in cleaned)
    cleaned.encode()


@given(st.text(max_size=200))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_names_of_people_and_layers_stay_as_they_are() -> None:
    assert clean("dense_1/MatMul;größe 漢字") == "dense_1/MatMul;größe 漢字"


def test_text_without_end_is_cut() -> None:
    assert clean("x" * 100, limit=10) == "xxxxxxx..."
