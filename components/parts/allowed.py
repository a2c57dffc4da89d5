"""What a user has allowed to be imported by name; the assembly layer fills it from `--allow`, components ask it."""

from __future__ import annotations

from collections.abc import Iterable

ALLOWED: set[str] = set()  # module names, of the build that began last; never part of a result


def allow_only(modules: Iterable[str]) -> None:
    """Permit these modules (and what lies in them) to be imported because an assembly names them, and no others."""
    ALLOWED.clear()
    ALLOWED.update(modules)


def is_allowed(module: str) -> bool:
    """Has this module, or a package that holds it, been permitted?"""
    parts = module.split(".")
    return any(".".join(parts[:n]) in ALLOWED for n in range(1, len(parts) + 1))


def require_allowed(module: str, wanted_by: str) -> None:
    """Raise ValueError unless `module` has been permitted; the message says how to permit it."""
    if not is_allowed(module):
        raise ValueError(f"{wanted_by} would import the module {module!r}, which runs its code; "
                         f"if you trust it, allow it: --allow {module}")
