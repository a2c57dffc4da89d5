"""A seat in the loop that somebody outside fills: the instant pauses there and waits for an answer."""

from __future__ import annotations

from .component import Component


class External(Component):
    """Stands where a brain or coprocessor would; the loop pauses when its turn comes, `Loop.answer` goes on."""

    open_inputs = True
    open_outputs = True

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {}
