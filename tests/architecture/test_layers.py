"""The house's own rules about files: the name is the place, small files and functions, no way to run what is read."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stimloop.catalogue import index, lookup

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("loops", "components", "catalogue", "assemblies")
CODE = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
COMPONENTS = sorted(file for file in (ROOT / "components").glob("*/*.py")
                    if file.parent.name != "parts" and file.stem != "__init__")
FORBIDDEN = ("eval", "exec", "compile", "__import__", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "torch.load",
             "os.system")
MOST_LINES, MOST_IN_A_FUNCTION = 300, 40


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def says_why(file: Path) -> bool:
    """Does the top of a long file say why it is long?"""
    return bool(re.search(r"300 lines|long(er)? (file|than)|in one (file|place)", file.read_text()[:1500]))


@pytest.mark.parametrize("file", COMPONENTS, ids=lambda file: f"{file.parent.name}.{file.stem}")
def test_a_component_file_is_one_class_that_has_its_name(file):
    classes = [node for node in tree(file).body if isinstance(node, ast.ClassDef)]
    wanted = lookup.class_name(file.stem)
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in classes}
    shared = {alias.name for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom)
              and (node.module or "").startswith("parts.") for alias in node.names}  # bases that components share
    made = [name for name, of in bases.items() if len(of) == 1 and of[0] in {"Component", *shared}
            and not name.startswith("_")]
    assert made == [wanted], f"{file.name} must hold `class {wanted}(Component)`, and no other component"
    found = next(node for node in classes if node.name == wanted)
    methods = {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
    own = {"step"} if bases[wanted] == ["Component"] else set()  # a shared base may step for it
    assert {"__init__", "example", *own} <= methods
    first = (ast.get_docstring(found) or "").partition("\n")[0]
    assert first.endswith((".", ":")), "the first line of the docstring is a sentence"


@pytest.mark.parametrize("file", COMPONENTS, ids=lambda file: f"{file.parent.name}.{file.stem}")
def test_a_component_imports_no_other_component(file):
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = "." * node.level + (node.module or "")
            assert re.match(r"\.\.\.loops\b|\.\.parts\b|\.\.parts\.", place), f"line {node.lineno}: {place}"


def test_only_learners_planners_and_coprocessors_hold_others():
    holders = {name for name, entry in json.loads((ROOT / "catalogue" / "index.json").read_text()).items()
               if entry.get("uses")}
    assert {name.partition(".")[0] for name in holders} <= {"learners", "coprocessors", "brains", "protocols"}


def test_files_and_functions_are_small():
    long = []
    for file in CODE:
        lines = len(file.read_text().splitlines())
        if lines > MOST_LINES and not says_why(file):
            long.append(f"{file.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MOST_IN_A_FUNCTION and not says_why(file):
                    long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")
    assert not long, "split these, or say why at the top:\n" + "\n".join(long)


def test_nothing_can_run_what_it_reads():
    """No eval, exec, pickle or yaml.load anywhere in the package."""
    wrong = []
    for file in CODE:
        for node in ast.walk(tree(file)):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in FORBIDDEN or called.endswith(".read_pickle"):
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {called}")
            wrong += [f"{file.relative_to(ROOT)}:{node.lineno} import {name}" for name in named
                      if name.partition(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve")]
    assert not wrong, wrong


def test_no_print_and_no_bare_except():
    wrong = []
    for file in CODE:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} print")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} except:")
    assert not wrong, wrong


@pytest.mark.parametrize("module", ["stimloop.catalogue.index", "stimloop.assemblies.editor_schema"])
def test_what_is_generated_is_committed(module):
    done = subprocess.run([sys.executable, "-m", module, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_index_holds_every_component_with_ports():
    entries = index.load()
    assert set(entries) == set(lookup.shipped())
    assert set(entries) == {f"{file.parent.name}.{file.stem}" for file in COMPONENTS}
    for name, entry in entries.items():
        assert entry["about"], name
        assert "inputs" in entry, f"{name} was indexed where its library was missing"


def test_a_stale_index_is_noticed(monkeypatch):
    entries = json.loads(json.dumps(index.load()))
    entries["basics.gain"]["about"] = "something else"
    entries.pop("basics.silence")
    monkeypatch.setattr(index, "load", lambda: entries)
    assert index.stale() == ["basics.gain", "basics.silence"]


def test_a_component_without_its_library_is_listed_without_ports(monkeypatch):
    real = lookup.import_module

    def absent(name: str):
        if name.endswith("gymnasium_env"):
            raise ModuleNotFoundError("No module named 'gymnasium'", name="gymnasium")
        return real(name)

    monkeypatch.setattr(lookup, "import_module", absent)
    entry = index.entry("bodies.gymnasium_env")
    assert entry["missing"] == "gymnasium"
    assert entry["about"]
    assert "inputs" not in entry
    with pytest.raises(lookup.LookupFailed, match=r'pip install "stimloop\[bodies\]"'):
        lookup.find("bodies.gymnasium_env")
    assert "bodies.gymnasium_env" not in index.stale()
