"""`python -m armopt`, for where the script is not on the path."""

from __future__ import annotations

from armopt.cli.main import main

if __name__ == "__main__":
    main()
