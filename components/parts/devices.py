"""Where a learner computes: on the processor with the components themselves, on a GPU with copies of them.

Components act on the processor, beside physics, and what they know is the one truth (docs/decisions/0023): before a
learner computes elsewhere its copies are told what the components know, afterwards the components what was learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import numpy as np

from ...loops.errors import AssemblyError, Problem, RunError
from .roles import Movable

Device = Literal["cpu", "cuda"]


def find(name: str) -> Any:
    """Return a device of torch by its name; raises AssemblyError where there is none, never another one instead."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        why = "finds no GPU that it can use" if torch.backends.cuda.is_built() else "was built without CUDA"
        raise AssemblyError([Problem(f"cannot learn on device cuda: torch {torch.__version__} {why}", "params.device",
                                     "Write device: cpu, or run it where there is a GPU, with a torch that was built "
                                     "for it (https://pytorch.org/get-started/locally).")])
    return torch.device(name)


def generator(device: Any) -> Any:
    """Return a generator of random numbers that are drawn where they are needed."""
    import torch

    return torch.Generator(device)


def keep(drawing: Any) -> np.ndarray:
    """Return the state of a generator as an array of bytes."""
    return drawing.get_state().numpy().copy()


def restore(drawing: Any, state: np.ndarray) -> None:
    """Let a generator go on where `keep` was asked; a GPU's cannot go on on a processor, nor the reverse."""
    import torch

    if len(state) != len(drawing.get_state()):
        raise RunError(f"this checkpoint was made on another kind of device than {drawing.device.type}, and random "
                       "numbers drawn on one do not go on on the other: set params.device of the learner as it was. "
                       "What was learned can begin a new run: stimloop export RUN --weights COMPONENT --to FILE")
    drawing.set_state(torch.from_numpy(np.array(state, np.uint8)))


class Workplace:
    """The components that a learner changes, as it computes with them: themselves, or copies on another device.

    Args:
        used: the components, by name.
        device: of torch.

    Raises AssemblyError for a component that cannot be moved where it would have to be.
    """

    def __init__(self, used: Mapping[str, Any], device: Any) -> None:
        self._used, self.device = used, device
        self.parts = dict(used) if device.type == "cpu" else {
            name: _copied(name, part, device) for name, part in used.items()}

    def tell(self, *names: str) -> None:
        """Let the copies of these know what the components know."""
        self._pass_on(self._used, self.parts, names)

    @contextmanager
    def learning(self, *names: str) -> Iterator[None]:
        """Tell the copies of these first, and the components what was learned in the end, also where that failed."""
        self.tell(*names)
        try:
            yield
        finally:
            self._pass_on(self.parts, self._used, names)

    def _pass_on(self, teller: Mapping[str, Any], told: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if name in told and told[name] is not teller[name]:
                told[name].load_state_dict({"learned": teller[name].state_dict()["learned"]})


def _copied(name: str, part: Any, device: Any) -> Any:
    if not isinstance(part, Movable):
        raise AssemblyError([Problem(f"{type(part).__name__} learns on the processor only: it has no method `move` "
                                     f"that takes its parameters to {device.type}", f"uses.{name}",
                                     "Write one (docs/learning.md), or device: cpu in the learner's params.")])
    made = deepcopy(part)
    made.move(device)
    return made


def fetch(tensors: Sequence[Any]) -> list[np.ndarray]:
    """Return tensors of one type as arrays, by one copy between devices."""
    import torch

    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy()
    return [part.reshape(tensor.shape) for part, tensor in zip(_split(flat, tensors), tensors, strict=True)]


def send(arrays: Sequence[np.ndarray], tensors: Sequence[Any]) -> None:
    """Write arrays of one type into tensors, by one copy between devices."""
    import torch

    flat = torch.from_numpy(np.concatenate([array.ravel() for array in arrays])).to(tensors[0].device)
    with torch.no_grad():
        torch._foreach_copy_(list(tensors), [part.view(tensor.shape) for part, tensor in
                                             zip(flat.split([tensor.numel() for tensor in tensors]), tensors,
                                                 strict=True)])


def _split(flat: np.ndarray, tensors: Sequence[Any]) -> list[np.ndarray]:
    return np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
