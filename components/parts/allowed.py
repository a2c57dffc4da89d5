"""What a user has allowed to be imported by name; the assembly layer fills it from `--allow`, components ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

ALLOWED: set[str] = set()  # module names, of the build that began last; never part of a result
Finder = Callable[[str, str], Any]
_OWN = __package__.partition(".")[0]


def _plainly(module: str, attribute: str) -> Any:
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


_finders: list[Finder] = [_plainly]  # the last one finds: it knows the folders of the assembly


def allow_only(modules: Iterable[str], finder: Finder = _plainly) -> None:
    """Permit these modules (and what lies in them) to be imported because an assembly names them, and no others.

    `finder` imports what a module calls by a name, and says what is wrong where it cannot.
    """
    ALLOWED.clear()
    ALLOWED.update(modules)
    _finders[:] = [finder]


def is_allowed(module: str) -> bool:
    """Has this module, or a package that holds it, been permitted?"""
    parts = module.split(".")
    return any(".".join(parts[:n]) in ALLOWED for n in range(1, len(parts) + 1))


def require_allowed(module: str, wanted_by: str) -> None:
    """Raise ValueError unless `module` has been permitted; the message says how to permit it."""
    if not is_allowed(module):
        raise ValueError(f"{wanted_by} would import the module {module!r}, which runs its code; "
                         f"if you trust it, allow it: --allow {module}")


def find_allowed(name: str, wanted_by: str) -> Any:
    """Return the class or function `module:name`, if its module has been permitted or is this package's own."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"{wanted_by} {name!r} names no class or function; write it as my_module:MyClass")
    if module.partition(".")[0] == _OWN:
        return _plainly(module, attribute)
    require_allowed(module, f"{wanted_by} {name!r}")
    return _finders[-1](module, attribute)


def import_allowed(module: str, wanted_by: str) -> None:
    """Import a module for what it registers, if it has been permitted; it is looked for where `find_allowed` looks."""
    require_allowed(module, wanted_by)
    _finders[-1](module, "__name__")
