"""`make prove`: runs every proof in its full count and writes what came out to docs/proofs/<name>.json.

    python tests/crash/prove.py [NAME ...] [--small] [--again] [--list]

A proof whose last result holds for the very same code and counts is skipped unless `--again`; so an interrupted run
goes on where it stopped. A proof that takes long may keep what it has finished in the file it is given as `progress`.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
RESULTS = ROOT / "docs" / "proofs"
PROGRESS = ROOT / ".prove"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CODE = ("loops", "components", "catalogue", "assemblies", "tests")


def code_hash(root: Path = ROOT) -> str:
    """Return a hash of everything that may change a result: sources, shipped assemblies, tests and pins."""
    whole = hashlib.sha256()
    files = [file for folder in CODE for kind in ("*.py", "*.yaml") for file in sorted((root / folder).rglob(kind))]
    for file in [*files, root / "constraints.txt"]:
        whole.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def find(target: str) -> Any:
    """Return the function of `module:function`, where modules are named from the folder tests."""
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)


def last(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """Return the last result of a proof; {} when there is none."""
    file = results / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def is_done(name: str, code: str, counts: Mapping[str, Any], results: Path = RESULTS) -> bool:
    """Does the last result hold, for the same code and the same counts?"""
    result = last(name, results)
    return bool(result.get("holds")) and result.get("code") == code and result.get("counts") == dict(counts)


def prove(name: str, target: str, counts: Mapping[str, Any], code: str, results: Path = RESULTS,
          progress: Path = PROGRESS) -> dict[str, Any]:
    """Run one proof and write its result; an error is a result that does not hold."""
    started = time.time()
    finished = False
    kept = progress / f"{name}-{code}.json"
    try:
        function = find(target)
        more = {"progress": kept} if "progress" in inspect.signature(function).parameters else {}
        progress.mkdir(exist_ok=True, parents=True)
        found = dict(function(**counts, **more))
        found.setdefault("holds", bool(found))  # a proof may assert what it shows, and return its figures alone
        finished = True
    except Exception as error:  # a proof that breaks has not been given; what broke stands in its result
        last_lines = traceback.format_exception(error)[-1].strip()
        found = {"holds": False, "error": last_lines.replace(str(ROOT), "").replace(str(Path.home()), "~")}
    result = {"name": name, "holds": bool(found.pop("holds")), "result": found, "counts": dict(counts),
              "command": f"python tests/crash/prove.py {name}", "function": target, "code": code,
              "seconds": round(time.time() - started, 1), "versions": versions(), "machine": machine()}
    results.mkdir(exist_ok=True, parents=True)
    text = json.dumps(result, indent=1, sort_keys=True, default=float) + "\n"
    new = results / f"{name}.json.new"
    new.write_text(text)
    new.replace(results / f"{name}.json")
    if finished:
        kept.unlink(missing_ok=True)
    return result


def versions() -> dict[str, str]:
    """Return the versions of what took part."""
    from benchmarks.run import versions as installed

    return installed()


def machine() -> dict[str, Any]:
    """Return the kind of machine, without its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return {"system": platform.system(), "processor": platform.machine(), "cores": cores, "memory_gb": round(memory)}


def main(arguments: list[str] | None = None) -> int:
    """Run the proofs named on the command line, or all; exit code 0 only if every one of them holds."""
    from crash.proofs import PROOFS

    parser = argparse.ArgumentParser(description="Runs proofs and writes their results to docs/proofs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROOFS))
    parser.add_argument("--small", action="store_true", help="small counts, nothing written to docs/proofs")
    parser.add_argument("--again", action="store_true", help="also what is already proved for this code")
    parser.add_argument("--list", action="store_true", help="say what stands where")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in PROOFS]:
        parser.error(f"no proof {', '.join(unknown)}; there are {', '.join(PROOFS)}")
    code, failed = code_hash(), []
    results = PROGRESS / "small" if chosen.small else RESULTS
    for name in chosen.names or PROOFS:
        proof = PROOFS[name]
        counts = proof.small if chosen.small else proof.full
        if chosen.list:
            say(f"{'holds ' if is_done(name, code, counts, results) else 'to do '} {name:22} {proof.about}")
        elif is_done(name, code, counts, results) and not chosen.again:
            say(f"skip   {name:22} holds already for this code")
        else:
            say(f"run    {name:22} {proof.about} {json.dumps(dict(counts))}")
            result = prove(name, proof.target, counts, code, results)
            failed += [] if result["holds"] else [name]
            say(f"{'holds ' if result['holds'] else 'FAILS '} {name:22} {result['seconds']} s "
                f"{json.dumps(result['result'], default=float)}")
    if failed:
        say(f"does not hold: {', '.join(failed)}")
    return int(bool(failed))


def say(line: str) -> None:
    """Tell how far it is, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for thread in THREADS:
        os.environ.setdefault(thread, "1")
    sys.path.insert(0, str(TESTS))
    sys.exit(main())
