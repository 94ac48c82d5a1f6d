"""The user's own code, run on the user's word: `module:function`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from armopt.core.errors import UsageError


def import_object(what: str, option: str) -> Any:
    """Import `module:name`, the current folder first as `python -m` does.

    Raises:
        UsageError: no such module or name; `option` tells where it was written.
    """
    module_name, _, name = what.partition(":")
    module = import_module(module_name, option)
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise UsageError(f"{option} {what}: module '{module_name}' has no '{name}'", "check the name") from error


def import_module(name: str, option: str) -> Any:
    """Import a module, the current folder first.

    Raises:
        UsageError: it can't be imported.
    """
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name.removesuffix(".py"))
    except ImportError as error:
        raise UsageError(f"{option} {name}: {error}", "run armopt where the module can be imported") from error
    except Exception as error:  # the user's module may fail in any way it likes
        raise UsageError(f"{option} {name}: {type(error).__name__}: {error}", "mend the module") from error
    finally:
        sys.path.remove("")
