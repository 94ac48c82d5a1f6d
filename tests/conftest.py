"""How tests are shared out among processes: by file, and what uses the virtual board in one of them."""

from __future__ import annotations

import hypothesis
import pytest

# A shared machine may be slow at any moment: speed is checked in benchmarks.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


# Before xdist's own, which takes the groups from the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    shares_board = {item: "virtual_board" in getattr(item, "fixturenames", ()) for item in items}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("virtual board" if shares_board[item] else str(item.path)))
    # What takes longest begins first, so that no process is left alone with it at the end.
    items.sort(key=lambda item: not shares_board[item])
