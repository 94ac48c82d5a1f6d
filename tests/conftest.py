"""Settings of all tests."""

from __future__ import annotations

import hypothesis

# A shared machine may be slow at any moment: speed is checked in benchmarks.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")
