"""Where assemblies come from: shipped names, YAML files, and runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..loops.errors import AssemblyError, Problem, Problems, nearest
from .assembly import Assembly
from .document import read
from .origin import Origin
from .settings import Settings

SHIPPED = Path(__file__).resolve().parent
_STUDY = "Use stimloop study {0}; stimloop study {0} --plan checks it and runs nothing."


def load(name: str | Path, allowed: Settings | None = None) -> Assembly:
    """Load an assembly from a YAML file, or one that is shipped.

    Raises AssemblyError with everything that is wrong in it, and where. `stimloop list assemblies` names those shipped.

    Args:
        name: of a shipped assembly ("elbow_stimulation"), or the path of a file that ends in .yaml.
        allowed: what may be loaded (left out: what the nearest stimloop.toml says).
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = SHIPPED / f"{name}.yaml"
        if str(name) not in shipped():
            raise AssemblyError([Problem(f"there is no shipped assembly {str(name)[:80]!r}", "", _meant(str(name)))])
    problems = Problems()
    value, marks = read(path, problems)
    if isinstance(value, Mapping) and "stages" in value and "components" not in value:
        raise AssemblyError([Problem("this is a study, not an assembly", path.name, _STUDY.format(name))])
    origin = Origin(path=path.resolve(), folder=path.resolve().parent, marks=marks)
    return Assembly.of(value, origin, allowed, problems)


def _meant(name: str) -> str:
    """Return what may have been meant by a name that no shipped assembly has: a study, a file, or another one."""
    if name in (path.stem for path in (SHIPPED / "studies").glob("*.yaml")):
        return f"It is a study. {_STUDY.format(name)}"
    with suppress(OSError, ValueError):
        for ending in (".yaml", ".yml"):
            if Path(name + ending).is_file():
                return f'Did you mean the file "{name}{ending}"?'
    return f"{nearest(name, shipped())} A file is named with its ending .yaml."


def shipped() -> list[str]:
    """Names of the shipped assemblies."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def assembly_of(attributes: Mapping[str, Any], allowed: Settings) -> Assembly:
    """Return the assembly of a run; its files are looked for where the run began, if that lies where you may read."""
    folder = Path(str(attributes.get("folder", "."))).resolve()
    roots = (Path.cwd().resolve(), SHIPPED, *allowed.roots.values())
    if not any(folder.is_relative_to(root) for root in roots):
        folder = Path.cwd()
    origin = Origin(folder=folder, variant=str(attributes.get("variant", "base")),
                    removed=frozenset(attributes.get("removed", ())), is_small=bool(attributes.get("small", False)))
    return Assembly.of(attributes["assembly"], origin, allowed)
