"""What a loop is made of, as data: parts, sources, references; the assembly layer writes it, `Loop` builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .component import Component
from .errors import closest
from .port import Reads

ANY = "*"  # any name: in `Part.unread`, where not even the names could be read


@dataclass(frozen=True)
class Source:
    """Where one input gets its values: `component.port`, after `delay` nanoseconds, read as the wiring says."""

    component: str
    port: str
    delay: int = 0
    reads: Reads | None = None  # None: as the input port declares

    @staticmethod
    def of(text: str, delay: int = 0, reads: Reads | None = None) -> Source:
        """Read `component.port`."""
        component, _, port = text.partition(".")
        return Source(component, port, delay, reads)

    def __str__(self) -> str:
        return f"{self.component}.{self.port}"


@dataclass(frozen=True)
class Part:
    """One component of a system: how to make it, what it listens to and what it holds by reference."""

    create: Callable[[], Component] | None  # a fresh, unbuilt instance at each call; None: told already why not
    inputs: Mapping[str, Source] = field(default_factory=dict)  # by input name
    uses: Mapping[str, str] = field(default_factory=dict)  # reference name -> component name
    seed: int | None = None  # None: derived from the system's seed and the component's name
    lanes: int | None = None  # only for a used body with worlds of its own
    type: str = ""  # what messages call it, e.g. "brains.mlp"
    unread: frozenset[str] = frozenset()  # `inputs.x` or `uses.*`: could not be read, which is told already

    def is_unread(self, side: str, name: str = "") -> bool:
        """Could something of this input or reference (of any, without a name) not be read? `side`: inputs or uses."""
        if not self.unread:
            return False
        if not name:
            return any(entry.startswith(f"{side}.") for entry in self.unread)
        return not {f"{side}.{name}", f"{side}.{ANY}"}.isdisjoint(self.unread)


@dataclass(frozen=True)
class EvaluationPlan:
    """A second system run from time to time with the learned arrays of the first."""

    system: System  # as many lanes as episodes (or as `max_lanes` allows)
    every: tuple[int, str]  # (1, "episodes"), (250, "steps") or (nanoseconds, "ns")
    episodes: int
    seeds: int  # seed of the first episode; the next ones count up
    at_start: bool = True
    longest: int | None = None  # ns after which an episode is cut off; None: one that does not end is an error
    most_steps: int | None = None  # after which an episode is cut off
    learners: tuple[str, ...] = ()  # left out of `system` because they learn, though nobody said so


@dataclass(frozen=True)
class System:
    """Components joined by wires and references, with a seed: everything a loop needs."""

    parts: Mapping[str, Part]
    lanes: int = 1
    seed: int = 0
    name: str = "system"
    check_always: bool = False  # False: full port checks for 100 values, then only finiteness
    evaluations: Mapping[str, EvaluationPlan] = field(default_factory=dict)

    @cached_property
    def used(self) -> frozenset[str]:
        """Components that another one holds by reference, as far as the references can be read and are spelt right."""
        held: set[str | None] = {target if target in self.parts else closest(target, self.parts)
                for part in self.parts.values() for target in part.uses.values()}
        if any(part.is_unread("uses") for part in self.parts.values()):
            held |= self.parts.keys() - self.wired  # what else could they be for?
        return frozenset(name for name in self.parts if name in held)

    @cached_property
    def wired(self) -> frozenset[str]:
        """Components with a wire in or out."""
        speaking = {source.component for part in self.parts.values() for source in part.inputs.values()}
        return frozenset(speaking | {name for name, part in self.parts.items() if part.inputs})

    @cached_property
    def rehearsed(self) -> frozenset[str]:
        """Components that are only used, never wired: worlds to rehearse in, models to ask."""
        return self.used - self.wired
