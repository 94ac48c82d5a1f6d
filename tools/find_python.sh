#!/bin/bash
# Prints a Python that armopt runs on: 3.11, which everything is tested with, else 3.12 or 3.13. Fails where there is none.
set -euo pipefail

for name in python3.11 python3 python3.12 python3.13; do
    path=$(command -v "$name") || continue
    # Asked for by running it: a shim of a version manager can be on the path and still refuse to start.
    if "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        echo "$path"
        exit 0
    fi
done
exit 1
