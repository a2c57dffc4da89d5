"""What there is: components, assemblies, studies, runs; and files made from them."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from keyword import iskeyword, issoftkeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..loops.errors import AssemblyError, Problem, RunError, nearest

if TYPE_CHECKING:
    from ..loops.storage.runs import Run
    from .settings import Settings

KINDS = ("components", "assemblies", "studies", "runs")


def listing(what: str, folder: Path | None) -> tuple[list[dict[str, Any]], str]:
    """Return rows and text of one kind of thing."""
    from .inspection import table

    if what not in KINDS:
        raise AssemblyError([Problem(f"{what!r} is nothing that can be listed", "", nearest(what, KINDS))])
    rows = {"components": _components, "assemblies": _assemblies, "studies": _studies,
            "runs": lambda: _runs(folder)}[what]()
    return rows, table(rows)


def _components() -> list[dict[str, Any]]:
    from ..catalogue import index, lookup

    entries = index.load()
    return [{"name": name, "about": entries.get(name, {}).get("about", "(not in the index yet)")}
            for name in lookup.shipped()] + [{"name": name, "about": f"installed: {point.value}"}
                                             for name, point in sorted(lookup.installed().items())]


def _assemblies() -> list[dict[str, Any]]:
    from .loading import load, shipped

    rows = []
    for name in shipped():
        assembly = load(name)
        rows.append({"name": name, "about": assembly.get("about") or "", "variants": ", ".join(assembly.variants)})
    return rows


def _studies() -> list[dict[str, Any]]:
    from .study import SHIPPED, shipped
    from .studying.reading import load

    return [{"name": name, "about": load(SHIPPED / f"{name}.yaml").about} for name in shipped()]


def _runs(folder: Path | None) -> list[dict[str, Any]]:
    from ..assemblies import settings
    from ..loops.storage.runs import Run, list_runs

    rows, folder = [], folder or settings.read().runs
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder; give the one in which runs lie")
    for path in list_runs(folder):
        try:
            run = Run(path)
            facts = run.attributes
        except (RunError, OSError, ValueError):
            rows.append({"path": str(path), "state": "unreadable", "variant": None, "seed": None, "until": None})
            continue
        rows.append({"path": str(path), "state": run.state, "variant": facts.get("variant"),
                     "seed": facts.get("seed"), "until": facts.get("until")})
    return rows


def is_place(name: str) -> bool:
    """Can this be nothing but the path of a run, whether one lies there or not?"""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or Path(f"{name}.yaml").is_file() or ":" in name:
        return False
    return path.suffix == ".zarr" or len(path.parts) > 1


def is_component(name: str) -> bool:
    """Is this a component of the catalogue, or of an installed distribution?"""
    from ..catalogue import lookup

    return bool(re.fullmatch(r"[a-z]\w*\.[a-z]\w*", name)) and not name.endswith((".yaml", ".yml")) and (
        name in lookup.shipped() or name in lookup.installed() or name.partition(".")[0] in
        {known.partition(".")[0] for known in lookup.shipped()})


def component_facts(name: str, allowed: Settings | None = None) -> tuple[dict[str, Any], str]:
    """Return what the catalogue says about a component, and its text for people."""
    import inspect

    from ..catalogue import index, lookup, page

    cls = lookup.find(name, allowed.allow, (Path.cwd(), allowed.folder)) if allowed else lookup.find(name)
    entry = index.load().get(name) or index.entry_of(cls)
    return {"name": name, **entry}, page.component(name, entry).strip() + "\n\n" + (inspect.getdoc(cls) or "")


def run_facts(path: Path, latency: bool, allowed: Settings | None = None) -> tuple[dict[str, Any], str]:
    """Return what a run holds."""
    from ..loops.storage.runs import Run
    from .inspection import table
    from .reports import patient_facts, patient_text
    from .reports.reading import said
    from .reports.warnings import warnings
    from .saved import checkpoints

    run = Run(path)
    attributes = run.attributes
    streams = [{"port": key, "kind": facts.kind, "rows": facts.rows, "shape": "x".join(map(str, facts.shape)) or "1",
                "dtype": facts.dtype, "mb": facts.bytes / 1e6} for key, facts in run.streams.items()]
    notices, chains = said(run, "notices", []), said(run, "latency", [])
    learning, unread = _learning(run)
    saved, patients = checkpoints(run.path, attributes), patient_facts.facts(run, allowed)
    facts = {"path": str(path), "state": run.state, "damage": run.damage, **{key: attributes.get(key) for key in (
        "name", "variant", "seed", "until", "hash", "started", "versions", "facts")},
        "latency": chains, "notices": notices, "warnings": warnings(run) + unread + saved.warnings(),
        **saved.facts(), "patients": patients,
        "learning": learning, "streams": streams, "evaluations": run.evaluation_names}
    lines = [f"{path}", f"{facts['name']}, variant {facts['variant']}, seed {facts['seed']}, until {facts['until']}: "
                        f"{run.state}", ""]
    lines += [f"warning: {text}" for text in facts["warnings"]] + [""] * bool(facts["warnings"])
    lines += ["latency:", *(f"  {chain}" for chain in chains), ""] if latency else []
    lines.append(table(streams))
    lines += ["", *patient_text.lines(patients)] if patients else []
    if facts["learning"]:
        lines += ["", "returns and measures, means of the first tenth and of the last:", table(facts["learning"])]
    for name in run.evaluation_names:
        lines += ["", f"evaluations/{name}", run.evaluations(name).to_string(index=False)]
    return facts, "\n".join(lines)


def _learning(run: Run) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the table of returns and measures, or why it cannot be told."""
    from .reports import learning_curves

    try:
        return learning_curves.table(run), []
    except RunError as error:
        return [], [f"Returns and measures cannot be told: {error}."]


def export_run(path: Path, to: Path) -> tuple[list[str], str]:
    """Write a run as plain files that need no stimloop to be read; returns them, and what of the run is damaged."""
    import numpy as np

    from ..loops.storage.runs import Run

    run = Run(path)
    try:
        to.mkdir(parents=True)
    except FileExistsError:
        raise RunError(f"{to} exists already; name a folder that does not") from None
    files = []
    for key in run.streams:
        files.append(to / f"{key}.npz")
        np.savez_compressed(files[-1], **{name: column.read() for name, column in run.columns(key).items()})
    tables = {f"evaluations.{name}": run.evaluations(name, each=True) for name in run.evaluation_names}
    for body in run.bodies:
        tables["episodes" if len(run.bodies) == 1 else f"episodes.{body}"] = run.episodes(body)
    for name, rows in tables.items():
        files.append(to / f"{name}.csv")
        rows.to_csv(files[-1], index=False)
    files.append(to / "attributes.json")
    facts = {**run.attributes, **({"damage": run.damage} if run.damage else {})}
    files[-1].write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return [str(file) for file in files], run.damage


_TEMPLATE = '''"""{title}: a component of your own."""

from __future__ import annotations

from typing import Any

import numpy as np
import stimloop as sl


class {cls}(sl.Component):
    """Smooths what it listens to: each new input moves the output part of the way.

    Args:
        share: part of the way, 0 to 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        self.share = share
        self.inputs = {{"input": sl.Port("what is smoothed", ("n",), wakes=True)}}
        self.outputs = {{"output": sl.Port("the smoothed input", ("n",))}}

    @classmethod
    def example(cls) -> {cls}:
        return cls()

    def build(self, lanes: sl.Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self._smooth = np.zeros(self.outputs["output"].full_shape(self.lanes.count), np.float32)  # [lanes, n]

    def step(self, now: int, inputs: sl.Inputs) -> dict[str, Any]:
        if "input" in inputs.new:
            self._smooth = self._smooth + np.float32(self.share) * (inputs["input"] - self._smooth)
        return {{"output": self._smooth.copy()}}  # what is published is never written again

    def state_dict(self) -> dict[str, Any]:
        return {{"smooth": self._smooth.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "smooth" in state:
            self._smooth = np.array(state["smooth"], np.float32)
'''


def _suitable(name: str) -> str:
    """Return a name for a module that is as near to this one as can be."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")[:40].strip("_")
    return plain if plain[:1].isalpha() and not iskeyword(plain) else f"my_{plain or 'brain'}"


def new_module(name: str) -> Path:
    """Return the file of a module of one's own, if Python and what is installed leave its name free."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", name):
        raise AssemblyError([Problem(f"{name[:80]!r} cannot name a module", "", "Use lower-case letters, digits and _, "
                                     f"a letter first, such as {_suitable(name)}.")])
    path = Path(f"{name}.py")
    if iskeyword(name) or issoftkeyword(name) or (not path.exists() and find_spec(name) is not None):
        raise AssemblyError([Problem(f"{name!r} cannot name a module: it is a word of Python, or a module of that name "
                                     "can be imported already", "", f"Choose another name, such as my_{name}.")])
    return path


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise AssemblyError([Problem(f"{path} exists already", "", "Choose another name.")]) from None
    except OSError as error:
        raise AssemblyError([Problem(f"{path} cannot be written: {error}")]) from error


def new_component(name: str) -> tuple[str, str]:
    """Write a module with one component into the working directory; returns its path and what to do next."""
    from ..catalogue.lookup import class_name

    path, cls = new_module(name), class_name(name)
    write_new(path, _TEMPLATE.format(title=name.replace("_", " ").capitalize(), cls=cls))
    return str(path), (f"wrote {path}\ncheck it:  stimloop check {name}:{cls}\n"
                       f"use it:    type: {name}:{cls}   and run with --allow {name}")
