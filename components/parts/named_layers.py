"""Reading, injuring and stimulating the layers of a torch module by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ...loops.errors import AssemblyError, Problem, nearest


def names(net: torch.nn.Module) -> list[str]:
    """Return the names of all layers."""
    return [name for name, _ in net.named_modules() if name] or ["(none)"]


def check(net: torch.nn.Module, wanted: Mapping[str, Sequence[str]]) -> None:
    """Refuse names that no layer of the module has; they are those of each parameter."""
    known = names(net)
    problems = [Problem(f"there is no layer {name!r} in {type(net).__name__}", where,
                        f"{nearest(name, known)} Layers are named as torch's named_modules names them.")
                for where, named in wanted.items() for name in named if name not in known]
    if problems:
        raise AssemblyError(problems)


def connections(net: torch.nn.Module, name: str) -> tuple[int, int]:
    """Return the shape [out, in] of the connections into a linear layer, or into the first one of a block."""
    linear = net.get_submodule(linear_of(net, name))
    return linear.out_features, linear.in_features  # type: ignore[return-value]


def linear_of(net: torch.nn.Module, name: str) -> str:
    """Return the name of the linear layer whose connections are those into a layer: itself, or the first in it."""
    found = next(((each, part) for each, part in net.get_submodule(name).named_modules()
                  if isinstance(part, torch.nn.Linear)), None)
    if found is None:
        raise AssemblyError([Problem(f"the layer {name!r} has no linear connections that could be silenced",
                                     "params.lesion",
                                     "Silence its neurons (kind: neurons), or name a linear layer.")])
    inner, part = found
    full = ".".join(word for word in (name, inner) if word)
    if type(part).forward is not torch.nn.Linear.forward:
        raise AssemblyError([Problem(f"the layer {full!r} is a {type(part).__name__} that multiplies in a way of its "
                                     "own, so nobody else can leave connections out of it", "params.lesion",
                                     "Silence its neurons (kind: neurons), or use a plain torch.nn.Linear.")])
    return full


class Trace:
    """Which layers were asked while a module answered: how often each, and those that had not answered yet."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.at_work: list[str] = []


@contextmanager
def traced(net: torch.nn.Module) -> Iterator[Trace]:
    """While this lasts, note which layers are asked."""
    trace, hooks = Trace(), []

    def begin(name: str) -> Any:
        def hook(part: torch.nn.Module, given: Any) -> None:
            trace.calls[name] += 1
            trace.at_work.append(name)

        return hook

    for name, part in net.named_modules():
        if name:
            hooks += [part.register_forward_pre_hook(begin(name)),
                      part.register_forward_hook(lambda *_: trace.at_work.pop() and None)]
    try:
        yield trace
    finally:
        for hook in hooks:
            hook.remove()


def check_asked(net: torch.nn.Module, trace: Trace, wanted: Sequence[str]) -> None:
    """Refuse layers that `forward` never asks, or asks several times in one answer: they cannot be told or changed."""
    problems = []
    for name in dict.fromkeys(wanted):
        if not trace.calls[name]:
            asked = ", ".join(each for each in names(net) if trace.calls[each] == 1)
            problems.append(Problem(f"the layer {name!r} of {type(net).__name__} is never called by its forward, so "
                                    "it has no activity", "params", f"Name one that is called once: {asked}."))
        elif trace.calls[name] > 1:
            problems.append(Problem(f"the layer {name!r} of {type(net).__name__} is called {trace.calls[name]} times "
                                    "in one answer, so nobody knows which is meant", "params",
                                    "Give each place in forward a layer of its own."))
    if problems:
        raise AssemblyError(problems)


class Watch:
    """What the layers of a module do while it is watched: read `activity` after an answer, set `current` before."""

    def __init__(self) -> None:
        self.activity: dict[str, torch.Tensor] = {}
        self.current: torch.Tensor | None = None  # [batch, neurons] into the layer that is stimulated


@contextmanager
def watched(net: torch.nn.Module, names: Sequence[str], layer: str | None = None, mask: np.ndarray | None = None
            ) -> Iterator[Watch]:
    """While this lasts, keep what the layers `names` answer, the layer `layer` being injured and stimulated.

    A `mask` of connections [out, in] takes those of the layer's linear part out of its product, whatever their weight
    is; one of neurons [neurons] silences them after the current was added, so that a dead neuron stays silent under
    current.
    """
    watch, hooks = Watch(), []
    lives = None if mask is None else torch.from_numpy(mask != 0)

    def beside(tensor: torch.Tensor) -> Any:
        return None if lives is None else lives.to(tensor.device)

    def keep(name: str) -> Any:
        def hook(part: torch.nn.Module, given: Any, answer: torch.Tensor) -> torch.Tensor:
            _check_answer(name, answer, flat=name == layer)
            if name == layer:
                answer = answer if watch.current is None else answer + watch.current
                answer = answer if lives is None or lives.ndim == 2 else answer.where(beside(answer), 0)
            watch.activity[name] = answer
            return answer

        return hook

    def without(part: torch.nn.Module, given: Any, answer: torch.Tensor) -> torch.Tensor:
        weight: Any = part.weight
        kept = weight.where(beside(weight), 0)  # not a product: infinity times 0 would be no number
        return torch.nn.functional.linear(given[0], kept, part.bias)  # type: ignore[arg-type]

    if layer is not None and lives is not None and lives.ndim == 2:
        hooks.append(net.get_submodule(linear_of(net, layer)).register_forward_hook(without))
    hooks += [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def _check_answer(name: str, answer: Any, flat: bool) -> None:
    if not isinstance(answer, torch.Tensor):
        raise AssemblyError([Problem(f"the layer {name!r} answers with a {type(answer).__name__}, not with one tensor",
                                     "params.layer", "Name a layer within it, or one that reads it.")])
    if flat and answer.ndim != 2:
        raise AssemblyError([Problem(f"the layer {name!r} answers with the shape {tuple(answer.shape)}, not with "
                                     "[batch, neurons]", "params.layer", "Name a layer whose answer has one axis "
                                     "beside the batch, for example after a torch.nn.Flatten.")])
