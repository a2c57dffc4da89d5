"""The report: one self-contained HTML page about one run, or several side by side. No scripts, every name escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from html import escape
from pathlib import Path

from ...loops.errors import RunError
from ...loops.storage.runs import Run
from ..reports import figures, tables
from .warnings import warnings

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem} h2{border-bottom:1px solid #d5dde5;padding-bottom:.2rem;margin-top:2.4rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:.25rem .7rem;text-align:right}
th:first-child,td:first-child{text-align:left} tr:nth-child(even){background:#f4f7fa} th{border-bottom:2px solid #9ab}
.warn{background:#fff4e0;border-left:4px solid #e09f3e;padding:.6rem 1rem} .fine{color:#3a7d44} .note{color:#5f6c72}
svg{max-width:100%;height:auto} pre{background:#f4f7fa;padding:.8rem;overflow:auto;font-size:12px}
"""
_MARK = "<!doctype html><!-- stimloop report -->"
_FACTS = ("versions", "host", "git", "command", "started", "hash", "until", "facts")
_SAFETY = "Research simulation only: no statement about stimulation here is a medical claim."


def write_report(runs: list[Run], path: Path) -> Path:
    """Write the page about one run, or a comparison followed by each run; returns where it stands."""
    title = runs[0].attributes.get("name", runs[0].name)
    parts = [f"<h1>{escape(str(title))}</h1><p class=note>{escape(_SAFETY)}</p>"]
    if len(runs) > 1:
        for run in runs:
            parts += [f"<h3>{escape(_heading(run))}</h3>", _warnings(run)]
        parts += ["<h2>Side by side</h2>", table_html([tables.row(run) for run in runs]), figures.compare(runs) or ""]
        parts.append("<p class=note>return: mean over ended episodes; spread: half-width of its 95 % interval; charge: "
                     "time integral of |delivered command| over all channels and lanes.</p>")
    for run in runs:
        parts += _sections(run, alone=len(runs) == 1)
    page = (f'{_MARK}<html lang="en"><head><meta charset="utf-8"><title>{escape(str(title))}</title>'
            f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>")
    path = Path(path)
    try:
        _check_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
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


def _sections(run: Run, alone: bool) -> list[str]:
    attributes = run.attributes
    parts = [f"<h2>{escape(_heading(run))}</h2><p class=note>{escape(run.name)}</p>"]
    if alone:
        parts += [_warnings(run), table_html([tables.row(run)])]
    shown: list[tuple[str, Callable[[Run], str | None]]] = [
        ("Returns", figures.returns), ("Evaluations", figures.evaluations), ("What happened", figures.traces),
        ("Activity", figures.activity), ("Stimulation and charge", figures.stimulation)]
    for title, draw in shown:
        picture = draw(run)
        if picture:
            parts.append(f"<h3>{title}</h3>{picture}")
    parts.append("<h3>Wiring</h3>" + _picture(str(attributes.get("drawing", ""))))
    latency = tables.said(run, "latency", [])
    if latency:
        parts.append("<ul>" + "".join(f"<li>{escape(str(line))}</li>" for line in latency) + "</ul>")
    facts = {key: attributes.get(key) for key in _FACTS}
    parts.append(f"<details><summary>Where it comes from</summary><pre>{escape(json.dumps(facts, indent=1))}</pre>"
                 f"<pre>{escape(json.dumps(attributes.get('assembly', {}), indent=1))}</pre></details>")
    return parts


def _heading(run: Run) -> str:
    return f"{run.attributes.get('variant', '')}, seed {run.attributes.get('seed')}"


def _warnings(run: Run) -> str:
    found = warnings(run)
    if not found:
        return "<p class=fine>Nothing to warn of.</p>"
    return "<div class=warn><ul>" + "".join(f"<li>{escape(text)}</li>" for text in found) + "</ul></div>"


def _picture(svg: str) -> str:
    """Show a drawing kept in a run as an image, where nothing in it can run."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="wiring" style="max-width:100%" src="data:image/svg+xml;base64,{data}">' if svg else ""


def table_html(rows: list[dict[str, object]], columns: tuple[str, ...] = tables.COLUMNS) -> str:
    """Return rows as an HTML table."""
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    cells = ["".join(f"<td>{escape(tables.cell(row.get(c)))}</td>" for c in columns) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in cells)
    return f"<table><tr>{head}</tr>{body}</table>"
