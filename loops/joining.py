"""From a checked graph to what runs: components built, nodes and cells made, every wire joined to a cell or a pipe."""

from __future__ import annotations

from collections.abc import Mapping

from .checks import check_built_sources
from .errors import AssemblyError, Problem, StimloopError, doing, reason, under
from .external import External
from .graph import Graph
from .lanes import Lanes
from .node import Cell, Node, Pipe
from .shapes import Wire
from .wire import EventPipe, HoldPipe, SignalPipe


def build_components(graph: Graph) -> None:
    """Attach references and call `build`, used components before their users."""
    problems: list[Problem] = []
    failed: set[str] = set()  # and whoever uses one of them
    for name in graph.build_order():
        component = graph.components[name]
        if failed & set(graph.system.parts[name].uses.values()):
            failed.add(name)
            continue
        component.used = {key: graph.components[target] for key, target in graph.system.parts[name].uses.items()}
        try:
            with doing("building", name, component):  # a fault in the component's own code keeps its traceback
                component.build(Lanes.of(graph.lanes(name)), graph.seed(name))
        except AssemblyError as error:
            failed.add(name)
            problems += under(name, error.problems)
        except (ValueError, TypeError, LookupError, OSError, MemoryError, StimloopError) as error:
            failed.add(name)
            problems.append(Problem(f"cannot be built: {reason(error)}", name))
        for text in getattr(component, "warnings", ()):
            graph.problems.notice(text, name)
    for found in check_built_sources(graph.components, graph.wires, failed):
        if found.notice:
            graph.problems.notice(found.what, found.where, found.fix)
        else:
            problems.append(found)
    if problems:
        raise AssemblyError(problems, graph.system.name)


def make_nodes(graph: Graph) -> list[Node]:
    """Return the run-time side of each scheduled component, in the order of an instant, with a cell per output."""
    plan = []
    for rank, name in enumerate(graph.order):
        node = Node(name, graph.components[name], rank, graph.lanes(name))
        node.external = isinstance(node.component, External)
        node.cells = {key: Cell(name, key, port, node.lanes, graph.system.check_always)
                      for key, port in node.component.outputs.items()}
        plan.append(node)
    return plan


def join(graph: Graph, nodes: Mapping[str, Node], cells: Mapping[str, Cell],
         injected: tuple[str, ...]) -> dict[str, EventPipe]:
    """Join every wire, and return the pipes of injected inputs by address (a bare name means every such input)."""
    addresses = [address for name in injected for address in (
        [name] if "." in name else [f"{c}.{name}" for c in graph.order if name in graph.components[c].inputs])]
    for wire in graph.wires:
        if f"{wire.receiver}.{wire.input}" not in addresses and wire.receiver in nodes:
            _join(graph, wire, nodes[wire.receiver], cells[str(wire.source)])
    pipes = {}
    for address in addresses:
        name, _, key = address.partition(".")
        port = graph.components[name].inputs[key]
        pipes[address] = pipe = EventPipe(port, port.reads, 0)
        nodes[name].listen(key, None, pipe, False)
    return pipes


def _join(graph: Graph, wire: Wire, node: Node, cell: Cell) -> None:
    port, delay = node.component.inputs[wire.input], wire.source.delay
    sender = graph.components[wire.source.component]
    strict = wire.source.port in ("status", "reward") and "status" in sender.outputs
    pipe: Pipe | None = None
    if cell.event:
        pipe = EventPipe(port, wire.reads, delay)
    elif wire.reads == "hold" and not delay:
        pipe = HoldPipe(port, node.lanes)
    elif wire.reads != "now" or delay:
        pipe = SignalPipe(port, wire.reads, delay, node.lanes)
    node.listen(wire.input, cell, pipe, strict)
    if pipe is not None:
        cell.pipes += ((pipe, node, port.wakes and bool(delay)),)
        if port.wakes and not delay:
            cell.wakes += (node,)
