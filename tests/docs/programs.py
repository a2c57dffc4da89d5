"""Runs Python programs, freshly or in forks of a process that has imported already what takes two seconds to import."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path

PRELOADED = ["torch", "gymnasium", "mujoco", "stimloop.assemblies.cli"]
PATIENCE = 300  # s


def fresh(words: list[str], folder: Path) -> tuple[int, str, str]:
    """Run `python WORDS` in a folder that is on its path; return the exit code, what it said and its complaints."""
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, "PYTHONPATH": _path(folder)})
    return done.returncode, done.stdout, done.stderr


def forked(words: list[str], folder: Path) -> tuple[int, str, str]:
    """Do what `fresh` does, in a fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    out, err = folder / ".stdout", folder / ".stderr"
    process = context.Process(target=_become, args=(words, folder, {**os.environ, "PYTHONPATH": _path(folder)}))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"python {' '.join(words)} took more than {PATIENCE} s\n{err.read_text()}")
    return process.exitcode or 0, out.read_text(), err.read_text()


def _path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def _become(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Be the interpreter that `python WORDS` would be."""
    os.chdir(folder)
    os.environ.update(environment)
    for number, name in ((1, ".stdout"), (2, ".stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.path[:0] = [str(folder)]
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
