"""Sizes for the ports of components that stand alone, as the other ends of their wires would give them."""

from __future__ import annotations

from ..component import Component
from ..lanes import Lanes
from ..port import Port

SMALLEST = 4  # the first unknown size becomes 4, the next 5 and so on, so that a mix-up of sizes shows


def built(used: Component, user: Component, lanes: Lanes, seed: int, alike: tuple[tuple[str, str], ...] = ()
          ) -> Component:
    """Return what a component uses, built, with ports as wide as the user's of the same name, or said to be `alike`."""
    ports = {**user.inputs, **user.outputs}
    ports |= {theirs: ports[own] for theirs, own in alike}
    for side in ("inputs", "outputs"):
        setattr(used, side, {name: port.sized(ports[name].shape) if name in ports else port
                             for name, port in getattr(used, side).items()})
    size_ports(used)
    used.build(lanes, seed)
    used.reset(seed)
    return used


def size_ports(component: Component) -> None:
    """Give every port a size, as the other ends of its wires would."""
    component.inputs, component.outputs = dict(component.inputs), dict(component.outputs)
    component.peers, component.peers_in = {}, {}
    if component.open_outputs and not component.outputs:
        listener = Port("what somebody asks for", (3,), low=-1.0, high=1.0)
        component.outputs = {"value": listener}
        component.peers = {"value": [listener]}
    if component.open_inputs and not component.inputs:
        component.inputs = {name: Port("what somebody offers", (3,), wakes=True) for name in ("first", "second")}
        component.peers_in = dict(component.inputs)
    size = SMALLEST
    while True:
        component.infer()
        unknown = next(((side, key, axis, old) for side in (component.inputs, component.outputs)
                        for key, port in side.items() for axis, old in enumerate(port.sizes)
                        if not isinstance(old, int)), None)
        if unknown is None:
            return
        side, key, axis, old = unknown
        sizes = list(side[key].sizes)
        sizes[axis] = size
        side[key] = side[key].sized(tuple(sizes))
        for ports in (component.inputs, component.outputs) if old is not None else ():
            for other, port in ports.items():
                ports[other] = port.sized(tuple(size if s == old else s for s in port.sizes))
        size += 1
