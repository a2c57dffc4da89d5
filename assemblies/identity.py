"""What a run says about where it comes from: code, versions, machine, and the state of the user's directory."""

from __future__ import annotations

import inspect
import platform
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assemblies import fingerprint, sources
from ..loops.errors import RunError
from ..loops.loop import Loop
from ..loops.until import Until

if TYPE_CHECKING:
    from .assembly import Assembly

_LIBRARIES = ("numpy", "simpy", "zarr", "torch", "gymnasium", "mujoco", "myosuite", "myo-sim", "nengo")

_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_][\w.\-]*")  # or an environment: `my_envs:Arm-v0`


def _written_out(assembly: Assembly) -> dict[str, Any]:
    """The normal form with every wire's own source, so that whoever reads the run need not look up `like`."""
    document = assembly.document()
    for name, entry in document["components"].items():
        entry["inputs"] = assembly.wires(name)
    return document


def attributes(assembly: Assembly, loop: Loop, stop: Until, latency: list[str],
                recorded: list[str]) -> dict[str, Any]:
    """Return everything that a run keeps about its origin."""
    from ..loops.drawing import svg

    origin, document = assembly.origin, _written_out(assembly)
    return {
        "id": uuid.uuid4().hex, "assembly": document, "places": fingerprint.places(document),
        "name": assembly.name, "hash": assembly.hash, "variant": origin.variant,
        "small": origin.is_small, "removed": sorted(origin.removed),
        "seed": assembly.seed, "lanes": assembly.lanes, "until": str(stop),
        "folder": str(origin.base), "file": str(origin.path) if origin.path else None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": command(),
        "versions": versions(), "host": host(), "code": code(assembly, loop),
        "git": git(origin.base), "order": loop.graph.order, "latency": latency, "drawing": svg(loop.graph),
        "units": {key: cell.port.units for key, cell in loop.cells.items() if cell.port.units},
        "wires": wires(loop), "recorded": recorded, "ended": "running",
        "notices": [str(problem) for problem in loop.graph.problems.notices],
        "speed": getattr(loop, "speed", None),  # of the wall clock that it keeps pace with; None: as fast as it can
        "physics_steps": {name: component.physics_step for name, component in loop.components.items()
                          if hasattr(component, "physics_step")},  # ns by which a body's world advances at each tick
        "parents": parents(loop), "resumes": resumes(loop), "sessions": [session(assembly, loop)],
    }


def wires(loop: Loop) -> dict[str, dict[str, Any]]:
    """Return, for each wired input, where it gets its values, how late, and how it reads them in this very run."""
    return {f"{wire.receiver}.{wire.input}": {"from": str(wire.source), "delay_ns": wire.source.delay,
                                              "reads": wire.reads} for wire in loop.graph.wires}


def origin(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what a checkpoint says of the run that wrote it, so that it is never taken for another run's."""
    return {"run": str(attributes.get("id")), "assembly": str(attributes.get("hash"))}


def parents(loop: Loop) -> dict[str, dict[str, str]]:
    """Return, for each component that began with weights of an artifact, its file, content hash and maker's note."""
    from ..loops.storage import artifact

    found = {}
    for name, component in loop.components.items():
        path = getattr(component, "weights", None)
        if isinstance(path, str | Path):
            _, meta = artifact.load(path)
            found[name] = {"file": str(path), "hash": meta["hash"], "note": meta.get("note", "")}
    return found


def resumes(loop: Loop) -> dict[str, str]:
    """Return what each component that cannot be resumed exactly says of itself."""
    return {name: component.resumes for name, component in loop.components.items() if component.resumes != "exact"}


def session(assembly: Assembly, loop: Loop) -> dict[str, Any]:
    """Return what a run keeps of one process that wrote it: the one that began it, or one that went on with it."""
    return {"from_ns": loop.now, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": command(),
            "versions": versions(), "host": host(), "code": code(assembly, loop)}


def read_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a run directory; raises RunError when it is none."""
    from ..loops.storage.run_directories import check_run
    from ..loops.storage.zarr_files import read_document

    path = check_run(path)
    try:
        attributes = dict(read_document(path).get("attributes", {}))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not a run: {error}") from error
    if "assembly" not in attributes:
        raise RunError(f"{path} is not a run of an assembly: its attributes name none")
    return attributes


def versions() -> dict[str, str]:
    """Versions of Python, stimloop and the libraries that can change a number."""
    from .. import __version__

    found = {"python": platform.python_version(), "stimloop": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """What machine this is, as far as results may depend on it."""
    import os

    return {"name": platform.node(), "system": platform.system(), "machine": platform.machine(),
            "cores": os.cpu_count()}


def code(assembly: Assembly, loop: Loop) -> dict[str, str]:
    """Return the code of every component, as `code_of_class` says it."""
    return {name: code_of_class(type(component), assembly.get(f"{name}.params"), (assembly.origin.base,))
            for name, component in loop.components.items()}


def code_of_class(cls: type, params: Any = None, folders: Sequence[Path] = ()) -> str:
    """Return distribution and version of a class, or outside any release the hash of its sources.

    Sources are its file and those of its package that it imports, one through another (`sources.py`). Where a
    parameter names a class or function of a user's own (`my_nets:MyNet`), the code of that module follows; one that is
    not imported is looked for in the folders too.
    """
    try:
        told = _code_of_module(cls.__module__, Path(inspect.getfile(cls)))
    except (TypeError, OSError):
        told = f"{cls.__module__}:{cls.__qualname__} (no source)"
    for name in sorted(_named(params)):
        module = name.partition(":")[0]
        if (file := sources.place(module, folders)) is not None:
            told += f"; {name}: {_code_of_module(module, file)}"
    return told


def _code_of_module(module: str, file: Path) -> str:
    return _release(module.partition(".")[0]) or f"source sha256 {sources.digest(module, file)[:16]}"


def _named(value: Any) -> set[str]:
    """Return what parameters name as `module:attribute`."""
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return {name for part in value for name in _named(part)}
    return {value} if isinstance(value, str) and _ATTRIBUTE.fullmatch(value) else set()


@cache
def _release(package: str) -> str | None:
    """Return `name version` when the package is an installed release (not an editable one)."""
    if not _beside_releases(package):
        return None
    for name in _providers(package):
        distribution = metadata.distribution(name)
        if not (distribution.read_text("direct_url.json") or "").count('"editable": true'):
            return f"{name} {distribution.version}"
    return None


def _beside_releases(package: str) -> bool:
    """Does the package lie in a folder of installed distributions? A source tree that is imported from does not."""
    place = sources.top(package)
    return place is not None and sources.holds_distributions(place.parent)


def _providers(package: str) -> list[str]:
    """Return the distributions that a package comes from: the one of its own name, else all are looked through."""
    try:
        own = metadata.distribution(package)
        names = (own.read_text("top_level.txt") or "").split() or {file.parts[0] for file in own.files or ()}
        if package in names or f"{package}.py" in names:
            return [own.name]
    except metadata.PackageNotFoundError:
        pass
    return metadata.packages_distributions().get(package, [])  # reads every distribution: seconds on a cold disk


def git(folder: Path) -> dict[str, Any]:
    """Commit of the user's directory, and whether anything in it differs; empty where there is no repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain"))} if commit else {}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def command() -> list[str]:
    """The command line this process was started with."""
    return list(sys.argv)
