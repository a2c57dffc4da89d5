"""A component's constructor is its schema: typed keyword arguments become a pydantic model.

Values are checked strictly (text is no number, a number is no flag), with three kindnesses: an integer may stand for
a float, `1e6` for an integer, and parameters marked `Text` (durations, periods) are parsed from text. Every number has
to be finite, and within its `Bound` where it has one.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from ..loops.bounds import Bound
from ..loops.errors import Problems, closest, nearest, short
from ..loops.time import Clock, Text


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, protected_namespaces=(),
                              populate_by_name=True)


@cache
def model(cls: type) -> type[BaseModel]:
    """Return the pydantic model of a component's (or parameter dataclass's) constructor."""
    fields: dict[str, Any] = {}
    extra = "forbid"
    hints = typing.get_type_hints(cls.__init__, include_extras=True)
    for i, parameter in enumerate(inspect.signature(cls).parameters.values()):
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        # the field's own name is neutral, so that no parameter can collide with a pydantic method
        fields[f"p{i}"] = (_rewrite(hints.get(parameter.name, Any)), Field(default, alias=parameter.name))
    name = getattr(cls, "__name__", "Component")
    config = ConfigDict(**{**_Model.model_config, "extra": extra})
    made = create_model(name, __config__=config, **fields)
    made.__doc__ = (inspect.getdoc(cls) or "").partition("\n")[0]
    return made


def validate(cls: type, params: Mapping[str, Any], problems: Problems, where: str,
             label: str = "") -> dict[str, Any] | None:
    """Return the constructor's arguments, parsed; None when something is wrong (told in `problems`)."""
    made = model(cls)
    try:
        checked = made.model_validate(dict(params), by_alias=True, by_name=False)
    except ValidationError as error:
        _tell(error, made, params, problems, where, label or cls.__name__)
        return None
    given = checked.model_fields_set
    values = {str(field.alias): getattr(checked, key) for key, field in made.model_fields.items() if key in given}
    try:
        values |= {key: _finite(value) for key, value in (checked.model_extra or {}).items()}
    except ValueError as error:
        problems.add(str(error), where)
        return None
    try:
        return {key: _restore(value, f"{where}.{key}") for key, value in values.items()}
    except _Wrong as error:
        problems.add(error.what, error.where)
        return None


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of the parameters."""
    schema = model(cls).model_json_schema(by_alias=True, mode="validation")
    schema.pop("title", None)
    schema.pop("description", None)
    return _without_titles(schema)


def parameter_classes(cls: type) -> dict[str, type]:
    """Return the parameter dataclasses inside a constructor's arguments, by name, to any depth."""
    found: dict[str, type] = {}
    for field in model(cls).model_fields.values():
        kind = getattr(_nested(field.annotation), "__stimloop_type__", None)
        if kind is not None and kind.__name__ not in found:
            found |= {kind.__name__: kind, **parameter_classes(kind)}
    return found


class _Wrong(Exception):
    """A parameter object refused its values."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where


def _rewrite(hint: Any) -> Any:
    """Return the annotation pydantic should check in place of `hint`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, marks = args[0], args[1:]
        text = next((mark for mark in marks if isinstance(mark, Text)), None)
        bound = next((mark for mark in marks if isinstance(mark, Bound)), None)
        rest = tuple(mark for mark in marks if not isinstance(mark, Text | Bound))
        if text is not None:
            return _parsed(inner, text, rest)
        kind = _rewrite(inner) if bound is None else _bounded(inner, bound)
        return Annotated[(kind, *rest)] if rest else kind
    if origin in (Union, types.UnionType):
        return Union[tuple(_rewrite(arg) for arg in args)]  # noqa: UP007 (built from a tuple)
    if origin is tuple:
        return Annotated[tuple[tuple(a if a is Ellipsis else _rewrite(a) for a in args)], Strict(False)]
    if origin in (list, dict):
        return origin[tuple(_rewrite(arg) for arg in args)]
    if hint in (int, float):
        return _bounded(hint, Bound())
    if hint in (Any, dict, list, tuple, inspect.Parameter.empty):  # nothing is said of what is inside
        return Annotated[hint, AfterValidator(_finite)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint is not Clock:
        return Annotated[model(hint), BeforeValidator(_taken_apart(hint))]
    return hint


def _parsed(inner: Any, text: Text, rest: tuple[Any, ...]) -> Any:
    kind = [arg for arg in (get_args(inner) or (inner,)) if dataclasses.is_dataclass(arg) and arg is not Clock]
    if kind:  # text stands for a parameter object; a mapping is checked field by field
        return Annotated[_rewrite(inner), BeforeValidator(lambda v: text.parse(v) if isinstance(v, str) else v)]
    if inner is str:
        return Annotated[(str, BeforeValidator(text.parse), *rest)]
    schema = {"type": ["string", "integer"], "description": text.name}
    return Annotated[(Any, BeforeValidator(text.parse), *rest, WithJsonSchema(schema))]


def _bounded(kind: Any, bound: Bound) -> Any:
    limits: dict[str, Any] = {"gt": bound.above, "ge": bound.least, "le": bound.most}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if kind is int:
        return Annotated[int, Field(**limits), BeforeValidator(_whole)]
    return Annotated[float, Field(allow_inf_nan=not bound.finite, **limits)] if kind is float else kind


def _finite(value: Any) -> Any:
    """Refuse a number that is not finite anywhere in a value of which no more is known."""
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        _finite(part)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**63 else value


def _taken_apart(kind: type) -> Any:
    def fields(value: Any) -> Any:
        if isinstance(value, kind):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return value

    model(kind).__stimloop_type__ = kind  # type: ignore[attr-defined]
    return fields


def _restore(value: Any, where: str) -> Any:
    """Turn checked models back into the parameter objects they stand for."""
    if isinstance(value, BaseModel):
        kind = getattr(type(value), "__stimloop_type__", None)
        fields = type(value).model_fields
        given = {str(fields[key].alias): _restore(getattr(value, key), f"{where}.{fields[key].alias}")
                 for key in value.model_fields_set if key in fields}
        try:
            return kind(**given) if kind else given
        except (ValueError, TypeError) as error:
            raise _Wrong(str(error), where) from error
    if isinstance(value, list | tuple):
        return type(value)(_restore(item, f"{where}.{i}") for i, item in enumerate(value))
    if isinstance(value, dict):
        return {key: _restore(item, f"{where}.{key}") for key, item in value.items()}
    return value


def fresh(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy arguments, so that no two instances share a list."""
    return {key: copy.deepcopy(value) if isinstance(value, list | dict) else value for key, value in values.items()}


def _tell(error: ValidationError, made: type[BaseModel], params: Mapping[str, Any], problems: Problems, where: str,
          label: str) -> None:
    told: dict[str, tuple[str, str]] = {}
    faults = error.errors(include_url=False)
    meant = {(*item["loc"][:-1], _meant(item["loc"], made)) for item in faults if item["type"] == "extra_forbidden"}
    for item in faults:
        loc, kind, given = item["loc"], item["type"], ""
        if kind == "missing" and loc in meant:
            continue  # it is there, but misspelt
        place = ".".join([where, *(str(part)[:60] for part in _address(loc, params, kind == "missing"))])
        if kind == "extra_forbidden":
            found = f"{label} has no parameter {short(loc[-1])}", nearest(loc[-1], _known(loc, made))
        elif kind == "missing":
            found = f"{label} needs this parameter", ""
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = f"{short(item['input'])} " if message.startswith("Input ") else ""
            found = given + message.removeprefix("Input "), ""
        before = told.get(place)
        if before is None:
            told[place] = found
        elif kind not in ("extra_forbidden", "missing") and given and (  # another branch of a union
                before[0].startswith(given) and (more := found[0].removeprefix(given)) not in before[0]):
            told[place] = f"{before[0]}, or {more}", before[1]
    for place, (what, fix) in told.items():
        if not any(other.startswith(place + ".") for other in told):  # a union complains for each of its branches
            problems.add(what, place, fix)


def _address(loc: tuple[Any, ...], value: Any, missing: bool) -> list[Any]:
    """Leave out of pydantic's location what only names the branch of a union: keep what leads into the value."""
    kept: list[Any] = []
    for part in loc:
        inside = part in value if isinstance(value, Mapping) else isinstance(value, list | tuple) and part in range(
            len(value))
        if inside:
            kept.append(part)
            value = value[part]
    return [*kept, loc[-1]] if missing else kept


def _nested(annotation: Any) -> Any:
    """Return the model inside an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _nested(arg)) is not None), None)


def _known(loc: tuple[Any, ...], made: type[BaseModel]) -> list[str]:
    """Return the names that could stand at the end of a location."""
    current: Any = made
    for part in loc[:-1]:
        field = next((field for field in current.model_fields.values() if field.alias == part), None)
        current = (field and _nested(field.annotation)) or current
    return [str(field.alias) for field in current.model_fields.values()]


def _meant(loc: tuple[Any, ...], made: type[BaseModel]) -> str | None:
    return closest(loc[-1], _known(loc, made))


def _without_titles(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_titles(item) for key, item in value.items()
                if not (key == "title" and isinstance(item, str))}
    return [_without_titles(item) for item in value] if isinstance(value, list) else value
