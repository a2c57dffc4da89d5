"""Whether imagined episodes are over: a termination function is tried before anything is learned, and asked with care.

What a function answers decides which imagined steps are learned from, so an answer of another kind, such as integers
that would be taken for row numbers, is refused instead of used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...loops.errors import AssemblyError, Problem
from . import terminations
from .terminations import Termination, TerminationError


def find(name: str, observation: Sequence[Any], actions: int, device: torch.device | str = "cpu") -> Termination:
    """Return the termination function `name`, once it has answered as it must about a few drawn transitions.

    `observation` is the shape of one observation. Raises AssemblyError where it cannot be asked, answers anything but
    one bool for each transition, or changes what it is given; ValueError where there is none of that name.
    """
    function = terminations.find(name)
    rows = 3 if observation[-1] == 2 else 2  # an answer for each number of an observation is not one for each row
    shapes = [(rows, *observation), (rows, actions), (rows, *observation)]
    drawing = torch.Generator().manual_seed(0)
    transition = [10 * torch.randn(shape, generator=drawing) for shape in shapes]
    try:
        with torch.no_grad():
            terminations.ended_watched(function, *(part.to(device) for part in transition))
    except TerminationError as error:
        raise AssemblyError([Problem(str(error), "params.termination", "Compare it with its environment: stimloop "
                                     f"check-termination ENV --function {name}")]) from error
    return function


def over(function: Termination, observation: torch.Tensor, action: torch.Tensor, successor: torch.Tensor
         ) -> torch.Tensor:
    """Return which imagined transitions end an episode [rows] bool; arrays of NumPy are taken too.

    Raises TerminationError as `terminations.ended` does.
    """
    return torch.as_tensor(terminations.ended(function, observation, action, successor), device=successor.device)
