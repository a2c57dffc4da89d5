"""Pictures of a Python object's changing attributes, for worlds that keep part of their state outside the physics.

A picture holds plain values only (arrays, numbers, strings, nested dictionaries), so that it can be a checkpoint. What
belongs to the machinery (models, spaces, functions, modules) is left alone, and only what differs from the picture
taken when the object was new is kept.
"""

from __future__ import annotations

import enum
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

_KIND = "~"  # marks a container in a picture; no attribute can have this name
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "deque": deque, "set": set}
_LEFT_ALONE: dict[str, Any] = {_KIND: "left alone"}


class Snapshot:
    """Takes pictures of some roots (an environment and its wrappers) and brings them back.

    `owners` are the top-level modules whose objects are walked into; `skip` names attributes that are never looked at.
    """

    def __init__(self, roots: list[Any], owners: tuple[str, ...], skip: frozenset[str] = frozenset()) -> None:
        self._roots = roots
        self._owners = owners
        self._skip = skip
        self._new = self._picture()

    def take(self) -> dict[str, Any]:
        """Return every attribute that differs from when the roots were new, by root number and name."""
        changed: dict[str, Any] = {}
        for address, value in self._picture().items():
            if address not in self._new or not same(value, self._new[address]):
                changed[address] = value
        gone = [address for address in self._new if not self._has(address)]
        return {"changed": changed, "gone": dict.fromkeys(gone, True)}

    def bring_back(self, picture: dict[str, Any]) -> None:
        """Return every attribute to the picture, those it does not mention to how they were when new."""
        wanted = {**{k: v for k, v in self._new.items() if k not in picture["gone"]}, **picture["changed"]}
        for address in self._picture():
            if address not in wanted:
                root, name = self._find(address)
                delattr(root, name)
        for address, value in wanted.items():
            root, name = self._find(address)
            old = vars(root).get(name)
            restored = _restore(old, value)
            if restored is not old or not hasattr(root, name):
                vars(root)[name] = restored

    def _find(self, address: str) -> tuple[Any, str]:
        number, _, name = address.partition(".")
        return self._roots[int(number)], name

    def _has(self, address: str) -> bool:
        root, name = self._find(address)
        return name in vars(root)

    def _picture(self) -> dict[str, Any]:
        pictures = {}
        seen: set[int] = {id(root) for root in self._roots}
        for number, root in enumerate(self._roots):
            for name, value in vars(root).items():
                if name not in self._skip:
                    taken = self._take(value, seen)
                    if taken is not _LEFT_ALONE:
                        pictures[f"{number}.{name}"] = taken
        return pictures

    def _take(self, value: Any, seen: set[int]) -> Any:
        """Return one value as plain values; a thing met before, or foreign to `owners`, is left alone."""
        if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
            return value
        if isinstance(value, np.ndarray):
            return value.copy() if value.dtype.kind in "biufU" and value.dtype.hasobject is False else _LEFT_ALONE
        if isinstance(value, np.generic):
            return {_KIND: "scalar", "value": np.array(value)}
        if isinstance(value, np.random.Generator):
            return {_KIND: "generator", "value": _generator_text(value.bit_generator.state)}
        if isinstance(value, enum.Enum):
            return {_KIND: "choice", "of": f"{type(value).__module__}:{type(value).__qualname__}", "value": value.name}
        if id(value) in seen:
            return _LEFT_ALONE
        seen.add(id(value))
        try:
            return self._container(value, seen)
        finally:
            seen.discard(id(value))

    def _container(self, value: Any, seen: set[int]) -> Any:
        for kind, sequence in _SEQUENCES.items():
            if type(value) is sequence:
                items = sorted(value) if kind == "set" else value
                return {_KIND: kind, **{str(i): self._take(item, seen) for i, item in enumerate(items)}}
        if type(value) in (dict, OrderedDict):
            pairs = {f"value {i}": self._take(item, seen) for i, item in enumerate(value.values())}
            return {_KIND: "dict", **{f"key {i}": self._take(key, seen) for i, key in enumerate(value)}, **pairs}
        ours = type(value).__module__.partition(".")[0] in self._owners or isinstance(value, types.FunctionType)
        if not ours or isinstance(value, type) or not getattr(value, "__dict__", None):
            return _LEFT_ALONE
        return {_KIND: "object", **{name: self._take(item, seen) for name, item in vars(value).items()
                                    if name not in self._skip}}


def _restore(old: Any, picture: Any) -> Any:
    """Return the value that a picture shows, reusing `old` where it can be changed in place."""
    if isinstance(picture, np.ndarray):
        if isinstance(old, np.ndarray) and (old.shape, old.dtype) == (picture.shape, picture.dtype) and \
                old.flags.writeable:
            old[...] = picture
            return old
        return picture.copy()
    if not isinstance(picture, dict):
        return picture
    kind = picture[_KIND]
    if kind == "left alone":
        return old
    if kind == "scalar":
        return picture["value"][()]
    if kind == "choice":
        return _choices(picture["of"])[picture["value"]]
    if kind == "generator":
        return _restore_generator(old, picture["value"])
    if kind == "object":
        for name, value in picture.items():
            if name != _KIND:
                vars(old)[name] = _restore(vars(old).get(name), value)
        return old
    return _restore_dict(old, picture) if kind == "dict" else _restore_sequence(old, picture, kind)


def _choices(address: str) -> type[enum.Enum]:
    """Find an enumeration by `module:name` among what is imported already."""
    module, _, path = address.partition(":")
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    if not (isinstance(found, type) and issubclass(found, enum.Enum)):
        raise ValueError(f"the saved choice {address} is unknown to the library that is installed")
    return found


def _restore_generator(old: Any, text: dict[str, Any]) -> np.random.Generator:
    state = _generator_state(text)
    name = state["bit_generator"]
    if old is None or type(old.bit_generator).__name__ != name:
        kinds = {kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.Philox,
                                                  np.random.SFC64, np.random.MT19937)}
        old = np.random.Generator(kinds[name]())
    old.bit_generator.state = state
    return old


def _restore_dict(old: Any, picture: dict[str, Any]) -> Any:
    was = dict(old) if isinstance(old, dict) else {}
    count = (len(picture) - 1) // 2
    keys = [_restore(None, picture[f"key {i}"]) for i in range(count)]
    values = {key: _restore(was.get(key), picture[f"value {i}"]) for i, key in enumerate(keys)}
    if isinstance(old, dict):
        old.clear()
        old.update(values)
        return old
    return values


def _restore_sequence(old: Any, picture: dict[str, Any], kind: str) -> Any:
    was = list(old) if isinstance(old, (list, tuple, deque)) else []
    count = len(picture) - 1
    items = [_restore(was[i] if i < len(was) else None, picture[str(i)]) for i in range(count)]
    if kind in ("list", "deque") and isinstance(old, _SEQUENCES[kind]):
        old.clear()
        old.extend(items)
        return old
    return _SEQUENCES[kind](items)


def same(left: Any, right: Any) -> bool:
    """Are two pictures equal to the last bit?"""
    if isinstance(left, np.ndarray):
        return (isinstance(right, np.ndarray) and (left.shape, left.dtype) == (right.shape, right.dtype)
                and left.tobytes() == right.tobytes())
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return type(left) is type(right) and (left == right or (left != left and right != right))  # NaN is itself


def _generator_text(state: Mapping[str, Any]) -> dict[str, Any]:
    """Write a generator's state with its 128-bit numbers as text."""
    return {key: _generator_text(value) if isinstance(value, dict)
            else hex(value) if isinstance(value, int) else value for key, value in state.items()}


def _generator_state(text: dict[str, Any]) -> dict[str, Any]:
    return {key: _generator_state(value) if isinstance(value, dict)
            else int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
            for key, value in text.items()}
