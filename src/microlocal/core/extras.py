"""Packages that only some users need: imported by name where they are used, with the command that installs them."""

from importlib import import_module
from typing import Any

from microlocal.core.errors import InputError


def extra(module: str, group: str, who: str) -> Any:
    """Return the imported ``module``; raises InputError with the pip command where it is not installed.

    >>> extra("json", "cluster", "example").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        do = f"Install it: pip install 'microlocal[{group}]'"
        got = f"no module {module}" if getattr(error, "name", module) == module else str(error)
        raise InputError(who, expected=f"the package {module}", got=got, do=do) from error
