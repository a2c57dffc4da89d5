"""A state on disk: a manifest, one tensor file per component, and large arrays in chunks that later ones share."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError, reason
from ..loop_state import FORMAT
from .atomic import MANIFEST, atomic_directory, clear_unfinished, read_manifest, remove_directory, verify_files
from .chunks import LARGE, Files, read_array

_NAME = re.compile(r"(-?\d+)(?:-(\d+))?")


def flatten(state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a nested dictionary into arrays by path (`a/b`) and the same nesting of plain values."""
    arrays: dict[str, np.ndarray] = {}
    return arrays, _split(arrays, state, "")


def _split(arrays: dict[str, np.ndarray], value: Any, path: str) -> Any:
    """Put arrays aside; no inner function, for one that calls itself is garbage that only a full collection finds."""
    if isinstance(value, dict):
        return {"dict": {str(k): _split(arrays, v, f"{path}/{k}" if path else str(k)) for k, v in value.items()}}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise RunError(f"the state at {path!r} is an array of {value.dtype}; arrays hold numbers or bools")
        while path in arrays:  # "a/b" may also be a key of its own
            path += "'"
        arrays[path] = np.asarray(value, order="C")  # a view with strides would be written wrongly
        return {"array": path}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise RunError(f"the state at {path!r} is a {type(value).__name__}; state_dict holds arrays, numbers, strings "
                   "and dictionaries of these")


def unflatten(arrays: dict[str, np.ndarray], tree: dict[str, Any]) -> Any:
    """Put together what `flatten` split."""
    if "dict" in tree:
        return {key: unflatten(arrays, value) for key, value in tree["dict"].items()}
    if "array" in tree:
        return arrays[tree["array"]]
    return tree["value"]


def write(state: dict[str, Any], parent: Path, keep: int = 3) -> Path:
    """Write a gathered state as a directory under `parent` that appears whole or not at all; keep the newest `keep`.

    One tensor file per component, and chunks of arrays above `LARGE` bytes; what equals a file of the checkpoint
    before is hard-linked, not written again. Raises RunError when the disk fails.
    """
    parent = Path(parent)
    try:
        target = _write(state, parent, _free(parent, int(state["now"])))
        for old in _whole(parent)[:-keep]:
            remove_directory(old)
    except OSError as error:
        intact, then = ("Those before it and what was recorded are", "resume the run") if _whole(parent) else (
            "There is none before it; what was recorded is", "begin a new run")
        raise RunError(f"a checkpoint could not be written to {parent}: {error}. {intact} intact; make room or repair "
                       f"the disk, then {then}") from error
    return target


def _write(state: dict[str, Any], parent: Path, target: Path) -> Path:
    from safetensors.numpy import save

    before = _whole(parent)
    groups = {f"component.{name}": part for name, part in state["components"].items()}
    groups["loop"] = {key: value for key, value in state.items() if key != "components"}
    trees, large = {}, {}
    clear_unfinished(parent)
    with atomic_directory(target) as folder:
        folder.facts.update(format=FORMAT, now=int(state["now"]))
        files = Files(folder, before[-1] if before else None)
        for name, part in groups.items():
            arrays, trees[name] = flatten(part)
            large[name] = {path: files.put_array(arrays.pop(path))
                           for path in [path for path, array in arrays.items() if array.nbytes > LARGE]}
            files.put(f"{name}.safetensors", save(arrays))
        folder.write("state.json", json.dumps(trees).encode())
        folder.write("chunks.json", json.dumps(large).encode())
    return target


def _free(parent: Path, now: int) -> Path:
    """A name not taken: two saves at one instant are two checkpoints."""
    number = 0
    while (target := parent / (f"{now:020d}" + (f"-{number}" if number else ""))).exists():
        number += 1
    return target


def _all(parent: Path) -> list[Path]:
    """Every checkpoint under `parent`, oldest first, whole or damaged."""
    named = {path: name for path in (parent.iterdir() if parent.is_dir() else ())
             if (name := _NAME.fullmatch(path.name))}
    return sorted(named, key=lambda path: (int(named[path].group(1)), int(named[path].group(2) or 0)))


def has_any(parent: Path) -> bool:
    """Is there a checkpoint that was finished? Nothing of it is verified."""
    return bool(_whole(Path(parent)))


def _whole(parent: Path) -> list[Path]:
    """Checkpoints that were put in place with a manifest, oldest first."""
    return [path for path in _all(parent) if (path / MANIFEST).is_file()]


def read(folder: Path) -> dict[str, Any]:
    """Read a checkpoint directory that `write` made; raises RunError when a file is missing or altered."""
    found = _read(Path(folder), read_manifest(folder), None)
    if "loop" not in found:
        raise RunError(f"the checkpoint {folder} cannot be read: it says nothing of the loop")
    state = found.pop("loop")
    state["components"] = {name.removeprefix("component."): part for name, part in found.items()}
    return state


def _read(folder: Path, manifest: dict[str, Any], only: str | None) -> dict[str, dict[str, Any]]:
    """Return the parts of a checkpoint by the names of their files, or only one of them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if manifest.get("format") != FORMAT:
        raise RunError(f"{folder} has format {manifest.get('format')!r}; this version reads {FORMAT}")
    try:
        trees = json.loads((folder / "state.json").read_bytes())
        large = json.loads((folder / "chunks.json").read_bytes()) if "chunks.json" in manifest["files"] else {}
        found = {}
        for name in trees if only is None else (only,):
            arrays = load((folder / f"{name}.safetensors").read_bytes())
            for path, entry in large.get(name, {}).items():
                arrays[path] = read_array(folder, entry, manifest["files"])
            found[name] = unflatten(arrays, trees[name])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"the checkpoint {folder} cannot be read: {error}") from error
    return found


def parts(parent: Path, component: str, damaged: dict[Path, str] | None = None
          ) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the instant (ns) and the state of one component of each checkpoint that has it, the newest first.

    Only its own files are read and verified. A checkpoint in which one of them is missing or altered is passed over,
    and put into `damaged` with what is wrong, unless it was removed for a newer one just now.
    """
    name = f"component.{component}"
    for folder in reversed(_all(Path(parent))):
        try:
            manifest = read_manifest(folder, verify=False)
            if f"{name}.safetensors" not in manifest["files"]:
                continue
            verify_files(folder, _files_of(folder, manifest, name))
            found = int(manifest["now"]), _read(folder, manifest, name)[name]
        except (RunError, LookupError, TypeError, ValueError) as error:
            if damaged is not None and folder.is_dir():
                damaged[folder] = reason(error)
            continue
        yield found


def _files_of(folder: Path, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the entries of the files that one part of a checkpoint consists of."""
    files = dict(manifest["files"])
    own = {"state.json", "chunks.json", f"{name}.safetensors"}
    if "chunks.json" in files:
        verify_files(folder, {"chunks.json": files["chunks.json"]})  # before it is believed
        large = json.loads((folder / "chunks.json").read_bytes()).get(name, {})
        own |= {chunk for entry in large.values() for chunk in entry["chunks"]}
    return {file: entry for file, entry in files.items() if file in own}


def newest_array(parent: Path, component: str, path: str) -> np.ndarray | None:
    """Return one array (`learned/weights`) of a component, as the newest checkpoint holds it; no other file is read.

    None where there is no checkpoint, or no such array below `LARGE` bytes in it; nothing is verified.
    """
    from safetensors import SafetensorError, safe_open

    for folder in reversed(_whole(Path(parent))):
        try:
            with safe_open(str(folder / f"component.{component}.safetensors"), framework="numpy") as file:
                return file.get_tensor(path) if path in file.keys() else None  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError):
            continue  # it has no such component, or was removed for a newer one just now
    return None


def newest(parent: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint under `parent`; None when there is none. Raises RunError when it is damaged."""
    found = _all(Path(parent))
    if not found:
        return None
    try:
        return read(found[-1])
    except RunError as error:
        raise RunError(f"the newest checkpoint is damaged: {found[-1]} ({error}). Nothing was changed. Delete that "
                       "directory to go on from the checkpoint before it, or bring back a copy of it") from error


def newest_whole(parent: Path) -> tuple[dict[str, Any] | None, dict[Path, str]]:
    """Read the newest checkpoint that is whole (None when there is none); and say what is wrong with those after it."""
    damaged: dict[Path, str] = {}
    for folder in reversed(_all(Path(parent))):
        try:
            return read(folder), damaged
        except RunError as error:
            damaged[folder] = str(error)
    return None, damaged


def harmed(parent: Path) -> dict[Path, list[str]]:
    """Return every checkpoint, the oldest first, with what is wrong with its files; an empty list: it is whole.

    A file that several share is read once. What was removed for a newer one just now is left out.
    """
    whole: set[tuple[int, int, str]] = set()
    found = {folder: _harm(folder, whole) for folder in _all(Path(parent))}
    return {folder: harm for folder, harm in found.items() if folder.is_dir()}


def _harm(folder: Path, whole: set[tuple[int, int, str]]) -> list[str]:
    """Return what is wrong with the files of one checkpoint; `whole` are those found right, by place and hash."""
    try:
        manifest = read_manifest(folder, verify=False)
    except RunError as error:
        return [reason(error)]
    told = []
    for name, entry in manifest["files"].items():
        try:
            facts = (folder / name).lstat()  # a link is refused below
            key = (facts.st_dev, facts.st_ino, str(entry))
        except OSError:  # it is missing, which is told below
            key = (0, 0, "")
        try:
            if key not in whole:
                verify_files(folder, {name: entry})
            whole.add(key)
        except RunError as error:
            told.append(reason(error))
    if manifest.get("format") != FORMAT:
        told.append(f"it has format {manifest.get('format')!r}; this version reads {FORMAT}")
    return told


def instant(folder: Path) -> int:
    """Return the instant (ns) of a checkpoint, as its directory is named."""
    name = _NAME.fullmatch(folder.name)
    if name is None:
        raise RunError(f"{folder} is no checkpoint: those are named by their instant in nanoseconds")
    return int(name.group(1))


def set_aside(folder: Path) -> Path:
    """Take a damaged checkpoint out of the row, so that nobody takes it for the newest; returns where it lies now."""
    aside = folder.with_name(f".{folder.name}.damaged")
    os.rename(folder, aside)
    return aside
