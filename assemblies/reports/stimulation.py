"""Stimulation as a picture: what each limiter let through, the whole and close up, and the charge that adds up."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from . import canvas, charge
from .reading import said
from .tables import cell

_CHANNELS = 8  # drawn; of more, those that got most
_CLOSE = 60  # rows shown close up


def section(run: Run) -> str | None:
    """Return what a page says of the stimulation in a run; None where there is nothing that could stimulate."""
    return "".join(_one(run, key) for key in charge.delivered(run)) or None


def _one(run: Run, key: str) -> str:
    if not run.streams[key].rows or not np.asarray(run[key]).any():
        return f"<p class=note>{escape(key)}: nothing was delivered; the command was zero throughout.</p>"
    of_command = str(said(run, "units", {}).get(key, ""))
    said_of_units = "" if of_command else (" The command declares no physical unit, hence a.u. (arbitrary units): with "
                                           "<code>units: uA</code> at its sender the charge is in uC.")
    pulses = [other for other in run.streams if other.endswith(".pulses")]
    said_of_pulses = "" if not pulses else (f" Where it is the height of pulses ({escape(', '.join(pulses))}), less "
                                            "flows than this integral says.")
    return (f"{canvas.svg(draw(run, key))}<p class=note>Charge is the time integral of |{escape(key)}| over all lanes "
            f"and channels.{said_of_units}{said_of_pulses}</p>")


def draw(run: Run, key: str) -> Any:
    """Return the figure about one limiter: the whole run, close up where that is too dense, and the charge."""
    until = charge.end(run)
    values = np.asarray(run[key])
    number = lane_shown(values)
    times, shown = canvas.lane(run, key, number)
    close = closer(times, shown, until)
    spans = [(0, until)] + ([close] if close != (0, until) else [])
    figure, axes = canvas.figure([1.9] * len(spans) + [1.7], together=False)
    named = canvas.names(run, key)
    most = np.sort(np.argsort(-np.abs(shown).sum(axis=0), kind="stable")[:_CHANNELS])
    for i, (axis, (begin, stop)) in enumerate(zip(axes, spans, strict=False)):
        for colour, j in zip(canvas.COLOURS, most, strict=False):
            canvas.trace(axis, times, shown[:, j:j + 1], begin, stop, colour, named[j])
        axis.set_ylabel(canvas.label(run, key), fontsize=8)
        axis.margins(x=0.01)
        canvas.legend(axis)
        few = f", the {_CHANNELS} channels of {shown.shape[1]} that got most" if shown.shape[1] > _CHANNELS else ""
        canvas.title(axis, run, key, f" (lane {number}{few})" if not i else ", close up")
    _charge(axes[-1], run, key, times, values, until)
    return figure


def _charge(axis: Any, run: Run, key: str, times: np.ndarray, values: np.ndarray, until: int) -> None:
    unit = charge.unit(str(said(run, "units", {}).get(key, "")))
    totals = charge.running(times, values, until)
    shown = np.unique(np.linspace(0, len(times), canvas.ROWS).astype(int))
    axis.plot(np.append(times, until)[shown] * 1e-9, totals[shown], lw=1.4, color="#d1495b")
    axis.set_title(f"charge delivered, all lanes and channels: {cell(float(totals[-1]))} {unit} in all", fontsize=8.5,
                   loc="left")
    axis.set_ylabel(f"charge / {unit}", fontsize=8)
    axis.set_xlabel("time / s", fontsize=9)
    axis.set_ylim(bottom=0)
    axis.margins(x=0.01)


def lane_shown(values: np.ndarray) -> int:
    """Return the first lane to which anything was delivered, of values [n, lanes, channels]."""
    return int(np.argmax(values.reshape(*values.shape[:2], -1).any(axis=(0, 2))))


def closer(times: np.ndarray, values: np.ndarray, until: int) -> tuple[int, int]:
    """Return from and to when (ns) the first stimuli can be seen one by one: the whole run where it is short."""
    if len(times) <= 2 * _CLOSE:
        return 0, until
    active = int(np.argmax((values != 0).any(axis=1)))
    first, last = max(active - _CLOSE // 10, 0), active + _CLOSE
    return int(times[first]), int(times[last]) if last < len(times) else until
