"""A torch module that a user wrote: made, asked whether it is fit to act, and its answers understood."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch

from ...loops.errors import AssemblyError, Problem
from . import named_layers
from .allowed import find_allowed

_HOW = {True: "Let forward return scores [batch, choices], one tensor.",
        False: "Let forward return mean [batch, actions], or (mean, log_deviation)."}


def make(name: str, params: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """Return the module `my_nets:MyNet`, in single precision and ready to act; what it draws comes from the seed."""
    with _undisturbed(seed):
        maker = find_allowed(name, "module")
        try:
            net = maker(**params)
        except Exception as error:  # whatever a user's module raises is told as its own fault
            raise AssemblyError([Problem(f"{name} does not take {dict(params)}: {_said(error)}", "module_params",
                                         "Give the arguments it is made with.")]) from error
    if not isinstance(net, torch.nn.Module):
        raise AssemblyError([Problem(f"{name} makes no torch.nn.Module but a {type(net).__name__}", "module",
                                     "Name a class derived from it, or a function that returns one.")])
    return net.float().eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Let what a module prints go where messages go: what a command answers belongs to the command."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Let torch draw from a seed, and leave its own generator as it was."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def ask(name: str, net: torch.nn.Module, rows: np.ndarray, watching: Sequence[str], needed: Sequence[str] = (),
        seed: int = 0) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return what the module says to observations [rows, size], and the activity of the layers `watching`.

    Each of these, and each of `needed`, has to be asked exactly once. A module that raises is named with its layer.
    """
    with (_undisturbed(seed), torch.no_grad(), named_layers.traced(net) as trace,
          named_layers.watched(net, watching) as watch):
        try:
            said = net(torch.from_numpy(rows))
        except AssemblyError:
            raise
        except Exception as error:  # whatever a user's module raises is told as its own fault
            where = f", in its layer {trace.at_work[-1]!r}" if trace.at_work else ""
            raise AssemblyError([Problem(
                f"{name} cannot answer to {len(rows)} observations of {rows.shape[1]} numbers{where}: {_said(error)}",
                "params.module_params", "Make it with as many inputs as the body observes, and let forward take "
                                        "observations [batch, inputs] of any batch.")]) from error
        named_layers.check_asked(net, trace, [*watching, *needed])
        return said, watch.activity


def heads(said: Any, choices: int) -> dict[str, torch.Tensor]:
    """Return what a module said under the names of its heads, in single precision."""
    if choices:
        return {"scores": said.float()}
    if isinstance(said, torch.Tensor):
        return {"mean": said.float()}
    mean, log_deviation = said  # a deviation may be one for all observations, or one for each
    return {"mean": mean.float(), "log_deviation": log_deviation.float().expand_as(mean)}


def check_said(name: str, said: Any, choices: int, batch: int) -> None:
    """Refuse what cannot be understood as the heads of so many observations."""
    parts = [said] if choices or not isinstance(said, tuple | list) else list(said)
    fits = len(parts) == 2 or (len(parts) == 1 and parts[0] is said)
    if not fits or not all(isinstance(part, torch.Tensor) for part in parts):
        raise AssemblyError([Problem(f"{name} answers with {_kind(said)}", "params.module", _HOW[bool(choices)])])
    if odd := [part.dtype for part in parts if part.is_complex()]:
        raise AssemblyError([Problem(f"{name} answers with {str(odd[0]).removeprefix('torch.')} numbers",
                                     "params.module", "Let its answer be real, for example answer.real.")])
    mean = parts[0]
    if mean.ndim != 2 or mean.shape[0] != batch:
        raise AssemblyError([Problem(f"{name} answers {batch} observations with the shape {tuple(mean.shape)}, not "
                                     f"with [{batch}, {'choices' if choices else 'actions'}]", "params.module",
                                     "Keep the batch as the first axis, of one observation too (no squeeze).")])
    if len(parts) == 2 and tuple(parts[1].shape) not in _shapes(batch, mean.shape[1]):
        raise AssemblyError([Problem(f"{name} answers {batch} observations with a deviation of shape "
                                     f"{tuple(parts[1].shape)} beside a mean of {tuple(mean.shape)}", "params.module",
                                     "Let it be [batch, actions], [batch, 1], [actions] or one number.")])


def _shapes(batch: int, actions: int) -> set[tuple[int, ...]]:
    return {(), (1,), (actions,), *((rows, size) for rows in (1, batch) for size in (1, actions))}


def check_fit(name: str, net: torch.nn.Module, size: int, choices: int, watching: Sequence[str],
              needed: Sequence[str] = (), seed: int = 0) -> None:
    """Refuse a module that does not answer each observation by itself, and alike whenever it is asked."""
    def answers(rows: np.ndarray, seed: int) -> list[np.ndarray]:
        said = ask(name, net, rows, watching, needed, seed)[0]
        check_said(name, said, choices, len(rows))
        return [part.detach().numpy() for part in heads(said, choices).values()]

    actions = answers(np.zeros((1, size), np.float32), seed)[0].shape[1]  # a lazy layer draws its weights now
    rows = np.zeros((2 if actions != 2 else 3, size), np.float32)  # as many as actions would look like these
    rows[1::2] = 1
    before = {key: value.clone() for key, value in net.state_dict().items()}
    first, again, drawn = answers(rows, 0), answers(rows, 0), answers(rows, 1)
    moved = [key for key, value in net.state_dict().items() if not _same([value.numpy()], [before[key].numpy()])]
    if moved or not _same(first, again):
        kept = f" (answering changes {moved[0]!r})" if moved else ""
        raise AssemblyError([Problem(f"{name} answers the same observation otherwise the second time: it keeps a "
                                     f"memory{kept}", "params.module", "Let its answer hang on the observation alone; "
                                     "a brain with memory is a component of its own.")])
    if not _same(again, drawn):
        raise AssemblyError([Problem(f"{name} draws random numbers when it answers, even in eval mode", "params.module",
                                     "Leave that out (of dropout: torch.nn.Dropout, or training=self.training); "
                                     "explore: true draws actions.")])
    alone = answers(rows[:1], 0)
    if not all(np.allclose(part[0], one[0], rtol=1e-3, atol=1e-4, equal_nan=True)
               for part, one in zip(first, alone, strict=True)):
        raise AssemblyError([Problem(f"{name} answers an observation otherwise when another stands beside it",
                                     "params.module", "Let each row of a batch be answered by itself: rows are "
                                     "lanes.")])


def _same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(left, right, strict=True))


def _kind(said: Any) -> str:
    if isinstance(said, tuple | list):
        return f"a {type(said).__name__} of {len(said)} ({', '.join(type(part).__name__ for part in said)})"
    keys = f" of {', '.join(map(str, said))}" if isinstance(said, Mapping) else ""
    return f"a {type(said).__name__}{keys}"


def _said(error: Exception) -> str:
    """Return an error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
