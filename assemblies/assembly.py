"""An assembly: the description of a loop, from a YAML file or from Python; frozen, each call returns a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assemblies import fingerprint, normal, overrides
from ..loops.errors import AssemblyError, Problem, Problems, nearest
from .differences import exact
from .doubts import Doubts
from .origin import Origin, moved, placed, plain
from .settings import Settings

if TYPE_CHECKING:
    from ..loops.loop import Loop
    from ..loops.storage.runs import Run
    from ..loops.system import System


class Assembly:
    """Components, wires, references and a seed: everything needed to build and run a loop."""

    __slots__ = ("_document", "_origin")
    _document: dict[str, Any]
    _origin: Origin

    def __init__(self, name: str = "assembly", **entries: Any) -> None:
        """Begin an assembly in Python; entries are those of the YAML: until, seed, lanes, record, evaluate, ..."""
        self._init(self._read({"name": name, **plain(entries)}, Origin(), None, Problems()), Origin())

    def _init(self, document: dict[str, Any], origin: Origin) -> None:
        object.__setattr__(self, "_document", document)
        object.__setattr__(self, "_origin", origin)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an Assembly is frozen: use .set({name!r}, ...), which returns a new one")

    __delattr__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, document: Mapping[str, Any], origin: Origin | None = None, allowed: Settings | None = None,
           problems: Problems | None = None) -> Assembly:
        """Make an assembly from the plain value of its YAML.

        A fault in its form raises AssemblyError, with every other problem that it has too; `problems` are what was
        found before.
        """
        origin = origin or Origin()
        return cls._new(cls._read(document, origin, allowed, problems or Problems()), origin)

    @classmethod
    def _read(cls, value: Any, origin: Origin, allowed: Settings | None, problems: Problems) -> dict[str, Any]:
        from .checking import raise_all

        unread, form = Doubts(problems.errors, exact=True), Problems()
        made = normal.document(value, form)
        problems.found += [problem for problem in form.found if not unread.cover(problem.where)]
        raise_all(cls._new(made, origin), problems, allowed)
        return made

    @classmethod
    def from_yaml(cls, text: str, name: str = "assembly", folder: Path | None = None,
                  allowed: Settings | None = None) -> Assembly:
        """Read an assembly from YAML text."""
        from .document import parse

        problems = Problems()
        value, marks = parse(text, name, problems)
        return cls.of(value, Origin(folder=folder, marks=marks), allowed, problems)

    @classmethod
    def _new(cls, document: dict[str, Any], origin: Origin) -> Assembly:
        made = object.__new__(cls)
        made._init(document, origin)
        return made

    @property
    def name(self) -> str:
        return str(self._document["name"])

    seed = property(lambda self: self._document["seed"])
    lanes = property(lambda self: self._document["lanes"])
    until = property(lambda self: self._document.get("until"))

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components, in the order written."""
        return tuple(self._document["components"])

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self._document.get("variants", {}))

    @property
    def origin(self) -> Origin:
        return self._origin

    @property
    def notices(self) -> tuple[Problem, ...]:
        """What was dropped or passed over on the way here."""
        return self._origin.notices

    @property
    def form(self) -> Mapping[str, Any]:
        """The normal form itself, to be read and never written."""
        return self._document

    def document(self) -> dict[str, Any]:
        """Return a copy of the normal form."""
        return plain(self._document)

    def get(self, address: str) -> Any:
        """Return the value at an address of the normal form (None where nothing is written)."""
        value: Any = self._document
        head, _, rest = address.partition(".")
        value = value["components"].get(head) if head in value["components"] else value.get(head)
        for part in rest.split(".") if rest else ():
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return plain(value)

    @property
    def hash(self) -> str:
        """SHA-256 of everything that can change a result, with wires written out."""
        components = {name: {**entry, "inputs": self.wires(name)}
                      for name, entry in self._document["components"].items()}
        return fingerprint.whole({**self._document, "components": components})

    def derived(self, document: Mapping[str, Any]) -> Assembly:
        """Return an assembly from the same place with another normal form."""
        return self._new(dict(document), self._origin)

    def with_class(self, name: str, cls: type) -> Assembly:
        """Return the assembly with a class given directly for a type name."""
        return self._new(self._document, replace(self._origin, classes={**(self._origin.classes or {}), name: cls}))

    def wires(self, name: str, problems: Problems | None = None) -> dict[str, dict[str, Any]]:
        """Return a component's inputs as `{from, delay, reads}`, with `like` looked up."""
        return normal.wires(self._document, name, problems)

    def to_yaml(self) -> str:
        """Return the assembly as YAML; `Assembly.from_yaml` reads it back as an equal one."""
        from .document import write

        return write(normal.tidy(self._document))

    def add(self, name: str, type: str | type, *, inputs: Any = None, uses: Mapping[str, str] | None = None,
            seed: int | None = None, lanes: int | None = None, **params: Any) -> Assembly:
        """Return an assembly with one more component; `type` is a catalogue name or a class given directly."""
        if name in self._document["components"]:
            raise AssemblyError([Problem("is there already", name, "Use .swap to replace it.")], self.name)
        base, entry = self._entry(type, params, inputs, uses, seed, lanes)
        return base._changed({name: entry})

    def swap(self, name: str, type: str | type, *, inputs: Any = None, uses: Mapping[str, str] | None = None,
             seed: int | None = None, lanes: int | None = None, **params: Any) -> Assembly:
        """Return an assembly in which a component is another one; its inputs stay unless new ones are given."""
        if name not in self._document["components"]:
            raise AssemblyError([Problem("there is no such component", name, nearest(name, self.components))],
                                self.name)
        base, entry = self._entry(type, params, inputs, uses, seed, lanes)
        return base._changed({name: entry})

    def set(self, address: str | Mapping[str, Any], value: Any = None) -> Assembly:
        """Return an assembly with the value at an address replaced; None removes it; or give a mapping of several."""
        return self._changed(address if isinstance(address, Mapping) else {address: value})

    def remove(self, *names: str) -> Assembly:
        """Return an assembly without some components."""
        return self._changed(dict.fromkeys(names))

    def variant(self, name: str) -> Assembly:
        """Return one of the variants that the file defines (`base` is the file itself)."""
        if name == "base":
            return self
        known = self._document.get("variants", {})
        if name not in known:
            raise AssemblyError([Problem(f"there is no variant {name!r}", "", nearest(name, ["base", *known]))],
                                self.name)
        if self._origin.variant != "base" or self._origin.is_small:
            raise AssemblyError("choose the variant once, and before small, which is stronger", self.name)
        return self._changed(known[name], ("variants", name), variant=name)

    def small(self) -> Assembly:
        """Return the assembly as its `small` makes it: the same in seconds."""
        if "small" not in self._document:
            raise AssemblyError([Problem("has no `small`", "", "Write small: {address: value}.")], self.name)
        return self._changed(self._document["small"], ("small",), is_small=True)

    def resolve(self, *, given: Mapping[str, Any] | None = None, sweep: Mapping[str, Any] | None = None,
                variant: str = "base", small: bool = False, set: Mapping[str, Any] | None = None) -> Assembly:
        """Return what will run, by precedence: file, given, sweep, variant, small, set (the last is strongest)."""
        made = self
        for layer in (given, sweep):
            made = made._changed(layer) if layer else made
        made = made.variant(variant)
        made = made.small() if small else made
        made = made._changed(set) if set else made
        body = {key: value for key, value in made._document.items() if key not in ("variants", "small", "sweep")}
        return self._new(body, made._origin)

    def _changed(self, changes: Mapping[str, Any], layer: tuple[str, ...] = (), **done: Any) -> Assembly:
        from ..catalogue.index import input_names

        problems, marks = Problems(), moved(self._origin.marks, changes, layer)
        classes = self._origin.classes or {}
        document = overrides.apply(self._document, {key: plain(value) for key, value in changes.items()}, problems,
                                   names=lambda kind: input_names(kind, classes.get(kind)),
                                   removed=self._origin.removed)
        if problems.errors:
            raise AssemblyError(placed(problems.errors, replace(self._origin, marks=marks)), self.name)
        gone = self._origin.removed | (self._document["components"].keys() - document["components"].keys())
        origin = replace(self._origin, marks=marks, notices=(*self._origin.notices, *problems.notices),
                         removed=frozenset(gone - document["components"].keys()), **done)
        return self._new(document, origin)

    def _entry(self, kind: Any, params: Mapping[str, Any], inputs: Any, uses: Any, seed: Any,
               lanes: Any) -> tuple[Assembly, dict[str, Any]]:
        base = self
        if isinstance(kind, type):
            from ..catalogue.lookup import name_of

            cls, kind = kind, name_of(kind)
            base = self.with_class(kind, cls)
        entry = {"type": kind, "params": params, "inputs": inputs, "uses": uses, "seed": seed, "lanes": lanes}
        return base, {key: value for key, value in plain(entry).items() if value is not None}

    def system(self, problems: Problems | None = None, settings: Settings | None = None) -> System:
        """Return the assembly as the parts, wires and references that a Loop is made of."""
        from .wiring import system

        return system(self, problems, settings)

    def build(self, settings: Settings | None = None) -> Loop:
        """Check everything and return a loop that is ready to run; all problems are reported together.

        Args:
            settings: what may be loaded (left out: what the nearest stimloop.toml says).
        """
        from .checking import build

        return build(self, settings)

    def run(self, until: str | int | None = None, *, folder: str | Path | None = None, show: bool | None = None,
            speed: float | None = None, allowed: Settings | None = None,
            prepare: Callable[[Loop], None] | None = None) -> Run:
        """Run the assembly, recorded, and return the run.

        Ctrl-C saves the run (if it can be saved) and then raises KeyboardInterrupt, so that a script stops too.

        Args:
            until: where to stop instead of the assembly's own `until`: a text such as "10 s", "3000 steps" or
                "5 episodes", or nanoseconds. An instant at exactly that time is not run.
            folder: where runs lie (left out: `runs`, or as stimloop.toml says).
            show: draw progress, or not (left out: on a terminal only).
            prepare: called with the built loop before it runs, for example to tap a port.
            speed: pace to keep with the wall clock; 1 is real time (left out: as fast as it goes).
            allowed: what may be loaded (left out: what the nearest stimloop.toml says).
        """
        from .execute import run

        return run(self, until, folder=folder, show=show, speed=speed, allowed=allowed, prepare=prepare)

    def as_env(self, agent: str, reward: str = "body.reward", *, low: float | None = None, high: float | None = None,
               settings: Settings | None = None) -> Any:
        """Return a Gymnasium environment for playing one component from outside; what learns from it is left out.

        With one lane it is a `gymnasium.Env`, with several a `gymnasium.vector.VectorEnv` with next-step autoreset.

        Args:
            agent: name of the component whose seat is played, a brain or a coprocessor.
            reward: output that rewards; the episodes are those of the same body.
            low: lower bound of the action, where no port declares one.
            high: upper bound of the action, where no port declares one.
            settings: what may be loaded (left out: what the nearest stimloop.toml says).
        """
        from .env import as_env

        return as_env(self, agent, reward, low=low, high=high, settings=settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assembly) and exact(self._document) == exact(other._document)

    def __hash__(self) -> int:
        return hash(exact(self._document))

    def __repr__(self) -> str:
        return f"Assembly({self.name!r}, {len(self.components)} components, hash {self.hash[:8]})"
