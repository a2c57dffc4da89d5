"""The report: one self-contained HTML page about one run, or several side by side. No scripts, every name escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...loops.errors import RunError
from ...loops.storage.atomic import replace_shared
from ...loops.storage.runs import Run
from ..reports import (
    activity,
    canvas,
    critic_returns,
    critic_section,
    evaluation_curves,
    figures,
    learning_curves,
    model_facts,
    model_section,
    model_signs,
    patient_facts,
    patient_section,
    stimulation,
    tables,
    traces,
)
from .arms_of_runs import arms_of
from .reading import said
from .warnings import warnings

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem} h2{border-bottom:1px solid #d5dde5;padding-bottom:.2rem;margin-top:2.4rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:.25rem .7rem;text-align:right}
th:first-child,td:first-child{text-align:left} tr:nth-child(even){background:#f4f7fa} th{border-bottom:2px solid #9ab}
.warn{background:#fff4e0;border-left:4px solid #e09f3e;padding:.6rem 1rem} .fine{color:#3a7d44} .note{color:#5f6c72}
svg{width:100%;height:auto} .fail{color:#b3261e}
.wide{overflow-x:auto} li,td,th,h1,h2,h3{overflow-wrap:anywhere}
pre{background:#f4f7fa;padding:.8rem;overflow:auto;font-size:12px}
"""
_MARK = "<!doctype html><!-- stimloop report -->"
_FACTS = ("versions", "host", "git", "command", "started", "hash", "until", "facts")
_SAFETY = "Research simulation only: no statement about stimulation here is a medical claim."


def write_report(runs: list[Run], path: Path, models: Sequence[list[dict[str, Any]]] | None = None,
                 patients: Sequence[list[dict[str, Any]]] | None = None) -> Path:
    """Write the page about one run, or a comparison followed by each run; returns where it stands.

    `models` are the `model_facts` of each run, `patients` their `patient_facts`, where somebody has them already.
    """
    models = models if models is not None else [model_facts.facts(run) for run in runs]
    patients = patients if patients is not None else [patient_facts.facts(run) for run in runs]
    title = runs[0].attributes.get("name", runs[0].name)
    parts = [head(str(title), said(runs[0], "assembly", {}).get("about"))]
    if len(runs) > 1:
        drawn = evaluation_curves.section(evaluation_curves.arms(arms_of(runs)))
        parts += [f"<h2>Evaluations, {len(runs)} runs</h2>{drawn}"] if drawn else []
        parts += ["<h2>Warnings</h2>"] + [f"<h3>{escape(_heading(run))}</h3>{_warnings(run, known)}"
                                             for run, known in zip(runs, models, strict=True)]
        parts += ["<h2>Side by side</h2>", table_html([tables.row(run) for run in runs]), figures.compare(runs) or "",
                  f"<p class=note>Each point is an episode, each bar the mean of a run. {escape(tables.MEANING)}</p>"]
    for run, known, injured in zip(runs, models, patients, strict=True):
        parts += _sections(run, known, injured, alone=len(runs) == 1)
    return write_page(path, str(title), parts)


def head(title: str, about: object) -> str:
    """Return the beginning of a page: what it is about, and what it is no statement about."""
    told = f"<p>{escape(about)}</p>" if isinstance(about, str) else ""
    return f"<h1>{escape(title)}</h1>{told}<p class=note>{escape(_SAFETY)}</p>"


def write_page(path: Path, title: str, parts: list[str]) -> Path:
    """Write a page of its own from pieces of HTML; returns where it stands."""
    page = (f'{_MARK}<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>")
    path = Path(path)
    try:
        _check_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_shared(path, page.encode())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}. Name another file with --to") from error
    return path


def _check_place(path: Path) -> None:
    """Only a report may be replaced: whatever else stands there is somebody's work."""
    if path.is_dir():
        raise RunError(f"{path} is a folder; name a file in it, for example --to {path / 'report.html'}")
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_MARK)) == _MARK.encode():
                return
    raise RunError(f"{path} is there already and is not a report; name another file with --to, or remove it")


def _sections(run: Run, models: list[dict[str, Any]], patients: list[dict[str, Any]], alone: bool) -> list[str]:
    parts = [f"<h2>{escape(_heading(run))}</h2><p class=note>{escape(run.name)}{_outcome(run)}</p>"]
    if alone:
        parts += [_warnings(run, models), table_html([tables.row(run)]), f"<p class=note>{escape(tables.MEANING)}</p>"]
    shown: list[tuple[str, Callable[[Run], str | None]]] = [
        ("Return of each episode", figures.returns), ("Evaluations", figures.evaluations),
        ("Learning", lambda run: _drawn(learning_curves.draw(run, model_facts.shown(run)))),
        ("Model", lambda run: model_section.section(run, models)),
        ("Critic", lambda run: critic_section.section(critic_returns.facts(run))),
        ("Patient", lambda run: patient_section.section(run, patients)),
        ("Stimulation and charge", stimulation.section),
        (f"Body and brain, {_beginning(run)}", lambda run: _drawn(traces.draw(run))),
        (f"Activity, {_beginning(run)}", lambda run: _drawn(activity.draw(run)))]
    for title, draw in shown:
        try:
            picture = draw(run)
        except RunError as error:
            picture = f"<p class=warn>This cannot be drawn: {escape(str(error))}.</p>"
        if picture:
            parts.append(f"<h3>{title}</h3>{picture}")
    parts += ["<h3>Wiring</h3>", _picture(str(run.attributes.get("drawing", ""))), *_latencies(run)]
    facts = {key: run.attributes.get(key) for key in _FACTS}
    parts.append(f"<details><summary>Where it comes from</summary><pre>{escape(json.dumps(facts, indent=1))}</pre>"
                 f"<pre>{escape(json.dumps(run.attributes.get('assembly', {}), indent=1))}</pre></details>")
    return parts


def _drawn(figure: Any) -> str | None:
    return None if figure is None else canvas.svg(figure)


def _beginning(run: Run) -> str:
    """Which part of a run its traces show."""
    try:
        return f"first {traces.span(run) * 1e-9:.4g} s, lane 0"
    except RuntimeError:
        return "lane 0"


def _outcome(run: Run) -> str:
    """How long the run was, in words."""
    facts = said(run, "facts", {})
    known = [f"{tables.cell(facts[key])} {words}" for key, words in
             (("simulated_s", "s simulated"), ("steps", "steps"), ("wall_s", "s of wall time"))
             if isinstance(facts.get(key), float)]
    return escape("".join(f" · {part}" for part in [run.state, *known]))


def _latencies(run: Run) -> list[str]:
    chains = said(run, "latency", [])
    lines = "".join(f"<li>{escape(str(line))}</li>" for line in chains)
    meaning = "Latency of each closed chain: its delays (nominal), and what they act like."
    return [f"<p class=note>{meaning}</p><ul>{lines}</ul>"] if chains else []


def _heading(run: Run) -> str:
    return f"{run.attributes.get('variant', '')}, seed {run.attributes.get('seed')}"


def _warnings(run: Run, models: Sequence[Mapping[str, Any]]) -> str:
    found = [*warnings(run), *model_signs.too_sure(models), *model_signs.too_wary(models)]
    if not found:
        return "<p class=fine>Nothing to warn of.</p>"
    return "<div class=warn><ul>" + "".join(f"<li>{escape(text)}</li>" for text in found) + "</ul></div>"


def _picture(svg: str) -> str:
    """Show a drawing kept in a run as an image, where nothing in it can run."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="wiring" style="max-width:100%" src="data:image/svg+xml;base64,{data}">' if svg else ""


def table_html(rows: list[dict[str, object]], columns: tuple[str, ...] = tables.COLUMNS) -> str:
    """Return rows as an HTML table."""
    heads, *lines = tables.heads_and_cells(rows, columns)
    return lines_html(heads, [[escape(text) for text in line] for line in lines])


def lines_html(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are HTML already; its heads are text."""
    top = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<div class=wide><table><tr>{top}</tr>{body}</table></div>"
