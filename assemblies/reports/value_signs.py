"""Signs in the values of ports: not numbers, never changing, at their bounds, or of a size that nothing can learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...loops.storage.runs import Run
from . import canvas
from .reading import entry

_ROWS = 20_000  # rows looked at, from the end
_BYTES = 1 << 26  # that are looked at of a port
_BOUND = 0.99  # of an action in [-1, 1], from which it counts as at its bound
_SATURATED = 0.5  # part of the values at a bound from which a port counts as saturated
_LARGE, _SMALL, _UNLIKE = 1e3, 1e-6, 1e4  # sizes that a network is hardly taught by, and ratios of its inputs
_STILL = ("basics.constant", "basics.silence")  # what never changes because it is meant not to


@dataclass(frozen=True)
class Values:
    """What the last rows of a port are like; `sizes` is the largest |value| of each element that changes at all."""

    undefined: float  # share
    constant: bool
    zero: bool
    at_bound: float  # share
    sizes: np.ndarray  # [elements], 0 where an element does not change


def look(run: Run) -> dict[str, Values]:
    """Return what the ports of a run are like, each read once."""
    found = {}
    for key, facts in run.streams.items():
        name, _, port = key.partition(".")
        is_signal = facts.kind == "signal" and facts.rows > 2 and entry(run, name).get("type") not in _STILL
        if (is_signal and port not in ("status", "solved")) or (facts.kind == "metric" and facts.rows):
            rows = max(3, min(_ROWS, _BYTES * facts.rows // max(facts.bytes, 1)))
            values = run.columns(key)["value"].read(max(0, facts.rows - rows))
            if values.size:
                found[key] = _like(values, facts.kind == "metric")
    return found


def _like(values: np.ndarray, is_metric: bool) -> Values:
    is_float = values.dtype.kind == "f"
    rows = values.reshape(-1, int(np.prod(values.shape[2:]))) if values.ndim > 2 else values.reshape(-1, 1)
    size = np.abs(rows) if is_float else np.zeros((1, rows.shape[1]))
    moves = (rows != rows[:1]).any(axis=0)
    return Values(
        undefined=float(np.isnan(values).mean()) if is_float else 0.0,
        constant=not is_metric and bool((values == values[:1]).all()), zero=not values.any(),
        at_bound=float((size > _BOUND).mean()) if is_float else 0.0,
        sizes=np.where(moves, np.nan_to_num(size, nan=0.0).max(axis=0), 0.0))


def undefined(values: dict[str, Values]) -> list[str]:
    """Ports that say NaN."""
    found = [f"{key} ({each.undefined:.0%})" for key, each in values.items() if each.undefined]
    return [f"Not a number: {', '.join(found)}. Look for a division by zero or a learning rate that is too high."
            ] if found else []


def constant(values: dict[str, Values]) -> list[str]:
    """Ports that never change."""
    still = [f"{key} ({'all zero' if each.zero else 'not zero'})" for key, each in values.items() if each.constant]
    return [f"Constant throughout: {', '.join(still)}. Look at what feeds them: wires, weights, a lesion of everything."
            ] if still else []


def saturated(values: dict[str, Values]) -> list[str]:
    """Actions that stand at their bounds."""
    return [f"{key} stands at its bound in {each.at_bound:.0%} of its values. Scale the observations down, or begin "
            "with smaller weights." for key, each in values.items()
            if key.endswith(".action") and each.at_bound > _SATURATED]


def extreme(run: Run, values: dict[str, Values]) -> list[str]:
    """Observations and rewards too large or too small for learning, and observations of very unlike elements."""
    found = []
    for key, each in values.items():
        body, _, port = key.partition(".")
        if body not in run.bodies or not (port == "reward" or port.startswith("observation")):
            continue
        sizes = each.sizes[each.sizes > 0]
        if not len(sizes):
            continue
        most, least = float(sizes.max()), float(sizes.min())
        if most > _LARGE or most < _SMALL:
            found.append(f"{key} {'reaches' if most > _LARGE else 'stays within'} {most:.2g}: little can be learned "
                         "from such a scale. Bring it near 1 with basics.gain.")
        if most > _UNLIKE * least:
            names = canvas.names(run, key)
            large, small = int(each.sizes.argmax()), int(np.where(each.sizes > 0, each.sizes, np.inf).argmin())
            found.append(f"{key} holds elements of very unlike scale: {names[large]} reaches {most:.2g}, "
                         f"{names[small]} {least:.2g}. Bring each near 1 with basics.gain.")
    return found
