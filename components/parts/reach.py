"""Half the range of what is predicted."""

from __future__ import annotations

import numpy as np

from ...loops.errors import AssemblyError, Problem
from ...loops.port import Port


def half_range(port: Port, size: int, where: str) -> np.ndarray:
    """Return half the range [size] of what a port tells, which has to lie around zero; one where it has no bounds.

    Raises AssemblyError, which names `where`, for bounds that are not alike on both sides of zero.
    """
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), (size,)) for bound in (port.low, port.high))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return np.ones(size, np.float32)
    if not np.allclose(low, -high):
        raise AssemblyError([Problem("what is to be predicted lies between bounds that are not alike on both sides of "
                                     f"zero ({low.tolist()} to {high.tolist()})", where,
                                     "Shift it (basics.add), so that its range lies around zero.")])
    return high.astype(np.float32)
