"""Status as it is read: one array (`now`), or rows of (arrival, array) (`all`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Inputs


def latest(status: Any) -> np.ndarray:
    """Return the status in force [lanes]."""
    return status[-1][1] if isinstance(status, list) else status


def unseen(inputs: Inputs, name: str = "status") -> list[np.ndarray]:
    """Return the values of an input that the component was not given before, oldest first."""
    value = inputs[name]
    if not isinstance(value, list):
        return [value] if name in inputs.new else []
    previous = inputs.previous
    if previous is None:
        return []
    return [row for arrival, row in value if arrival >= previous]
