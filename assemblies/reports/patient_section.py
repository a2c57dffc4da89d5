"""The patients of a run as pictures: which neurons live, and where electrodes reach them."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from . import canvas, patient_facts, patient_text

_NAMED = len(canvas.COLOURS)  # electrodes that the legend names
_FAINT = 1e-3  # of its peak: less of a field is not drawn


def section(run: Run, found: list[dict[str, Any]]) -> str | None:
    """Return what a page says of each patient; None where there is none."""
    return "".join(_one(run, patient) for patient in found) or None


def _one(run: Run, patient: dict[str, Any]) -> str:
    figure = draw(run, patient)
    picture = canvas.svg(figure) if figure is not None else ""
    return picture + f"<pre>{escape(chr(10).join(patient_text.lines([patient])))}</pre>"


def draw(run: Run, patient: dict[str, Any]) -> Any:
    """Return the figure of one patient: neurons along the axis, grey where a lesion silenced them; None: of nothing.

    Above them stand the fields of the electrodes that stimulate, below them those of the ones that record.
    """
    brain = patient["brain"]
    living = patient_facts.living_neurons(run, brain)
    fields = {name: weights for name in (patient["stimulator"], *patient["sensors"])
              if name and (weights := patient_facts.array(run, name, "weights")) is not None and weights.ndim == 2}
    size = living.size if living is not None else max(map(len, fields.values()), default=0)
    fields = {name: weights for name, weights in fields.items() if len(weights) == size}
    if not size:
        return None
    figure, axes = canvas.figure([1.7] * max(len(fields), 1))
    names = patient_facts.regions(run, f"{brain}.rates")
    for axis, (name, weights) in zip(axes, fields.items() or [("", np.zeros((size, 0)))], strict=True):
        _neurons(axis, living, names if names is not None and len(names) == size else None)
        _fields(axis, weights)
        verb = "reaches" if name == patient["stimulator"] else "records"
        axis.set_title(f"{name} {verb} {brain}" if name else f"neurons of {brain}", fontsize=8.5, loc="left")
        axis.set(xlim=(-0.5, size - 0.5), ylim=(0, 1.2))
        axis.set_ylabel("field / its peak", fontsize=8)
        canvas.legend(axis)
    axes[-1].set_xlabel("neuron / number", fontsize=9)
    return figure


def _fields(axis: Any, weights: np.ndarray) -> None:
    """Draw the field of each electrode; of many, the first are named."""
    for i, column in enumerate(np.abs(weights.T)):
        peak = column.max() or 1.0
        reached = column > _FAINT * peak
        axis.plot(np.flatnonzero(reached), column[reached] / peak, ".-", lw=1.0, ms=4,
                  color=canvas.COLOURS[i % len(canvas.COLOURS)], label=f"electrode {i}" if i < _NAMED else "_")
    if weights.shape[1] > _NAMED:
        axis.plot([], [], " ", label=f"and {weights.shape[1] - _NAMED} more")


def _neurons(axis: Any, living: np.ndarray | None, names: np.ndarray | None) -> None:
    """Mark the neurons that a lesion silenced, and the borders of regions."""
    if living is not None and not living.all():
        label = f"silenced: {(~living).sum()} of {living.size}"
        for neuron in np.flatnonzero(~living):
            axis.axvspan(neuron - 0.5, neuron + 0.5, color="#c9ced2", lw=0, label=label)
            label = "_"
    for border in np.flatnonzero(names[1:] != names[:-1]) if names is not None else ():
        axis.axvline(border + 0.5, color="#1c2733", lw=0.8, ls=":")
    for name in dict.fromkeys(names.tolist()) if names is not None else ():
        axis.text(np.flatnonzero(names == name).mean(), 1.18, name, ha="center", va="top", fontsize=8)
