"""Files that a component reads, as types: an assembly names them from its own folder, and none outside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class NamesFile:
    """Marks a parameter whose text names a file; with `shipped`, a plain word names one that comes with stimloop."""

    shipped: bool = False


File = Annotated[str, NamesFile()]
Weights = Annotated[str, NamesFile(shipped=True)]
