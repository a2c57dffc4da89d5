"""No module of a folder leads back to itself by imports, those inside functions included."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("loops", "components", "catalogue", "assemblies")
ALLOWED: dict[frozenset[str], str] = {}  # the modules of a circle -> why it may stay


def imports(file: Path, root: Path) -> set[str]:
    """Return the files below `root` that a file imports, wherever in it; not what only type checkers import."""
    found: set[str] = set()
    tree = ast.parse(file.read_text())
    for_types = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and
                 ast.unparse(node.test).endswith("TYPE_CHECKING") for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level or id(node) in for_types:
            continue
        base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        inside = [module for alias in node.names if (module := _module(base / alias.name))]
        whole = _module(base) if len(inside) < len(node.names) else None  # some name is not a module of its own
        found |= {str(module.relative_to(root)) for module in (whole, *inside)
                  if module and module.is_relative_to(root)}
    return found


def _module(place: Path) -> Path | None:
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def circles(graph: dict[str, set[str]]) -> list[frozenset[str]]:
    """Return the groups of modules that lead to each other."""
    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(graph.get(name, ()))
        return seen

    reach = {name: reached(name) for name in graph}
    return sorted({frozenset(other for other in reach[name] if name in reach.get(other, ()))
                   for name in graph if name in reach[name]}, key=sorted)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_leads_back_to_itself(folder: str) -> None:
    root = ROOT / folder
    graph = {str(file.relative_to(root)): imports(file, root) for file in root.rglob("*.py")}
    assert sum(map(len, graph.values())) > 2, "the imports were not seen"
    found = [sorted(circle) for circle in circles(graph) if circle not in ALLOWED]
    assert not found, "move what they share to where it belongs, or say in ALLOWED why they may stay"
    assert all(ALLOWED.values())


def test_a_circle_is_seen_wherever_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("from .b import x\n")
    (tmp_path / "b.py").write_text("def f():\n    from .inner import c\n")
    (tmp_path / "inner" / "c.py").write_text("def g():\n    from ..a import y\n")
    (tmp_path / "d.py").write_text("import typing\nif typing.TYPE_CHECKING:\n    from .e import z\nfrom .a import y\n")
    (tmp_path / "e.py").write_text("from .d import z\n")
    graph = {str(file.relative_to(tmp_path)): imports(file, tmp_path) for file in tmp_path.rglob("*.py")}
    assert circles(graph) == [frozenset({"a.py", "b.py", "inner/c.py"})]


def test_a_package_that_takes_its_own_modules_is_no_circle(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("from . import a\n")
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("from . import name\n")
    assert imports(tmp_path / "__init__.py", tmp_path) == {"a.py"}
    assert imports(tmp_path / "b.py", tmp_path) == {"__init__.py"}
