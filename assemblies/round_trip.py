"""Does what a component is made of survive being written as YAML and read again?"""

from __future__ import annotations

import inspect
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..loops.errors import Problems, StimloopError

if TYPE_CHECKING:
    from ..loops.conformance import Result

PROPERTY = "parameters survive YAML"


def check(cls: type, kind: str) -> Result:
    """Check that the parameters of the example go from the object to YAML and back, and make the same object again."""
    from ..loops.conformance import Result

    started = perf_counter()
    try:
        survives(cls, kind)
    except (AssertionError, StimloopError, TypeError, ValueError) as error:
        return Result(PROPERTY, False, str(error), perf_counter() - started)
    return Result(PROPERTY, True, "", perf_counter() - started)


def survives(cls: type, kind: str) -> None:
    """Raise AssertionError unless the parameters of the example survive; `kind` is the type as a file names it."""
    from ..catalogue.schema import fresh, validate
    from .assembly import Assembly

    given = example_parameters(cls)
    written = Assembly("round").add("it", kind, **given).to_yaml()
    read = Assembly.from_yaml(written)
    problems = Problems()
    parsed = validate(cls, read.form["components"]["it"].get("params") or {}, problems, "params")
    if problems.errors or parsed is None:
        raise AssertionError("the example's own parameters are refused when they come from a file: "
                             + "; ".join(map(str, problems.errors)))
    if parsed != given:
        name = next(name for name in {**given, **parsed} if given.get(name, cls) != parsed.get(name, cls))
        raise AssertionError(f"the parameter {name} was {given.get(name)!r} and came back from YAML as "
                             f"{parsed.get(name)!r}")
    if read.to_yaml() != written:
        raise AssertionError("written once more, the parameters give another text")
    cls(**fresh(parsed))


def example_parameters(cls: Any) -> dict[str, Any]:
    """Return what `example()` gives to the constructor."""
    given: dict[str, Any] = {}
    own, original = vars(cls).get("__init__"), cls.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is cls:
            given.update(inspect.signature(original).bind(self, *args, **kwargs).arguments)
        original(self, *args, **kwargs)

    cls.__init__ = noting
    try:
        cls.example()
    finally:
        if own is None:
            del cls.__init__
        else:
            cls.__init__ = own
    return dict(list(given.items())[1:])  # without `self`
