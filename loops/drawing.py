"""The wiring as a drawing: layers of boxes, wires with their delays, references dashed; SVG and plain text."""

from __future__ import annotations

from html import escape

from .graph import Graph
from .shapes import Wire
from .time import say

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 46, 110, 44
_TOP = 130  # room above the boxes for wires that pass over them


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
    places = _places(graph)
    width = max(x for x, _ in places.values()) + _WIDTH + 40
    height = max(y for _, y in places.values()) + _HEIGHT + 90
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'font-family="sans-serif" font-size="12" role="img" aria-label="wiring">',
             '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
             '<path d="M0,0 L7,3 L0,6 z" fill="#456"/></marker></defs>']
    bundles: dict[tuple[str, str], list[Wire]] = {}
    for wire in graph.wires:
        bundles.setdefault((wire.source.component, wire.receiver), []).append(wire)
    parts += [_arrow(places[a], places[b], _label(wires), i) for i, ((a, b), wires) in enumerate(bundles.items())]
    for name, targets in graph.uses.items():
        parts += [_arrow(places[name], places[target], key, 0, dashed=True) for key, target in targets.items()]
    for name, (x, y) in places.items():
        kind = graph.system.parts[name].type or type(graph.components[name]).__name__
        parts.append(f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="#f3f6f9" stroke="#456"/>'
                     f'<text x="{x + _WIDTH / 2}" y="{y + 19}" text-anchor="middle" font-weight="bold">{escape(name)}'
                     f'</text><text x="{x + _WIDTH / 2}" y="{y + 36}" text-anchor="middle" fill="#678" font-size="10">'
                     f'{escape(kind)}</text>')
    return "".join([*parts, "</svg>"])


def _label(wires: list[Wire]) -> str:
    delays = {wire.source.delay for wire in wires}
    names = ", ".join(sorted({wire.source.port for wire in wires}))
    return names + "".join(f" +{say(delay)}" for delay in sorted(delays) if delay)


def _places(graph: Graph) -> dict[str, tuple[int, int]]:
    """Columns by depth along the order of an instant; what is only used stands in the last row."""
    depth: dict[str, int] = {}
    for name in graph.order:
        before = [depth[a] for a, b in graph.edges if b == name and a in depth]
        depth[name] = max(before, default=-1) + 1
    rows: dict[int, int] = {}
    places = {}
    for name in graph.order:
        column = depth[name]
        row = rows.get(column, 0)
        rows[column] = row + 1
        places[name] = (20 + column * (_WIDTH + _GAP_X), _TOP + row * (_HEIGHT + _GAP_Y))
    bottom = _TOP + max(rows.values(), default=0) * (_HEIGHT + _GAP_Y)
    rest = [name for name in graph.components if name not in places]
    places.update({name: (20 + i * (_WIDTH + _GAP_X), bottom) for i, name in enumerate(rest)})
    return places


def _arrow(start: tuple[int, int], end: tuple[int, int], label: str, index: int, dashed: bool = False) -> str:
    """A curve from box to box: to the next column straight, further forward above the boxes, backward below them."""
    (x1, y1), (x2, y2) = start, end
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    span = (x2 - x1) // (_WIDTH + _GAP_X)
    if span > 1:
        a, b = (x1 + _WIDTH * 0.6, float(y1)), (x2 + _WIDTH * 0.4, float(y2))
        high = min(y1, y2) - 14 - 17 * min(span, 6)
        path = f"M{a[0]},{a[1]} C{a[0] + 40},{high} {b[0] - 40},{high} {b[0]},{b[1]}"
        middle = ((a[0] + b[0]) / 2, (min(y1, y2) + 3 * high) / 4 - 4)
    elif x2 > x1:
        a, b = (float(x1 + _WIDTH), y1 + _HEIGHT / 2), (float(x2), y2 + _HEIGHT / 2)
        path = f"M{a[0]},{a[1]} C{a[0] + 50},{a[1]} {b[0] - 50},{b[1]} {b[0]},{b[1]}"
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 - 5)
    else:
        a, b = (x1 + _WIDTH / 2, float(y1 + _HEIGHT)), (x2 + _WIDTH / 2, float(y2 + _HEIGHT))
        low = max(y1, y2) + _HEIGHT + 28 + 9 * (index % 4)
        path = f"M{a[0]},{a[1]} C{a[0]},{low} {b[0]},{low} {b[0]},{b[1]}"
        middle = ((a[0] + b[0]) / 2, (y1 + _HEIGHT + 3 * low) / 4 + 12)
    return (f'<path d="{path}" fill="none" stroke="#456"{dash} marker-end="url(#tip)"/>'
            f'<text x="{middle[0]}" y="{middle[1]}" text-anchor="middle" fill="#345" font-size="10">{escape(label)}'
            "</text>")
