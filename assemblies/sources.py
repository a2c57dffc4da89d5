"""Which files the code of a component hangs on: its own, and those beside it that it imports, one through another.

They are found by reading `import` statements; nothing is run for it, so the answer is the same before and after.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_OWN = __package__.partition(".")[0]


def place(module: str, folders: Sequence[Path] = ()) -> Path | None:
    """Return the file of a module as Python would find it, or in one of the folders; None where there is none."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded:
        return Path(loaded)
    first, _, rest = module.partition(".")
    return _within(base, rest) if (base := top(first, folders)) else None


def top(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """Return the folder of a package of the first level, or the file of such a module."""
    known = sys.modules.get(name)
    try:
        spec = getattr(known, "__spec__", None) if known is not None else find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    file = getattr(known, "__file__", None) or (spec.origin if spec is not None and spec.has_location else None)
    if file:
        return Path(file)
    return next((path for folder in folders for path in (folder / name, folder / f"{name}.py") if path.exists()), None)


def _within(base: Path, rest: str) -> Path | None:
    """Return the file of a module from its package's folder (or its own file) and the rest of its name."""
    if base.is_file():
        return None if rest else base
    path = base.joinpath(*rest.split(".")) if rest else base
    return next((file for file in (path.with_suffix(".py") if rest else path / "__init__.py", path / "__init__.py")
                 if file.is_file()), None)


def digest(module: str, file: Path) -> str:
    """Return a hash of a module's file and of all files that its imports lead to.

    Followed are imports of its own package and of stimloop's, and of modules that lie beside it in a folder of one's
    own (not in one of installed distributions, which have versions).
    """
    found, todo = dict[str, str](), [(module, file)]
    own = module.partition(".")[0]
    beside = _beside(file, module)
    while todo:
        name, path = todo.pop()
        if name in found:
            continue
        stat = path.stat()
        found[name], wanted = _read(path, name, stat.st_mtime_ns, stat.st_size)
        for other in wanted:
            first, _, rest = other.partition(".")
            base = (top(first) if first in (own, _OWN) else None) or _neighbour(beside, first)
            if other not in found and base is not None and (next_file := _within(base, rest)):
                todo.append((other, next_file))
    whole = hashlib.sha256()
    for name in sorted(found):
        whole.update(f"{name} {found[name]}\n".encode())
    return whole.hexdigest()


def _beside(file: Path, module: str) -> Path | None:
    """Return the folder whose modules count as one's own: that of the first level, unless distributions lie there."""
    depth = module.count(".") + (file.name == "__init__.py")
    folder = file.resolve().parents[depth]
    return None if holds_distributions(folder) or module.partition(".")[0] == _OWN else folder


def holds_distributions(folder: Path) -> bool:
    """Do installed distributions lie in a folder? Then it is no source tree."""
    return any(next(folder.glob(f"*.{kind}-info"), None) for kind in ("dist", "egg"))


def _neighbour(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    return next((path for path in (folder / name, folder / f"{name}.py") if path.exists()), None)


@lru_cache(maxsize=1000)
def _read(file: Path, module: str, changed: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a file and the modules it imports; read anew when the file is another one (`changed`)."""
    content = file.read_bytes()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        wanted = tuple(dict.fromkeys(_imports(ast.parse(content).body, package)))
    except (SyntaxError, ValueError):
        wanted = ()  # what cannot be read cannot be run either, and whoever runs it is told
    return hashlib.sha256(content).hexdigest(), wanted


def _imports(statements: Sequence[ast.AST], package: str) -> Iterator[str]:
    """Return the modules that statements import when they run, wherever they stand; some may be no modules."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join([*parts[:len(parts) - node.level + 1], *([node.module] if node.module else [])]) \
                if node.level else str(node.module)
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, package)
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _imports(list(ast.iter_child_nodes(node)), package)
