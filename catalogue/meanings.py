"""What parameters mean: the `Args:` section of a class's docstring, as data."""

from __future__ import annotations

import inspect
import re

_NAMES = re.compile(r"(\w+(?:, \w+)*): (.*)")


def meanings(cls: type) -> dict[str, str]:
    """Return what each parameter means, by name; several names may share one line (`low, high: the bounds.`)."""
    lines = (inspect.getdoc(cls) or "").split("\n")
    if "Args:" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Args:") + 1:]:
        if line and not line.startswith("    "):
            break
        begins = None if line.startswith("     ") else _NAMES.fullmatch(line.strip())
        if begins is not None:
            names = begins.group(1).split(", ")
            found |= dict.fromkeys(names, begins.group(2))
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
