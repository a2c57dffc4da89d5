"""What stays in doubt where an assembly could not be read: what only follows from a problem told already is no news."""

from __future__ import annotations

from collections.abc import Iterable

from ..loops.errors import Problem, closest
from ..loops.system import ANY
from .entries import EVALUATE
from .normal import COMPONENT, TOP

Address = tuple[str, ...]

_WHOLE = 4  # parts of ("components", "brain", "inputs", "observation"): a wire is in doubt as a whole


class Doubts:
    """The addresses at which something could not be read; an address in doubt stands for everything below it."""

    def __init__(self, problems: Iterable[Problem] = (), exact: bool = False) -> None:
        """`exact`: a wire is not in doubt as a whole, and nothing is guessed to be meant."""
        self._at = {address for problem in problems
                    for address in ([_address(problem.where)] if exact else _addresses(problem))}

    def cover(self, where: str) -> bool:
        """Is the value at this address in doubt, or something that holds it?"""
        if not self._at:
            return False
        address = _address(where)
        return any(address[:end] in self._at for end in range(1, len(address) + 1))

    def touch(self, where: str) -> bool:
        """Is something at, above or below this address in doubt?"""
        if not self._at:
            return False
        address = _address(where)
        return self.cover(where) or any(other[:len(address)] == address for other in self._at)

    def components(self) -> set[str]:
        """Names of components of which something is in doubt."""
        return {address[1] for address in self._at if address[0] == "components" and len(address) > 1}

    def unread(self, name: str) -> frozenset[str]:
        """Return the inputs and references of a component that are in doubt, as `Part.unread` names them."""
        found: set[str] = set()
        for side in ("inputs", "uses") if self._at else ():
            if self.cover(f"{name}.{side}"):
                found.add(f"{side}.{ANY}")
            found |= {f"{side}.{address[3]}" for address in self._at
                      if address[:3] == ("components", name, side) and len(address) > 3}
        return frozenset(found)


def _address(where: str) -> Address:
    """Return an address from the top of the file: a component's has `components` before it."""
    parts = where.partition(" (")[0].split(".")
    return tuple(parts if parts[0] in TOP else ["components", *parts])


def _addresses(problem: Problem) -> list[Address]:
    """Return what a problem puts in doubt: its address, and what was probably meant by a misspelt entry."""
    address = _address(problem.where)
    if address[0] == "components" and address[2:3] in (("inputs",), ("uses",)):
        address = address[:_WHOLE - 1] if address[3:4] and address[3].isdigit() else address[:_WHOLE]
    above, name = address[:-1], address[-1]
    known: tuple[str, ...] = ()
    if len(address) == 3:
        known = {"components": COMPONENT, "evaluate": EVALUATE}.get(address[0], ())
    elif above == ("components",):  # an address of one word is that of a component, or of an entry that is none
        above, known = (), TOP
    meant = closest(name, known) if name not in known else None
    return [address] if meant is None else [address, (*above, meant)]
