"""One tick of long short-term memory, for whoever lives through them one at a time.

With drive = W x + U h + b in the order of torch, i, f, o = sigmoid(drive) and g = tanh(drive): c <- f c + i g;
h = o tanh(c) (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735, with the forget gate of Gers,
Schmidhuber and Cummins 2000, doi 10.1162/089976600300015015).
"""

from __future__ import annotations

from typing import Any

import numpy as np


def tick(drive: Any, cell: Any) -> tuple[Any, Any]:
    """Return what cells say, and hold, [..., cells] each, one tick on; arrays or tensors, with gradients for these.

    Args:
        drive: what reaches the gates i, f, g, o (the order of torch) [..., 4 * cells].
        cell: what the cells hold [..., cells].
    """
    count = cell.shape[-1]
    i, f, g, o = (drive[..., part * count:(part + 1) * count] for part in range(4))
    if isinstance(drive, np.ndarray):
        i, f, o = (0.5 * (1 + np.tanh(0.5 * each)) for each in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        return o * np.tanh(cell), cell
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell
