"""Learned arrays as one vector and back: what travels on a `learned` wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.errors import PortError
from ...loops.storage.artifact import flat, nested


def size(learned: Mapping[str, Any]) -> int:
    """Return how many numbers the learned arrays hold."""
    return sum(array.size for array in flat(learned).values())


def flatten(learned: Mapping[str, Any]) -> np.ndarray:
    """Return the learned arrays, in name order, as one float32 vector."""
    arrays = flat(learned)
    if not arrays:
        return np.zeros(0, np.float32)
    return np.concatenate([array.ravel().astype(np.float32) for array in arrays.values()])


def unflatten(vector: np.ndarray, like: Mapping[str, Any]) -> dict[str, Any]:
    """Return a vector as learned arrays with the names, shapes and types of `like`."""
    arrays, start = flat(like), 0
    if vector.size != size(like):
        raise PortError(f"a vector of {vector.size} numbers cannot fill learned arrays of {size(like)}: the sender "
                        "learns another network than this one")
    filled = {}
    for name, array in arrays.items():
        filled[name] = vector[start:start + array.size].reshape(array.shape).astype(array.dtype)
        start += array.size
    return nested(filled)
