"""Memory that torch takes: what can be known before is held against the machine, the rest is told in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

from ...loops.errors import AssemblyError, Problem

_FAILURES = ("can't allocate memory", "out of memory", "Storage size calculation overflowed",
             "Overflow when unpacking long", "too large to convert")


def of_device(device: Any = None) -> int | None:
    """Return the bytes of memory of a device of torch, the machine's where there is none; None where nobody knows."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def row(columns: Mapping[str, tuple[tuple[int, ...], Any]]) -> int:
    """Return the bytes of one row of columns: shape of a row and type of each."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in columns.values())


def too_much(needed: int, device: Any = None) -> str:
    """Say by how much these bytes are more than there are; nothing where they are not."""
    there = of_device(device)
    if there is None or needed <= there:
        return ""
    return f"{said(needed)}, and {'the GPU' if device is not None and device.type == 'cuda' else 'this machine'} has " \
           f"{said(there)}"


def check(what: str, factors: Mapping[str, int], needed: int, device: Any = None) -> None:
    """Refuse what takes more memory than there is.

    Args:
        what: takes it, such as `a minibatch takes`.
        factors: numbers of the parameters it grows with; the largest is named as the place.
        needed: bytes, at least.
        device: of torch.
    """
    if lacking := too_much(needed, device):
        where = max(factors, key=lambda name: factors[name])
        numbers = ", ".join(f"{name}: {number}" for name, number in factors.items())
        raise AssemblyError([Problem(f"{what} at least {lacking} ({numbers})", f"params.{where}", "Write less.")])


@contextmanager
def refused(parameter: str) -> Iterator[None]:
    """While something is built: refuse the parameter for which torch finds no memory."""
    try:
        yield
    except (RuntimeError, TypeError, OverflowError) as error:
        if (size := _wanted(error)) is None:
            raise
        raise AssemblyError([Problem(f"there is not enough memory{size}", f"params.{parameter}",
                                     "Write less.")]) from error


@contextmanager
def told(parameters: str) -> Iterator[None]:
    """While something is computed: raise a MemoryError in words where torch finds none, with what to write less of."""
    try:
        yield
    except (RuntimeError, TypeError, OverflowError) as error:
        if (size := _wanted(error)) is None:
            raise
        raise MemoryError(f"torch found none{size}. Lower {parameters}") from error


def _wanted(error: BaseException) -> str | None:
    """Return what a failure of torch says of the size it lacks; None where memory is not what failed."""
    if not any(failure in str(error) for failure in _FAILURES):
        return None
    found = re.search(r"tried to allocate (\d+) bytes", str(error)) or re.search(r"allocate ([\d.]+ \w+)", str(error))
    if found is None:
        return ""
    return f" for {said(int(found[1]))}" if found[1].isdigit() else f" for {found[1]}"


def said(count: int) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} {unit}"
