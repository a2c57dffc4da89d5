"""The wiring as a drawing: layers of boxes, wires with their delays, references dashed; SVG and plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from .graph import Graph
from .shapes import Wire
from .time import say

_HEIGHT, _GAP_Y = 50, 56
_LETTER, _SMALL = 8.0, 6.5  # widths of a letter of a component's name, and of its type or a wire's label


def text(graph: Graph) -> str:
    """One line a wire, in the order of an instant, references after them."""
    lines = []
    for name in graph.order:
        part = graph.system.parts[name]
        lines.append(f"{name}  ({part.type or type(graph.components[name]).__name__})")
        for wire in graph.wires:
            if wire.receiver == name:
                delay = f" after {say(wire.source.delay)}" if wire.source.delay else ""
                lines.append(f"    {wire.input:<14} <- {wire.source}  {wire.reads}{delay}")
        lines += [f"    {key:<14} .. {target}  (reference)" for key, target in part.uses.items()]
    rest = [name for name in graph.components if name not in graph.order]
    lines += [f"{name}  ({graph.system.parts[name].type}, only used)" for name in rest]
    return "\n".join(lines)


def svg(graph: Graph) -> str:
    """Return the wiring as one self-contained SVG picture (no scripts; every name escaped)."""
    bundles: dict[tuple[str, str], list[Wire]] = {}
    for wire in graph.wires:
        bundles.setdefault((wire.source.component, wire.receiver), []).append(wire)
    labels = {pair: _label(wires) for pair, wires in bundles.items()}
    boxes = _boxes(graph, labels)
    arrows = [_arrow(boxes[a], boxes[b], label, i) for i, ((a, b), label) in enumerate(labels.items())]
    arrows += [_arrow(boxes[name], boxes[target], key, 0, dashed=True)
               for name, targets in graph.uses.items() for key, target in targets.items()]
    left = min(0.0, *(arrow.left for arrow in arrows)) if arrows else 0.0
    right = max([box.x + box.width + 20 for box in boxes.values()] + [arrow.right for arrow in arrows])
    top = min([box.y for box in boxes.values()] + [arrow.top for arrow in arrows]) - 12
    bottom = max([box.y + _HEIGHT for box in boxes.values()] + [arrow.bottom for arrow in arrows]) + 12
    width, height = right - left, bottom - top
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:g} {top:g} {width:g} {height:g}" '
            f'width="{width:g}" font-family="sans-serif" role="img" aria-label="wiring">'
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
            '<path d="M0,0 L7,3 L0,6 z" fill="#456"/></marker></defs>')
    return "".join([head, *(arrow.line for arrow in arrows), *(_picture(box) for box in boxes.values()),
                    *(arrow.words for arrow in arrows), "</svg>"])


@dataclass(frozen=True)
class _Box:
    """A component's place in the picture."""

    name: str
    kind: str
    column: int
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class _Arrow:
    """A wire's line and its label, and how far they reach."""

    line: str
    words: str
    left: float
    right: float
    top: float
    bottom: float


def _label(wires: list[Wire]) -> str:
    delays = {wire.source.delay for wire in wires}
    names = ", ".join(sorted({wire.source.port for wire in wires}))
    return names + "".join(f" +{say(delay)}" for delay in sorted(delays) if delay)


def _cells(graph: Graph) -> dict[str, tuple[int, int]]:
    """Column and row of each: columns by depth along the order of an instant; what is only used in the last row."""
    depth: dict[str, int] = {}
    rows: dict[int, int] = {}
    cells = {}
    for name in graph.order:
        before = [depth[a] for a, b in graph.edges if b == name and a in depth]
        column = depth[name] = max(before, default=-1) + 1
        cells[name] = (column, rows.get(column, 0))
        rows[column] = rows.get(column, 0) + 1
    last = max(rows.values(), default=0)
    cells.update({name: (i, last) for i, name in enumerate(n for n in graph.components if n not in cells)})
    return cells


def _boxes(graph: Graph, labels: Mapping[tuple[str, str], str]) -> dict[str, _Box]:
    """Boxes as wide as their words, columns as far apart as the labels between them are long."""
    cells = _cells(graph)
    kinds = {name: graph.system.parts[name].type or type(graph.components[name]).__name__ for name in cells}
    columns = range(1 + max((column for column, _ in cells.values()), default=0))
    wide = [24 + max([90.0] + [max(_LETTER * len(name), _SMALL * len(kinds[name]))
                               for name, (at, _) in cells.items() if at == column]) for column in columns]
    gaps = [44 + max([40.0] + [_SMALL * len(label) for (a, b), label in labels.items()
                               if cells[a][0] == column and cells[b][0] == column + 1]) for column in columns]
    lefts = [20 + sum(wide[:column]) + sum(gaps[:column]) for column in columns]
    return {name: _Box(name, kinds[name], column, lefts[column], row * (_HEIGHT + _GAP_Y), wide[column])
            for name, (column, row) in cells.items()}


def _picture(box: _Box) -> str:
    middle = box.x + box.width / 2
    return (f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{_HEIGHT}" rx="7" fill="#f3f6f9" '
            f'stroke="#456"/><text x="{middle:g}" y="{box.y + 21:g}" text-anchor="middle" font-size="13" '
            f'font-weight="bold">{escape(box.name)}</text><text x="{middle:g}" y="{box.y + 39:g}" text-anchor="middle" '
            f'fill="#567" font-size="11">{escape(box.kind)}</text>')


def _arrow(start: _Box, end: _Box, label: str, index: int, dashed: bool = False) -> _Arrow:
    """A curve from box to box: to the next column straight, further forward above the boxes, backward below them."""
    half = _SMALL * len(label) / 2
    span = end.column - start.column
    if span > 1:
        a, b = (start.x + start.width * 0.6, start.y), (end.x + end.width * 0.4, end.y)
        high = min(a[1], b[1]) - 8 - 30 * min(span, 6)
        first, second = (a[0] + 40, high), (b[0] - 40, high)
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 8 + 0.75 * high - 5)
    elif span == 1:
        a, b = (start.x + start.width, start.y + _HEIGHT / 2), (end.x, end.y + _HEIGHT / 2)
        first, second = (a[0] + 50, a[1]), (b[0] - 50, b[1])
        middle = (b[0] - 12 - half, b[1] - 7)  # beside the receiver, where no other arrow of the sender passes
    else:
        a, b = (start.x + start.width / 2, start.y + _HEIGHT), (end.x + end.width / 2, end.y + _HEIGHT)
        low = max(a[1], b[1]) + 30 + 12 * (index % 3)
        first, second = (a[0], low), (b[0], low)
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 8 + 0.75 * low + 13)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = (f'<path d="M{a[0]:g},{a[1]:g} C{first[0]:g},{first[1]:g} {second[0]:g},{second[1]:g} {b[0]:g},{b[1]:g}" '
            f'fill="none" stroke="#456"{dash} marker-end="url(#tip)"/>')
    words = (f'<text x="{middle[0]:g}" y="{middle[1]:g}" text-anchor="middle" fill="#234" font-size="11" stroke="#fff" '
             f'stroke-width="4" paint-order="stroke">{escape(label)}</text>')
    return _Arrow(line, words, middle[0] - half, middle[0] + half, min(a[1], b[1], middle[1] - 11),
                  max(a[1], b[1], middle[1] + 4))
