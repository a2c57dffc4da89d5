"""Measures of a study: arithmetic over the columns of runs, read by a small grammar and never evaluated as code.

    (test.return - injured.test.return) / (healthy.test.return - injured.test.return)

`test.return` is a column of an evaluation, or the last value of a port of that address. A name before it is a variant
of the same stage at the same point of the sweep; `stage:variant` names one of another stage.

    steps_until(test.return >= -200, 2, 4000)

is the number of steps after which the mean over an evaluation's episodes first stands there, for 2 evaluations in a
row; 4000 where it never does.

    area_under(test.return)

is the area under the curve of that mean over steps, divided by the steps: its mean over the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ...loops.errors import AssemblyError, Problem

_TOKEN = re.compile(r"\s*(?:(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)"
                    r"|(?P<name>(?:[A-Za-z_]\w*:)?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)"
                    r"|(?P<curve>steps_until|area_under)|(?P<sign>>=|<=|[-+*/(),])|(?P<odd>\S))")
MOST = 2_000  # characters
DEEPEST = 50  # brackets and signs within one another


@dataclass(frozen=True)
class Until:
    """A bound that an evaluation is to reach and to hold, and what counts where it never does."""

    sign: str  # >= or <=
    bound: float
    held: int  # evaluations in a row
    limit: float  # steps, where it never does

    def of(self, counts: Sequence[int], means: Sequence[float]) -> float:
        """Return the steps of the first of `held` evaluations in a row that stand there; `limit` where none does."""
        found = self.reached(counts, means)
        return self.limit if found is None else found

    def reached(self, counts: Sequence[int], means: Sequence[float]) -> float | None:
        """Return the steps of the first of `held` evaluations in a row that stand there; None where none does."""
        there = [mean >= self.bound if self.sign == ">=" else mean <= self.bound for mean in means]
        for i in range(len(there) - self.held + 1):
            if all(there[i:i + self.held]):
                return float(counts[i])
        return None

    def around(self, name: str) -> str:
        """Return how it is written of a name."""
        return f"steps_until({name} {self.sign} {self.bound:g}, {self.held}, {self.limit:g})"


@dataclass(frozen=True)
class Area:
    """The area under the curve of an evaluation, in straight lines from one to the next, for each step."""

    def of(self, counts: Sequence[int], means: Sequence[float]) -> float:
        """Return the area by the steps from the first evaluation to the last; of a single one, what it says."""
        whole = counts[-1] - counts[0]
        if not whole:
            return means[-1]
        return sum((after - before) / whole * (left + right) / 2
                   for before, after, left, right in zip(counts, counts[1:], means, means[1:], strict=False))

    def around(self, name: str) -> str:
        """Return how it is written of a name."""
        return f"area_under({name})"


@dataclass(frozen=True)
class Name:
    """One number of a run: column `column` of `source` (an evaluation or a component), of this or another cell."""

    source: str
    column: str
    variant: str | None = None
    stage: str | None = None
    curve: Until | Area | None = None  # the number is not the last of the column but one of the whole run

    def __str__(self) -> str:
        cell = f"{self.stage}:{self.variant}." if self.stage else f"{self.variant}." if self.variant else ""
        name = f"{cell}{self.source}.{self.column}"
        return name if self.curve is None else self.curve.around(name)


@dataclass(frozen=True)
class Term:
    """An operation on one or two parts."""

    sign: str
    parts: tuple[Measure, ...]

    def __str__(self) -> str:
        return f"-{self.parts[0]}" if len(self.parts) == 1 else f"({f' {self.sign} '.join(map(str, self.parts))})"


Measure: TypeAlias = "float | Name | Term"


def parse(text: str, where: str = "measure") -> Measure:
    """Read a measure. Raises AssemblyError that says which part is not understood."""
    if not isinstance(text, str) or len(text) > MOST:
        raise AssemblyError([Problem(f"is no measure: {str(text)[:60]!r}", where, "Write for example: test.return")])
    return _Reader(text, where).read()


class _Reader:
    """Reads sums of products of factors: a factor is a number, a name, minus a factor, or a sum in brackets."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.depth = text, where, 0
        self.tokens = [(match.lastgroup or "odd", match.group(match.lastgroup or "odd"))
                       for match in _TOKEN.finditer(text.rstrip())]
        self.at = 0

    def read(self) -> Measure:
        found = self._chain("+-", lambda: self._chain("*/", self._factor))
        if self.at < len(self.tokens):
            self._refuse()
        return found

    def _chain(self, signs: str, part: Callable[[], Measure]) -> Measure:
        left = part()
        while self._next()[1] in signs and self._next()[0] == "sign":
            sign = self._take()[1]
            left = Term(sign, (left, part()))
        return left

    def _factor(self) -> Measure:
        kind, word = self._next()
        if kind == "number":
            return float(self._take()[1].replace("_", ""))
        if kind == "name":
            return self._name(self._take()[1])
        if kind == "curve":
            return self._until() if word == "steps_until" else self._area()
        if word not in ("-", "("):
            self._refuse()
        self._take()
        self.depth += 1
        if self.depth > DEEPEST:
            self._refuse(f"nests more than {DEEPEST} deep")
        if word == "-":
            found: Measure = Term("-", (self._factor(),))
        else:
            found = self._chain("+-", lambda: self._chain("*/", self._factor))
            if self._next()[1] != ")":
                self._refuse()
            self._take()
        self.depth -= 1
        return found

    def _area(self) -> Name:
        name = self._curve()
        self._expect(")")
        return replace(name, curve=Area())

    def _curve(self) -> Name:
        """Read a word, a bracket, and the name of the column that it is said of."""
        self._take()
        self._expect("(")
        if self._next()[0] != "name":
            self._refuse()
        return self._name(self._take()[1])

    def _until(self) -> Name:
        name, sign = self._curve(), self._next()[1]
        self._expect(">=", "<=")
        bound = self._number(signed=True)
        self._expect(",")
        held = self._number()
        self._expect(",")
        limit = self._number()
        self._expect(")")
        if held < 1 or held % 1:
            self._refuse(f"asks that a bound be held for {held:g} evaluations in a row: write a whole number from 1")
        return replace(name, curve=Until(sign, bound, int(held), limit))

    def _number(self, signed: bool = False) -> float:
        minus = signed and self._next()[1] == "-"
        if minus:
            self._take()
        if self._next()[0] != "number":
            self._refuse()
        found = float(self._take()[1].replace("_", ""))
        return -found if minus else found

    def _expect(self, *signs: str) -> None:
        if self._next()[1] not in signs:
            self._refuse()
        self._take()

    def _name(self, word: str) -> Name:
        stage, colon, rest = word.rpartition(":")
        parts = rest.split(".")
        if len(parts) == 3:
            return Name(parts[1], parts[2], parts[0], stage if colon else None)
        if len(parts) == 2 and not colon:
            return Name(*parts)
        return self._refuse(f"{word!r} names no number of a run")

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "its end")

    def _take(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1]

    def _refuse(self, why: str = "") -> Name:
        kind, word = self._next()
        why = why or f"is not understood at {word if kind == 'end' else repr(word)}"
        raise AssemblyError([Problem(f"{self.text!r} {why}", self.where,
                                     "Write names such as test.return or healthy.test.return, numbers, + - * / ( ), "
                                     "steps_until(test.return >= 100, 2, 5000), or area_under(test.return).")])


def names(measure: Measure) -> Iterator[Name]:
    """Every name in a measure, in order."""
    if isinstance(measure, Name):
        yield measure
    elif isinstance(measure, Term):
        for part in measure.parts:
            yield from names(part)


def value(measure: Measure, look_up: Callable[[Name], float]) -> float:
    """Return what a measure is, given what each name is; a division by zero is not a number."""
    if isinstance(measure, Name):
        return look_up(measure)
    if not isinstance(measure, Term):
        return measure
    parts = [value(part, look_up) for part in measure.parts]
    if len(parts) == 1:
        return -parts[0]
    left, right = parts
    if measure.sign == "/":
        return left / right if right else float("nan")
    return left + right if measure.sign == "+" else left - right if measure.sign == "-" else left * right
