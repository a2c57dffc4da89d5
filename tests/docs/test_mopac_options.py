"""The page of MoPAC's options: parameters, ports, commands and files that it names are there, and no row is empty."""

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.catalogue.lookup import find

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "systems" / "mopac_options.md").read_text()
TOLD = [word for line in PAGE.splitlines() if line.startswith("|")
        for word in re.findall(r"`([^`]+)`", line.rpartition(" | ")[2])]
MOPAC = sl.load("mopac_pendulum")


def all_of(pattern):
    return sorted({found.groups() for word in TOLD if (found := re.match(pattern, word))})


def test_every_row_says_what_there_is_or_why_there_is_nothing():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    assert len(rows) > 70
    for row in rows:
        assert len(row) == 2, row
        assert all(cell.strip() for cell in row), row
        if row[1].startswith("none"):
            assert re.match(r"none( as ports| in an assembly| yet)?(: |, because )\S", row[1]), row


def test_parameters_are_there():
    found = all_of(r"(\w+)\.params\.(\w+)")
    assert len(found) > 30
    for component, name in found:
        assert name in inspect.signature(find(MOPAC.get(f"{component}.type"))).parameters, (component, name)


def test_ports_are_there():
    found = [(component, port) for component, port in all_of(r"(\w+)\.(\w+)$") if component in MOPAC.components]
    assert len(found) > 15
    with MOPAC.small().build() as loop:
        for component, port in found:
            assert port in loop.components[component].outputs, (component, port)


def test_commands_and_files_are_there():
    commands = get_command(app).commands
    for (command,) in all_of(r"stimloop ([a-z-]+)"):
        assert command in commands
    for (file,) in all_of(r"((?:components|tests)/\S+\.py)"):
        assert (ROOT / file).exists()
