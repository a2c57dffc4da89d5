"""What the user allows: `stimloop.toml` in the working directory or above it, and the flags of the command line.

    allow = ["my_brain"]          # modules that assemblies may load
    runs = "runs"                 # where runs are kept
    [roots]
    clips = "/data/clips"         # `clips:walk.h5` in an assembly
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..catalogue import files
from ..loops.errors import AssemblyError, Problem, Problems, nearest
from ..loops.files import NamesFile

FILE = "stimloop.toml"
TRUSTED = (0,)  # whose stimloop.toml is read beside one's own: root's
WEIGHTS = Path(__file__).resolve().parent / "weights"
DATA = WEIGHTS.with_name("data")

_MODULE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.\-/]*")
_ROOTED = re.compile(r"([A-Za-z_]\w*):(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_PATHS = re.compile(r"(.*_)?(weights|command|path|file|folder|checkpoint|xml|run)")  # in code that marks no `File`
_BY_NAME = NamesFile()


@dataclass(frozen=True)
class Settings:
    """Modules that may be loaded, roots that may be read, and where runs go."""

    allow: tuple[str, ...] = ()
    roots: dict[str, Path] = field(default_factory=dict)
    runs: Path = Path("runs")
    folder: Path = field(default_factory=Path.cwd)  # looked through for allowed modules
    notices: tuple[str, ...] = ()  # which file allowed what, and which was passed over

    def allowing(self, modules: Sequence[str]) -> Settings:
        """Return settings that allow more modules."""
        return replace(self, allow=(*self.allow, *modules))


def read(start: Path | None = None) -> Settings:
    """Return the settings of the nearest stimloop.toml at or above `start` (default: the working directory)."""
    start = (start or Path.cwd()).resolve()
    notices: list[str] = []
    for path in (folder / FILE for folder in (start, *start.parents)):
        if not path.is_file():
            continue
        if hasattr(os, "getuid") and path.stat().st_uid not in (os.getuid(), *TRUSTED):
            notices.append(f"{path} is ignored: it belongs to another user")
            continue
        found = _parse(path, start)
        if found.allow:
            notices.append(f"{path} allows the module{'s' * (len(found.allow) > 1)} {', '.join(found.allow)}")
        return replace(found, notices=tuple(notices))
    return Settings(folder=start, notices=tuple(notices))


def _parse(path: Path, start: Path) -> Settings:
    import tomllib

    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssemblyError([Problem(f"cannot be read: {error}", str(path))]) from error
    problems = Problems()
    for key in value:
        if key not in ("allow", "roots", "runs"):
            problems.add(f"unknown entry {key!r}", str(path), nearest(key, ("allow", "roots", "runs")))
    allow, roots, runs = value.get("allow", []), value.get("roots", {}), value.get("runs", "runs")
    if not isinstance(allow, list) or not all(isinstance(a, str) for a in allow):
        problems.add("allow is not a list of module names", str(path))
    if not isinstance(roots, dict) or not all(isinstance(r, str) for r in roots.values()):
        problems.add("roots is not a table of names and folders", str(path))
    if not isinstance(runs, str):
        problems.add("runs is not a folder", str(path))
    problems.raise_if_any()
    folders = {name: _folder(path, f"roots.{name}", text, problems) for name, text in roots.items()}
    kept = _folder(path, "runs", runs, problems)
    problems.raise_if_any()
    return Settings(tuple(allow), {name: folder.resolve() for name, folder in folders.items()}, kept, start)


def _folder(path: Path, name: str, text: str, problems: Problems) -> Path:
    """Return a folder that a stimloop.toml names; it may begin with the home of a user."""
    try:
        if "\0" in text:
            raise ValueError("a path cannot hold a NUL character")
        return path.parent / Path(text).expanduser()
    except (RuntimeError, ValueError) as error:
        problems.add(f"{name} = {text[:80]!r} names no folder: {error}", str(path), "Write the folder out.")
        return path.parent


def guard(cls: type, params: dict[str, Any], where: str, folder: Path, settings: Settings,
          problems: Problems) -> dict[str, Any]:
    """Return parameters with files resolved; refuse what leads outside, and modules that were not allowed.

    A file is what the constructor of `cls` marks as one, or what has the name of one.
    """
    hints = files.hints(cls)
    return {key: _guard(value, key, hints.get(key), f"{where}.{key}", folder, settings, problems)
            for key, value in params.items()}


def _guard(value: Any, key: str, hint: Any, where: str, folder: Path, settings: Settings, problems: Problems) -> Any:
    if isinstance(value, dict):
        return {k: _guard(v, str(k), files.inside(hint, str(k)), f"{where}.{k}", folder, settings, problems)
                for k, v in value.items()}
    if isinstance(value, list):
        return [_guard(v, key, files.inside(hint, i), f"{where}.{i}", folder, settings, problems)
                for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    rooted = _ROOTED.fullmatch(value)
    roots = {"runs": settings.runs, **settings.roots}
    if rooted and rooted.group(1) in roots:
        return _inside(roots[rooted.group(1)], rooted.group(2), where, problems)
    mark = files.mark(hint) or (_BY_NAME if _PATHS.fullmatch(key) else None)
    if mark is not None:
        if (mark.shipped or (mark is _BY_NAME and key.endswith(("weights", "command")))) and _PLAIN.fullmatch(value):
            return _shipped(value, where, problems, mark.shipped == "data")
        return _inside(folder, value, where, problems)
    if match := _MODULE.fullmatch(value):
        return _module(value, match.group(1), where, settings, problems)
    if value.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", value):
        problems.add(f"{value[:80]!r} leads outside the assembly's folder", where, _roots_fix())
    return value


def _module(value: str, module: str, where: str, settings: Settings, problems: Problems) -> str:
    from ..catalogue.lookup import allowed, refusal

    if not allowed(module, settings.allow):
        problems.add(f"{value[:80]!r} would load the module {module!r}, which is not allowed", where, refusal(module))
    return value


def _shipped(name: str, where: str, problems: Problems, data: bool) -> str:
    folder, ending = (DATA, "") if data else (WEIGHTS, ".safetensors")
    path = folder / f"{name}{ending}"
    if not path.exists():
        known = (file.stem for file in folder.glob(f"*{ending}"))
        what, other = ("data set", f"A folder is written with a stroke: ./{name}") if data else (
            "weights", f"A file is written with its ending{_doing_without(where)}")
        problems.add(f"there {'is' if data else 'are'} no shipped {what} {name!r}", where,
                     f"{nearest(name, known)} {other}.")
    return str(path)


def _inside(root: Path, text: str, where: str, problems: Problems) -> str:
    """Return the path below a root; symbolic links are followed before it is compared."""
    try:
        path = (root / text).resolve()
        inside = path.is_relative_to(root.resolve()) and "\0" not in text
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        problems.add(f"{text[:80]!r} leads outside {root}", where, _roots_fix())
        return text
    try:
        exists = path.exists()
    except OSError:
        exists = False
    if not exists:
        problems.add(f"there is no file {text[:80]!r} in {root}", where,
                     f"Look at its name{_doing_without(where)}.")
    return str(path)


def _doing_without(where: str) -> str:
    return "; weights: null begins without any" if where.endswith("weights") else ""


def _roots_fix() -> str:
    return ('Put the file beside the assembly, or name its folder in stimloop.toml:\n[roots]\ndata = "/where/it/is"\n'
            "and write data:file.")
