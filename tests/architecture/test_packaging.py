"""What would be wrong in the wheel only: packages not listed, pins missing, imports that a layer may not make."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("loops", "components", "catalogue", "assemblies")


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", name.strip(), maxsplit=1)[0]).lower()


def test_every_folder_with_code_is_listed_as_a_package():
    found = {"stimloop"}
    for folder in FOLDERS:
        for file in [*(ROOT / folder).rglob("*.py")]:
            found.add(".".join(("stimloop", *file.relative_to(ROOT).parent.parts)))
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_package_says_that_it_is_one():
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        assert (ROOT.joinpath(*package.split(".")[1:]) / "__init__.py").exists(), package


def test_every_requirement_is_pinned_in_the_constraints():
    pins = {normal(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(name for group in extras.values() for name in group)]
    assert {normal(name) for name in wanted} - {"stimloop"} <= pins


def test_the_extra_all_is_all_of_them_but_for_services():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything.partition("[")[2])) == set(extras) - {"all", "wandb"}


def test_package_data_reaches_every_kind_of_file_that_is_read_at_run_time():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["stimloop"]
    held = {file for pattern in patterns for file in ROOT.glob(pattern)}
    read = {file for folder in FOLDERS for kind in ("*.yaml", "*.json", "*.safetensors", "*.hdf5")
            for file in (ROOT / folder).rglob(kind)}
    assert read <= held


@pytest.mark.parametrize("module", ["stimloop", "stimloop.loops.loop", "stimloop.loops.conformance"])
def test_importing_it_brings_nothing_heavy(module):
    heavy = {"torch", "mujoco", "nengo", "myosuite", "gymnasium", "hypothesis", "ray"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_file_knows_ray():
    users = {str(file.relative_to(ROOT)) for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")
             for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
             for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                          [node.module or ""] if node.level == 0 else []) if name.partition(".")[0] == "ray"}
    assert users == {"loops/fleet.py"}


def test_code_uses_relative_imports_inside_the_folders():
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    named = [node.module or ""]
                absolute = [name for name in named if name.partition(".")[0] in ("stimloop", *FOLDERS)]
                assert not absolute, f"{file.relative_to(ROOT)} line {node.lineno}: import {absolute[0]} relatively"


def test_layers_and_independence_are_kept():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text()
    records = sorted(file.name for file in folder.glob("0*.md"))
    assert records
    assert [name for name in records if f"({name})" not in index] == []
    numbers = [name[:4] for name in records]
    assert numbers == [f"{i:04}" for i in range(1, len(numbers) + 1)]
