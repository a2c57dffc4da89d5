"""The checkpoints of a run: which are whole, and from which one `stimloop resume` would go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..loops.storage import checkpoint
from ..loops.time import say
from .session import CHECKPOINTS


@dataclass(frozen=True)
class Saved:
    """One checkpoint, and what is wrong with its files (nothing: it is whole)."""

    name: str
    at: str  # in the run's own time
    damage: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.at})"


@dataclass(frozen=True)
class Checkpoints:
    """All checkpoints of a run, the oldest first."""

    all: tuple[Saved, ...]
    exact: bool  # is what is cut behind an older one recorded again bit for bit?

    @property
    def on_from(self) -> Saved | None:
        """The one from which `stimloop resume` would go on; None: it would refuse."""
        whole = [each for each in self.all if not each.damage]
        if not whole or (self.all[-1].damage and not self.exact):
            return None
        return whole[-1]

    def warnings(self) -> list[str]:
        """Return what to say of those that are damaged, and then from which one it would go on."""
        said = [f"The checkpoint {each} is damaged: {'; '.join(each.damage)}." for each in self.all if each.damage]
        return [*said, self._way_on()] if said else []

    def _way_on(self) -> str:
        if self.on_from is not None:
            behind = self.all[-1].damage
            again = ", set aside what is damaged behind it, and record anew what lies there" if behind else ""
            return f"stimloop resume would go on from the checkpoint {self.on_from}{again}."
        if any(not each.damage for each in self.all):
            return ("stimloop resume refuses, for this run could not record the same again from an older checkpoint: "
                    "bring back a copy of the newest, or delete it to go on from the one before it.")
        return "stimloop resume refuses, for no checkpoint is whole: bring back a copy of one, or begin a new run."

    def facts(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return {"checkpoints": [{"name": each.name, "at": each.at, "damage": list(each.damage)} for each in self.all],
                "resume_from": self.on_from.name if self.on_from else None}


def checkpoints(path: Path, attributes: Mapping[str, Any]) -> Checkpoints:
    """Return the checkpoints of a run; every file is held against the hash that was written with it."""
    found = checkpoint.harmed(path / CHECKPOINTS)
    return Checkpoints(tuple(Saved(folder.name, _at(folder), tuple(harm))
                             for folder, harm in found.items()), not attributes.get("resumes"))


def _at(folder: Path) -> str:
    now = checkpoint.instant(folder)
    return say(now) if now else "0 s"
