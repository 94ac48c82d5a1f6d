"""How tests are shared out among processes: by file, and what uses the virtual board in one of them."""

from __future__ import annotations

import hypothesis
import pytest

# A shared machine may be slow at any moment: speed is checked in benchmarks.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        shares_board = "virtual_board" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("virtual board" if shares_board else str(item.path)))
