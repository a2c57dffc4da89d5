"""Reading, injuring and stimulating the layers of a torch module by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ...loops.errors import AssemblyError, Problem, nearest


def names(net: torch.nn.Module) -> list[str]:
    """Return the names of all layers."""
    return [name for name, _ in net.named_modules() if name] or ["(none)"]


def check(net: torch.nn.Module, wanted: Sequence[str]) -> None:
    """Refuse names that no layer of the module has."""
    known = names(net)
    problems = [Problem(f"there is no layer {name!r} in {type(net).__name__}", "layer",
                        f"{nearest(name, known)} Layers are named as torch's named_modules names them.")
                for name in wanted if name not in known]
    if problems:
        raise AssemblyError(problems)


def connections(net: torch.nn.Module, name: str) -> tuple[int, int]:
    """Return the shape [out, in] of the connections into a linear layer, or into the first one of a block."""
    linear = _linear(net, name)
    return linear.out_features, linear.in_features


def _linear(net: torch.nn.Module, name: str) -> torch.nn.Linear:
    found = next((part for part in net.get_submodule(name).modules() if isinstance(part, torch.nn.Linear)), None)
    if found is None:
        raise AssemblyError([Problem(f"the layer {name!r} has no linear connections that could be silenced",
                                     "params.lesion",
                                     "Silence its neurons (kind: neurons), or name a linear layer.")])
    return found


@contextmanager
def watched(net: torch.nn.Module, names: Sequence[str], layer: str | None = None, mask: np.ndarray | None = None,
            current: torch.Tensor | None = None) -> Iterator[dict[str, torch.Tensor]]:
    """While this lasts, keep what the layers `names` answer, the layer `layer` being injured and stimulated.

    A `mask` of connections [out, in] silences those of the layer's linear part; one of neurons [neurons] silences them
    after the `current` [batch, neurons] was added, so that a dead neuron stays silent under current.
    """
    activity: dict[str, torch.Tensor] = {}
    hooks = []
    lives = None if mask is None else torch.from_numpy(mask)

    def keep(name: str) -> Any:
        def hook(part: torch.nn.Module, given: Any, answer: torch.Tensor) -> torch.Tensor:
            if name == layer:
                answer = answer if current is None else answer + current
                answer = answer if lives is None or lives.ndim == 2 else answer * lives
            activity[name] = answer
            return answer

        return hook

    def without(part: torch.nn.Module, given: Any, answer: torch.Tensor) -> torch.Tensor:
        weight: Any = part.weight
        return answer - torch.nn.functional.linear(given[0], weight * (1 - lives))  # type: ignore[operator]

    if layer is not None and lives is not None and lives.ndim == 2:
        hooks.append(_linear(net, layer).register_forward_hook(without))
    hooks += [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield activity
    finally:
        for hook in hooks:
            hook.remove()
