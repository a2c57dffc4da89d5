"""The report of a study: one self-contained HTML page with its verdicts, table, figures, plan and cells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...loops.storage.runs import Run
from ..identity import versions
from ..studying import plan, texts
from ..studying.cells import Place, point_text, points
from ..studying.description import Stage
from . import canvas, evaluation_curves, page, study_figures

if TYPE_CHECKING:
    from ..study import Result, Study

_MEANING = ("<p class=note>A bar is an interquartile mean, the upright line through it its interval, a dot a cell: a "
            "hollow one, where a bound was never held.</p>")
_OF_LINES = ("<p class=note>A line joins interquartile means, with their intervals as a band and each cell as a dot; "
             "level lines are variants that have no such number on the axis below.</p>")
Link = Callable[[str], str]  # from the page to a folder


def write_report(study: Study, result: Result, path: Path) -> Path:
    """Write the page about a study; returns where it stands."""
    described, planned = study.description, plan.plan(study)

    def link(folder: str) -> str:
        return escape(Path(os.path.relpath(folder, path.resolve().parent)).as_posix(), quote=True)

    parts = [page.head(described.name, described.about), *_form(planned), "<h2>What was expected</h2>",
             _verdicts(result), "<h2>Table</h2>", _table(result, list(described.measures)),
             f"<p class=note>{escape(texts.meaning(result.rows))}</p>"]
    for name in described.measures:
        figure = study_figures.measure(result.rows, name)
        if figure is not None:
            parts.append(f"<h3>{escape(name)}: {escape(str(described.measures[name]))}</h3>{canvas.svg(figure)}")
    parts.append(_MEANING)
    parts += _lines(study, result)
    parts += _curves(study)
    parts += _kept(study, link)
    parts += ["<h2>Plan</h2>", *(_stage(stage, link) for stage in planned["stages"]), _facts(planned)]
    return page.write_page(path, described.name, parts)


def _form(planned: dict[str, Any]) -> list[str]:
    found = []
    if planned["small"]:
        found.append("the small form: fewer cells, episodes and steps than the study itself")
    found += [f"stage {stage['stage']} was skipped: {stage['why']}" for stage in planned["stages"] if stage["skipped"]]
    if planned["left"]:
        found.append(f"{planned['left']} of {texts.count(planned['runs'], 'run')} "
                     f"{'has' if planned['left'] == 1 else 'have'} not finished")
    lines = "".join(f"<li>{escape(text)}</li>" for text in found)
    return [f"<div class=warn><ul>{lines}</ul></div>"] if found else []


def _verdicts(result: Result) -> str:
    if not result.verdicts:
        return "<p>Nothing was said before.</p>"
    return page.lines_html(["expected", "", "found"], [
        [escape(texts.line_of(verdict.line)),
         "<b class=fine>PASS</b>" if verdict.holds else "<b class=fail>FAIL</b>", escape(verdict.says)]
        for verdict in result.verdicts])


def _table(result: Result, measures: list[str]) -> str:
    return page.lines_html(["stage", "variant", "at", *measures], [
        [escape(text) for text in (row.stage, row.called, point_text(row.group),
                                   *(texts.cell_of(row, name) for name in measures))] for row in result.rows])


def _lines(study: Study, result: Result) -> Iterator[str]:
    """Yield the figures that the study asks for, each with its heading."""
    drawn = 0
    for figure in study.description.figures:
        lines = study_figures.lines(result.rows, figure)
        if lines is not None:
            drawn += 1
            yield f"<h2>{escape(figure.y)} over {escape(figure.x)}</h2>{canvas.svg(lines)}"
    if drawn:
        yield _OF_LINES


def _kept(study: Study, link: Link) -> list[str]:
    rows = [[escape(each["kept"]), escape(each["from"]), escape(each["moment"]),
             f'<a href="{link(str(study.folder / each["file"]))}">{escape(Path(each["file"]).name)}</a>']
            for each in study.kept()]
    return ["<h2>What was kept</h2>", page.lines_html(["name", "of", "moment", "file"], rows)] if rows else []


def _curves(study: Study) -> Iterator[str]:
    for stage in study.description.stages.values():
        drawn = evaluation_curves.section(evaluation_curves.arms(_arms(study, stage)))
        if drawn:
            yield f"<h2>Evaluations of stage {escape(stage.name)}</h2>{drawn}"


def _arms(study: Study, stage: Stage) -> Iterator[tuple[str, list[Run]]]:
    """Yield the finished runs of each variant of a stage, seeds together, by what people are told it is."""
    for variant in stage.variants:
        groups: dict[str, list[Run]] = {}
        for point in points(stage):
            path = study.run_of(Place(stage.name, variant, point))
            if path is not None:
                told = point_text((address, value) for address, value in point if address != "seed")
                groups.setdefault(told, []).append(Run(path))
        yield from ((" ".join(filter(None, (stage.called(variant), told))), runs) for told, runs in groups.items())


def _stage(stage: dict[str, Any], link: Link) -> str:
    told = [f"given {address}: {name}" for address, name in stage["given"].items()]
    told += [f"keeps {', '.join(stage['keeps'])}"] if stage["keeps"] else []
    told += [("skipped: " if stage["skipped"] else "not skipped: ") + stage["why"]] if stage["why"] else []
    heading = (f"<h3>{escape(stage['stage'])} ({escape(stage['assembly'])})</h3>"
               f"<p class=note>{escape('; '.join(told))}</p>")
    if not stage["cells"]:
        return heading
    lines = [[escape(", ".join(cell["variants"])), escape(json.dumps(cell["at"])), escape(cell["until"]),
              escape(cell["state"]), _cell(cell, link)] for cell in stage["cells"]]
    return (f"{heading}<details><summary>{texts.count(len(lines), 'cell')}</summary>"
            f"{page.lines_html(['variant', 'at', 'until', 'state', 'cell'], lines)}</details>")


def _cell(cell: dict[str, Any], link: Link) -> str:
    return f'<a href="{link(cell["folder"])}">{escape(cell["hash"])}</a>' if cell["folder"] else "-"


def _facts(planned: dict[str, Any]) -> str:
    facts = json.dumps({"folder": planned["folder"], "versions": versions()}, indent=1)
    return f"<details><summary>Versions</summary><pre>{escape(facts)}</pre></details>"
