"""A seat in the loop that somebody outside fills: the instant pauses there and waits for an answer."""

from __future__ import annotations

from collections.abc import Mapping

from .component import Component
from .port import Port


class External(Component):
    """Stands where a brain or coprocessor would; the loop pauses when its turn comes, `Loop.answer` goes on."""

    open_inputs = True
    open_outputs = True

    def __init__(self, inputs: Mapping[str, Port] | None = None, offered: Mapping[str, Port] | None = None) -> None:
        """Take the inputs of the component whose seat it is, so that sizes only that one knew stay known.

        `offered` are that component's outputs: they tell the bounds of an action where the receiver has none.
        """
        self.inputs = dict(inputs or {})
        self.offered = dict(offered or {})
        self.outputs = {}
