#!/bin/bash
# Creates .venv with the locked packages (hashes checked) and armopt itself, editable. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }

python=$(tools/find_python.sh) || {
    found=$(python3 --version 2>&1 || true)
    say "armopt needs Python 3.11 to 3.13 and found ${found:-none}: install python3.11 and python3.11-venv, then make again"
    exit 1
}
# A moved checkout leaves an environment whose programs point to where it was.
if [ -x .venv/bin/pip ] && ! .venv/bin/pip --version >/dev/null 2>&1; then
    say ".venv does not work any more (was the checkout moved?): making it anew"
    rm -rf .venv
fi
if ! [ -x .venv/bin/python ]; then
    say "creating .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

say "installing the locked packages (TensorFlow is large: a minute or a few on a slow line)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.lock
# uv reads neither pip's settings nor the variables that pip reads; a machine that sends pip to a mirror means uv too.
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
fi
if ! UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}" .venv/bin/uv pip install --python .venv/bin/python \
    --require-hashes --no-deps -r requirements/test.lock; then
    say "uv could not fetch them; trying pip, which is slower and has settings of its own"
    .venv/bin/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements/test.lock
fi
# The build backend is in the lock, so nothing else is fetched for building.
.venv/bin/uv pip install --quiet --python .venv/bin/python --offline --no-build-isolation --no-deps -e .
.venv/bin/armopt --version >&2
