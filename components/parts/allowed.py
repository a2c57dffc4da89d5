"""What a user has allowed to be imported by name; the assembly layer fills it from `--allow`, components ask it."""

from __future__ import annotations

ALLOWED: set[str] = set()  # module names; a process-wide permission, never part of a result


def allow(module: str) -> None:
    """Permit a module (and what lies in it) to be imported because an assembly names it."""
    ALLOWED.add(module)


def is_allowed(module: str) -> bool:
    """Has this module, or a package that holds it, been permitted?"""
    parts = module.split(".")
    return any(".".join(parts[:n]) in ALLOWED for n in range(1, len(parts) + 1))


def require_allowed(module: str, wanted_by: str) -> None:
    """Raise ValueError unless `module` has been permitted; the message says how to permit it."""
    if not is_allowed(module):
        raise ValueError(f"{wanted_by} would import the module {module!r}, which runs its code; "
                         f"if you trust it, allow it: --allow {module}")
