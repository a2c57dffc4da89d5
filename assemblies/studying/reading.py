"""A study read from its file: its form, and what its parts say of one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem, Problems, nearest, short
from ..document import read
from ..entries import NAME, folder_name, unknown
from .description import Description, Stage
from .expect_reading import read_line
from .figure_reading import read_figures
from .stage_reading import STAGE, mapping, read_measure, read_stage

ENTRIES = ("name", "about", "stages", "measure", "expect", "figure", "small")


def load(path: str | Path, small: bool = False) -> Description:
    """Read a study from a YAML file. Raises AssemblyError with all that is wrong in its form."""
    path, problems = Path(path), Problems()
    value, _ = read(path, problems)
    if isinstance(value, Mapping) and "components" in value and "stages" not in value:
        raise AssemblyError([Problem("this is an assembly, not a study", path.name,
                                     f"Use stimloop run {path} or stimloop check {path}.")])
    made = describe(value, path.resolve().parent, problems, small)
    problems.raise_if_any(path.name)
    return made


def describe(value: Any, folder: Path, problems: Problems, small: bool = False) -> Description:
    """Return a study from plain values; what is wrong is added to `problems`."""
    if not isinstance(value, Mapping):
        problems.add("is not a mapping", "", "Write name, stages, measure and expect.")
        return Description("study", "", {}, {}, (), folder)
    unknown(value, ENTRIES, "", problems)
    stages: dict[str, Any] = {}
    for name, entry in mapping(value.get("stages"), "stages", problems, needed=True).items():
        if isinstance(entry, Mapping) and NAME.fullmatch(name):
            stages[name] = dict(entry)
        else:
            problems.add("is no stage", f"stages.{name}", "Write for example brain: {assembly: healthy_elbow}.")
    if small and not value.get("small"):
        problems.add("has no `small`", "", "Write small: {stage.entry.address: value}, or leave --small out: the full "
                     "form would run under the name of the small one.")
    changes = mapping(value.get("small"), "small", problems) if small else {}
    expect = changes.pop("expect", value.get("expect")) or []
    for address, part in changes.items():
        _put(stages, address, part, problems)
    made = {name: read_stage(name, entry, folder, problems) for name, entry in stages.items()}
    found = {name: read_measure(text, f"measure.{name}", problems)
             for name, text in mapping(value.get("measure"), "measure", problems).items()}
    _check_given(made, problems)
    if not isinstance(expect, list):
        problems.add("is not a list", "expect", "Write: expect: [{variant: base, measure: recovery, at_least: 0.9}]")
        expect = []
    lines = [read_line(entry, f"expect.{i}", made, found, problems) for i, entry in enumerate(expect)]
    name = folder_name(value.get("name", "study"), "name", "its cells", problems)
    return Description(name or "study", str(value.get("about") or ""), made, found,
                       tuple(line for line in lines if line is not None), folder,
                       read_figures(value.get("figure"), made, found, problems))


def _put(stages: dict[str, Any], address: str, part: Any, problems: Problems) -> None:
    """Apply one change of `small`: `stage.entry` or `stage.entry.key`, None removes; `expect` stands for itself."""
    stage, _, rest = address.partition(".")
    entry, _, key = rest.partition(".")
    if stage not in stages or entry not in STAGE:
        problems.add("names nothing in this study", f"small.{address}", nearest(stage, stages))
    elif key:
        stages[stage][entry] = {**(stages[stage].get(entry) or {}), key: part}
    else:
        stages[stage][entry] = part


def _check_given(stages: Mapping[str, Stage], problems: Problems) -> None:
    """What is given has been kept by a stage above, and once; what is joined is swept by one above."""
    kept: dict[str, str] = {}
    swept: dict[str, str] = {}
    for name, stage in stages.items():
        for address in stage.joins:
            if address not in swept:
                problems.add(f"no stage above sweeps {short(address)}", f"stages.{name}.joins.{address}",
                             nearest(address, swept))
        swept |= dict.fromkeys(stage.sweep, name)
        for address, artifact in stage.given.items():
            if artifact not in kept:
                problems.add(f"no stage above keeps {short(artifact)}", f"stages.{name}.given.{address}",
                             nearest(str(artifact), kept))
        for artifact in stage.keep:
            if artifact in kept:
                problems.add(f"stage {kept[artifact]} keeps {artifact!r} already", f"stages.{name}.keep.{artifact}")
            kept[artifact] = name
