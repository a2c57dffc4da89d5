"""What a report shows of a learned model: how far it can be trusted, and how it was used."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from ...loops.errors import RunError
from ...loops.storage.runs import Run
from . import canvas, learning_curves, tables
from .model_facts import MEASURES, measured
from .reading import parameters

_COLUMNS = 2
_SHOWN = (1, 2, 3, 4, 5, 10, 15, 20, 30)  # steps ahead that the table tells
_MEANING = ("Errors are root mean squares as shares of the standard deviation of each number of the observation (over "
            "the newest 20 000 steps): the mean of the elites is followed for so many steps, with the actions that "
            "were taken. The mean error is over the numbers of the observation, the worst number is the one of the "
            "largest error; those without names are elements, counted from 0. Beside them is the error of saying that "
            "nothing changes. A reward's error of 1 is that of always saying its mean. Starts: from how many steps "
            "errors were followed. Coverage: the share of what came that lies in the intervals that should hold it.")
_FIXED = ("How many variants of a plan count is a setting here and no result: with `scaling: effective` it is "
          "`effective_share` of the particles, and 1 at the least.")


def section(run: Run, known: list[dict[str, Any]]) -> str | None:
    """Return pictures and numbers of each model as HTML; None where there is none."""
    return "".join(_one(run, found) for found in known) or None


def _one(run: Run, found: Mapping[str, Any]) -> str:
    parts = [f"<p class=warn>A damaged checkpoint was passed over: {escape(text)}.</p>"
             for text in found.get("damaged", ())]
    if found["missing"] and found["meant"]:
        parts.append(f"<p class=note>{escape(found['model'])} was {escape(found['missing'])}.</p>")
    elif found["missing"]:
        parts.append(f"<p class=warn>{escape(found['model'])} cannot be judged: {escape(found['missing'])}.</p>")
    else:
        parts.append(f"<p class=note>{escape(found['model'])}, on {escape(found['on'])}.</p>")
    try:
        figure = draw(run, found)
        parts += [canvas.svg(figure)] if figure is not None else []
    except RunError as error:  # the table needs none of it
        parts.append(f"<p class=warn>Its curves cannot be drawn: {escape(str(error))}.</p>")
    parts += [f"<p class=note>{escape(_FIXED)}</p>"] if _size_is_fixed(run, found["learner"]) else []
    if not found["missing"]:
        parts += [_table(found), f"<p class=note>{escape(_MEANING)}</p>"]
    return "".join(parts)


def _size_is_fixed(run: Run, learner: str | None) -> bool:
    return (learner is not None and "effective_size" in measured(run, learner)
            and parameters(run, learner).get("scaling") == "effective")


def _table(found: Mapping[str, Any]) -> str:
    """Return the errors of some k, and two coverages, as an HTML table."""
    heads = ["steps ahead", "mean error", "of the worst number", "which is", "nothing changes", "reward", "starts"]
    columns = [found[key] for key in ("k", "error", "worst_error", "worst", "persistence", "reward_error", "starts")]
    rows = [row for row in zip(*columns, strict=False) if row[0] in _SHOWN or row[0] == len(found["k"])]
    lines = "".join("<tr>" + "".join(f"<td>{escape(tables.cell(value))}</td>" for value in row) + "</tr>"
                    for row in rows)
    at = found["coverage"]["nominal"].index(0.9)
    told = ", ".join(f"{found['coverage'][what][at]:.1%} of the {words}" for what, words in
                     (("observation", "observation's changes"), ("reward", "rewards"))
                     if np.isfinite(found["coverage"][what][at]))
    top = "".join(f"<th>{head}</th>" for head in heads)
    return f"<div class=wide><table><tr>{top}</tr>{lines}</table></div><p>Intervals of 90 % hold {told}.</p>"


def draw(run: Run, found: Mapping[str, Any]) -> Any:
    """Return the figure: errors and coverage, where they are known, then the learner's measures; None: of nothing."""
    judgements = [] if found["missing"] else [_draw_errors, _draw_coverage]
    learner, ports = found["learner"], measured(run, found["learner"])
    if not judgements and not ports:
        return None
    figure, axes = canvas.grid(len(judgements) + len(ports), _COLUMNS, 2.1)
    for axis, drawing in zip(axes, judgements, strict=False):
        drawing(axis, found)
    over = learning_curves.Axis(run)
    for axis, port in zip(axes[len(judgements):], ports, strict=True):
        words, beside = MEASURES[port]
        for i, each in enumerate((port, *beside)):
            if f"{learner}.{each}" in run:
                columns = run.columns(f"{learner}.{each}")
                learning_curves.curve(axis, over.at(columns["time"].read()), columns["value"].read().astype(float),
                                      canvas.COLOURS[i], each)
        axis.set_title(words, fontsize=8.5, loc="left")
        axis.set_xlabel(over.label, fontsize=8)
        axis.set_ylabel(canvas.label(run, f"{learner}.{port}"), fontsize=8)
        axis.set_ylim(bottom=0)  # none of them can be below
        if beside:
            canvas.legend(axis)
    return figure


def _draw_errors(axis: Any, found: Mapping[str, Any]) -> None:
    for key, words, colour, style in (("error", "mean", 0, "-"), ("worst_error", "worst number", 0, ":"),
                                      ("persistence", "nothing changes", canvas.GREY, "--"),
                                      ("reward_error", "reward", 1, "-")):
        axis.plot(found["k"][:len(found[key])], found[key], style, marker=".", lw=1.2, color=canvas.COLOURS[colour],
                  label=words)
    if any(value > 0 for key in ("error", "persistence") for value in found[key]):
        axis.set_yscale("log")
    axis.set_title("error so many steps ahead", fontsize=8.5, loc="left")
    axis.set_xlabel("steps ahead", fontsize=8)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel("error / standard deviations", fontsize=8)
    canvas.legend(axis)


def _draw_coverage(axis: Any, found: Mapping[str, Any]) -> None:
    nominal = found["coverage"]["nominal"]
    axis.plot([0, 1], [0, 1], "--", lw=1.0, color=canvas.COLOURS[canvas.GREY], label="as it should be")
    for i, what in enumerate(("observation", "reward")):
        axis.plot(nominal, found["coverage"][what], ".-", lw=1.2, color=canvas.COLOURS[i], label=what)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title("coverage of intervals", fontsize=8.5, loc="left")
    axis.set_xlabel("share that an interval should hold", fontsize=8)
    axis.set_ylabel("share that it holds", fontsize=8)
    canvas.legend(axis)
