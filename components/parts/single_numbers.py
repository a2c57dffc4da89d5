"""Parameters that are computed with in single precision: what it cannot hold is refused before anything is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem

_MOST = float(np.finfo(np.float32).max)


def check(given: Mapping[str, Any]) -> None:
    """Refuse parameters, by name, that are floats too large for float32; what is no float is passed over."""
    if problems := [Problem(f"{number:g} is beyond single precision, which holds {_MOST:.2g} at most", name,
                            "Write less.")
                    for name, number in given.items() if isinstance(number, float) and abs(number) > _MOST]:
        raise AssemblyError(problems)
