"""Errors that say what is wrong, where, and how to put it right."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path


class StimloopError(Exception):
    """Base of every error that stimloop raises on purpose."""


class PortError(StimloopError, ValueError):
    """A value does not fit the port it was published on."""


class TimeError(StimloopError, ValueError):
    """A time cannot be written as whole nanoseconds, or lies where it may not."""


class RunError(StimloopError, RuntimeError):
    """A run directory, checkpoint or stored stream cannot be used."""


class Diverged(StimloopError, RuntimeError):
    """A simulation left the range where its numbers mean anything."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an assembly: what, at which address, and what to do about it."""

    what: str
    where: str = ""
    fix: str = ""
    notice: bool = False  # a notice is told but does not stop the build

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.fix:  # under a list, the way out begins at the margin
            lines.append(self.fix if "\n" in self.what else "  " + self.fix.replace("\n", "\n  "))
        return "\n".join(lines)


class AssemblyError(StimloopError):
    """An assembly cannot be built; carries every problem found, not only the first."""

    def __init__(self, problems: Iterable[Problem] | str, name: str = "") -> None:
        if isinstance(problems, str):
            problems = [Problem(problems)]
        self.problems = list(problems)
        self.name = name
        super().__init__(self._text())

    def _text(self) -> str:
        head = f"{self.name}: " if self.name else ""
        if len(self.problems) == 1:
            return f"{head}{self.problems[0]}"
        body = "\n".join(f"{i}. {problem}" for i, problem in enumerate(self.problems, 1))
        return f"{head}{len(self.problems)} problems\n{body}"

    def __reduce__(self) -> tuple:
        return (type(self), (self.problems, self.name))


def under(name: str, problems: Iterable[Problem]) -> list[Problem]:
    """Return what a component says is wrong, with its own name before each address."""
    return [replace(each, where=f"{name}.{each.where}" if each.where else name) for each in problems]


@dataclass
class Problems:
    """Gathers problems and notices so that all of them can be told together."""

    found: list[Problem] = field(default_factory=list)

    def add(self, what: str, where: str = "", fix: str = "") -> None:
        self.found.append(Problem(what, where, fix))

    def notice(self, what: str, where: str = "", fix: str = "") -> None:
        told = Problem(what, where, fix, notice=True)
        if told not in self.found:
            self.found.append(told)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.found if not problem.notice]

    @property
    def notices(self) -> list[Problem]:
        return [problem for problem in self.found if problem.notice]

    def raise_if_any(self, name: str = "") -> None:
        if self.errors:
            raise AssemblyError(self.errors, name)


@contextmanager
def doing(what: str, name: str, component: object) -> Iterator[None]:
    """Say of every error that leaves a component's own code what it was asked for; none of it may end the program."""
    try:
        yield
    except SystemExit as leaving:
        raise left(name, leaving) from leaving
    except Exception as error:
        error.add_note(f"while {what} `{name}` ({type(component).__name__})")
        raise


def left(name: str, leaving: SystemExit) -> StimloopError:
    """Return the error that is told where code of a component wanted to end the program, whatever its exit code."""
    return StimloopError(f"{name} called sys.exit({leaving.code!r}): only the user ends a run; raise an error instead")


def reason(error: BaseException) -> str:
    """Return what an error says; one whose text alone means little ('foo', division by zero) says its kind too."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    if isinstance(error, StimloopError | OSError) or type(error) in (ValueError, TypeError, ImportError, RuntimeError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def place(error: BaseException) -> str:
    """Return file and line in which an error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name} line {last.lineno}"


def notes(error: BaseException) -> list[str]:
    """Return what was noted at an error on its way."""
    return list(getattr(error, "__notes__", ()))


def short(value: object) -> str:
    """Show a value in a message without letting it fill the screen."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def counted(number: float, noun: str, nouns: str = "") -> str:
    """Return a number with its noun: `1 step`, `2,000 steps`; `nouns` where the plural is no `s` behind it."""
    return f"{number:,.0f} {noun if number == 1 else nouns or f'{noun}s'}"


def closest(name: object, names: Iterable[str]) -> str | None:
    """Return the one of `names` that was probably meant, None where none is close."""
    return _closest(str(name), tuple(sorted(str(n) for n in names)))


@lru_cache(maxsize=256)  # one misspelt name is often used many times
def _closest(name: str, names: tuple[str, ...]) -> str | None:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None


def nearest(name: object, names: Iterable[str]) -> str:
    """Return `Did you mean "x"?` for the closest of `names`, or the list of them when none is close."""
    known = sorted(str(n) for n in names)
    close = closest(name, known)
    if close is not None:
        return f'Did you mean "{close}"?'
    if not known:
        return "There are none."
    shown = ", ".join(known[:12])
    return f"Known: {shown}{', ...' if len(known) > 12 else ''}."
