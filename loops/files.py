"""Files that a component reads, as types: an assembly names them from its own folder, and none outside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal


@dataclass(frozen=True)
class NamesFile:
    """Marks a parameter whose text names a file; a plain word names one that comes with stimloop, where some do."""

    shipped: Literal["", "weights", "data"] = ""  # what such a file holds


File = Annotated[str, NamesFile()]
Weights = Annotated[str, NamesFile(shipped="weights")]
DataSet = Annotated[str, NamesFile(shipped="data")]  # a folder
