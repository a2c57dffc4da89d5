"""A second device that needs no GPU: tensors that say they lie elsewhere, and refuse whatever a GPU would refuse.

They compute on the processor, so their numbers are real and may steer what happens; torch's own fake tensors have none,
and in a build without CUDA they cannot go backwards. What they say is `meta`: of all devices that are no processor the
one that autograd knows without a driver. An operation on tensors of both devices is an error, as on a GPU, but for
copies and for single numbers; so is a view of such a tensor as an array. What a GPU would be waited for is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from stimloop.components.parts import devices

ELSEWHERE = torch.device("meta")
_COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default, torch.ops.aten._foreach_copy_.default)
_WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default)
waits: Counter[str] = Counter()  # reads by the host, by operation, since `clear`


class Elsewhere(torch.Tensor):
    """A tensor that lies on the second device; `inner` holds its numbers."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=ELSEWHERE)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})

    def tolist(self) -> Any:  # torch has none for subclasses
        waits["tolist"] += 1
        return self.inner.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor on the second device is no array: copy it to the processor first")


class Generator(torch.Generator):
    """Draws for the second device; its state is longer than a processor's, as a GPU's is shorter."""

    device = property(lambda self: ELSEWHERE)  # type: ignore[assignment]

    def get_state(self) -> torch.Tensor:
        return torch.cat([super().get_state(), torch.zeros(8, dtype=torch.uint8)])

    def set_state(self, state: torch.Tensor) -> None:
        super().set_state(state[:-8].clone())


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there, wanted = any(isinstance(each, Elsewhere) for each in given), kwargs.get("device")
    _refuse_mixtures(function, given, there)
    if there and function in _WAITS:
        waits[str(function)] += 1
    if wanted is not None:
        if there and torch.device(wanted).type == "cpu":
            waits[str(function)] += 1
        there, kwargs = torch.device(wanted) == ELSEWHERE, {**kwargs, "device": torch.device("cpu")}
    if function is torch.ops.aten.copy_.default and isinstance(args[1], Elsewhere) > isinstance(args[0], Elsewhere):
        waits[str(function)] += 1
    known = {id(each.inner): each for each in given if isinstance(each, Elsewhere)}
    bare = tree_map(lambda leaf: leaf.inner if isinstance(leaf, Elsewhere) else leaf, (args, kwargs))
    found = function(*bare[0], **bare[1])
    return tree_map(lambda leaf: leaf if not isinstance(leaf, torch.Tensor) else known[id(leaf)] if id(leaf) in known
                    else Elsewhere(leaf) if there else leaf, found)


def _refuse_mixtures(function: Any, given: list[torch.Tensor], there: bool) -> None:
    here = [each for each in given if not isinstance(each, Elsewhere)]
    if torch.Tag.pointwise in function.tags:
        here = [each for each in here if each.ndim]  # a single number may be asked beside others anywhere
    if there and here and function not in _COPIES:
        raise RuntimeError(f"{function} was given tensors on two devices: "
                           f"{[(each.device.type, tuple(each.shape)) for each in given]}")


class _Everything(TorchDispatchMode):
    """Also what is made from nothing, or moved from the processor."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _FromArrays(TorchFunctionMode):
    """torch makes tensors of this device from arrays or lists without looking at these: make them here, then move."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]).to(args[0].device), *args[2:])
        if function in (torch.as_tensor, torch.tensor) and not isinstance(args[0], torch.Tensor):
            device = kwargs.pop("device", None)
            made = function(*args, **kwargs)
            return made if device is None else made.to(device)
        return function(*args, **kwargs)


@contextmanager
def second_device() -> Iterator[torch.device]:
    """While this lasts there is a second device, and learners take it for `cuda`; yields it."""
    waits.clear()
    with pytest.MonkeyPatch.context() as patch, _Everything(), _FromArrays():
        patch.setattr(devices, "find", lambda name: ELSEWHERE if name == "cuda" else torch.device(name))
        patch.setattr(devices, "generator", lambda device: Generator() if device == ELSEWHERE else torch.Generator())
        yield ELSEWHERE
