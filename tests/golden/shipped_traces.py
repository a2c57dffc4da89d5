"""Golden traces: what selected ports of each shipped assembly's `small` publish, kept in a file with its reasons.

On the kind of machine and with the versions that a file names, the hash of a trace must be the same. Elsewhere, where
arithmetic may round otherwise, a few numbers of each port must lie within a tolerance: of the whole run, or of its
first rows where a loop multiplies what rounding leaves.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

import stimloop as sl
from benchmarks.run import versions as installed
from stimloop.loops.storage.runs import Run, log_hash

TRACES = Path(__file__).parent / "traces"
PORTS = ("observation", "action", "reward", "status", "solved", "command", "current", "rates", "spikes")
NUMBERS = ("return", "length", "success")  # of an evaluation
CALCULATE = ("python", "numpy", "torch", "gymnasium", "mujoco", "MyoSuite")  # what may round otherwise
TOLERANCE = 1e-4  # of a port's size (|mean| + standard deviation); without vector instructions it was 2.4e-6 at most
# Rows of a run that are compared elsewhere where a loop multiplies rounding: a limb, tenfold in 8 rows; the fitting of
# a model, which then stops at another pass.
EARLY = {"helped_elbow:base": 20, "helped_elbow:healthy": 20, "mopac_": 20, "copac_": 5}
# It chooses among commands that promise nearly the same, so rounding decides from the first row on: elsewhere only the
# number of rows is compared.
CHOOSES = "coprocessors.copac"
SHOWN = 4  # numbers of a port's first and last row that are kept
HEADER = """\
# Golden traces of the `small` of {name}, with every variant. Never edit this file: renew it, with the reason, by
#   python tests/golden/renew.py {name} --because "..."
"""


def machine() -> dict[str, Any]:
    """Return what decides how arithmetic rounds: system, processor, and the vector instructions NumPy uses.

    Virtual machines hide the processor's name; its family and model choose the kernels of linear algebra.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    processor = [facts["model name"], *(f"{name} {facts[name]}" for name in ("cpu family", "model") if name in facts)
                 ] if "model name" in facts else [platform.processor()]
    vectors = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload, index]
    return {"system": platform.system(), "processor": ", ".join(processor),
            "architecture": platform.machine(), "vectors": " ".join(vectors.get("found", []))}


def versions() -> dict[str, str]:
    """Return the versions of what calculates."""
    return {name: text for name, text in installed().items() if name in CALCULATE}


def selected(run: Run) -> list[str]:
    """Return the recorded ports that a golden trace is made of."""
    ports = ((key, key.partition(".")[2]) for key in run.streams)
    return sorted(key for key, port in ports if port in PORTS or port.startswith("observation_"))


def describe(run: Run, early: int | None = None) -> dict[str, Any]:
    """Return the hash of a run's selected ports and evaluations, and a few numbers of each; of the first rows too."""
    ports = selected(run)
    evaluations = {name: run.evaluations(name) for name in run.evaluation_names}
    return {"hash": log_hash(run, without=run.streams.keys() - set(ports)),
            **({"early": {key: _port(run, key, early) for key in ports}} if early is not None else {}),
            "ports": {key: _port(run, key) for key in ports},
            "evaluations": {name: {field: _floats(table[field]) for field in NUMBERS if field in table}
                            for name, table in evaluations.items()}}


def _port(run: Run, key: str, early: int | None = None) -> dict[str, Any]:
    column = [column for column in run.columns(key).values() if column.column.stored][-1]
    values = column.read().reshape(len(column), -1).astype(np.float64)[:early]  # [rows, numbers]
    if not values.size:
        return {"rows": len(column)}
    return {"rows": len(values), "mean": _floats([values.mean()])[0], "std": _floats([values.std()])[0],
            "first": _floats(values[0][:SHOWN]), "last": _floats(values[-1][:SHOWN])}


def _floats(values: Any) -> list[float]:
    return [float(f"{float(value):.9g}") for value in values]


def traces(name: str, look: Callable[[str, sl.Assembly, Any], None] | None = None) -> dict[str, Any]:
    """Run the `small` of a shipped assembly with every variant, and describe each; `look` may look at each run."""
    assembly = sl.load(name)
    found = {}
    for variant in ("base", *assembly.variants):
        with TemporaryDirectory() as folder:
            made = assembly.resolve(variant=variant, small=True)
            run = made.run(folder=Path(folder))
            found[variant] = describe(run, _early(f"{name}:{variant}", made))
            if look is not None:
                look(variant, made, run)
    return found


def _early(name: str, made: sl.Assembly) -> int | None:
    """Return how many rows of a run are compared elsewhere; None for all."""
    if any(made.get(f"{part}.type") == CHOOSES for part in made.components):
        return 0
    return next((rows for start, rows in EARLY.items() if name.startswith(start)), None)


def differences(golden: Mapping[str, Any], found: Mapping[str, Any], exact: bool) -> Iterator[str]:
    """Say where traces differ from the golden ones: in any bit, or by more than the tolerance."""
    for variant in sorted(golden.keys() | found.keys()):
        if variant not in golden or variant not in found:
            yield f"variant {variant} is {'not golden yet' if variant in found else 'no longer there'}"
            continue
        before, after = golden[variant], found[variant]
        if ("early" in before) != ("early" in after):
            yield f"{variant}: its first rows are {'golden' if 'early' in before else 'not golden yet'}"
            continue
        if exact and before["hash"] == after["hash"]:
            continue
        if not exact and "early" in before:
            yield from (f"{variant}: early {place}" for place in _apart(before["early"], after["early"], TOLERANCE))
            continue
        apart = [*_apart(before["ports"], after["ports"], 0.0 if exact else TOLERANCE),
                 *_apart(before["evaluations"], after["evaluations"], 0.0 if exact else TOLERANCE)]
        if exact:
            yield f"{variant}: the trace differs, {', '.join(apart) or 'in digits that the file does not show'}"
        else:
            yield from (f"{variant}: {place}" for place in apart)


def _apart(golden: Mapping[str, Any], found: Mapping[str, Any], tolerance: float) -> Iterator[str]:
    """Name the ports (or evaluations) and numbers that are further apart than the tolerance."""
    for key in sorted(golden.keys() | found.keys()):
        before, after = golden.get(key, {}), found.get(key, {})
        for fact in sorted(before.keys() | after.keys()):
            a, b = np.atleast_1d(before.get(fact, [])), np.atleast_1d(after.get(fact, []))
            size = abs(before["mean"]) + before["std"] if "mean" in before else np.abs(a).max(initial=0.0)
            limit = 0.0 if fact == "rows" else tolerance * size
            if a.shape != b.shape or not np.all((np.abs(a - b) <= limit) | (np.isnan(a) & np.isnan(b))):
                yield f"{key} {fact}: {a.tolist()} became {b.tolist()}"


def read(name: str, folder: Path = TRACES) -> dict[str, Any]:
    """Return what is golden of an assembly; {} when nothing is yet."""
    file = folder / f"{name}.yaml"
    return yaml.safe_load(file.read_text()) if file.exists() else {}


def is_exact(golden: Mapping[str, Any]) -> bool:
    """Is this the kind of machine, with the versions, on which a file was written?"""
    return golden["machine"] == machine() and golden["versions"] == versions()


def write(name: str, found: Mapping[str, Any], because: str, folder: Path = TRACES) -> Path:
    """Make traces the golden ones and add the reason to those in the file."""
    if not because.strip():
        raise ValueError('golden traces are renewed for a reason: say it with --because "..."')
    reasons = [*read(name, folder).get("reasons", []), {"date": date.today().isoformat(), "because": because.strip()}]
    content = {"reasons": reasons, "machine": machine(), "versions": versions(), "variants": dict(found)}
    file = folder / f"{name}.yaml"
    text = yaml.safe_dump(content, sort_keys=False, width=118, default_flow_style=None, allow_unicode=True)
    file.write_text(HEADER.format(name=name) + text)
    return file
