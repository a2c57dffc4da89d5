"""Every block of the README and the documentation runs: Python, YAML and commands, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.programs import forked, fresh

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# These run the tests, or install packages; CI runs them itself before it comes here.
BY_CI = ("make demo", "make test", "make prove", "make bench", "pip install", "make lint")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block that is to be run."""
    return BLOCK.findall((ROOT / page).read_text())


def file_name(text: str) -> str | None:
    """Name in a first line `# file: name`."""
    match = re.match(r"# file: ([\w.]+)\n", text)
    return match.group(1) if match else None


def run_command(line: str, folder: Path, run: Callable[[list[str], Path], tuple[int, str, str]]) -> None:
    words = shlex.split(line.removeprefix("$ "), comments=True)
    if line.removeprefix("$ ").startswith(BY_CI):
        return
    assert words[0] in ("stimloop", "python"), f"a command that no test runs: {line}"
    program = ["-m", "stimloop.assemblies.cli"] if words[0] == "stimloop" else []
    code, told, complained = run([*program, *words[1:]], folder)
    assert code == 0, f"{line}\n{told[-2000:]}\n{complained[-4000:]}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_block_runs(page: str, tmp_path: Path) -> None:
    run = fresh if page == "README.md" else forked  # the second saves three minutes
    for language, text in blocks(page):
        name = file_name(text)
        if name:
            (tmp_path / name).write_text(text)
        if language == "console":
            for line in text.strip().splitlines():
                if line.startswith("$ "):
                    run_command(line, tmp_path, run)
        elif language == "python":
            script = tmp_path / (name or "block.py")
            script.write_text(text)
            run_command(f"$ python {script.name}", tmp_path, run)
        else:
            assert name, f"a YAML block in {page} without `# file: name.yaml`"
            look = f"study {name} --status" if "\nstages:" in text else f"check {name}"
            own = [file.stem for file in tmp_path.glob("*.py") if f"{file.stem}:" in text]
            run_command(f"$ stimloop {look}" + "".join(f" --allow {module}" for module in own), tmp_path, run)
