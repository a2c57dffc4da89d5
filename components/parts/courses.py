"""What befalls a network with memory while it runs through a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Course:
    """What befalls a network while it runs, as bool arrays [batch, time]; None where nothing does.

    begins: the state starts anew before this tick. frozen: this tick changes nothing. injured: the lesion is in
    force (None: everywhere). truncate: gradients reach back over so many ticks and no further (0: over all).
    """

    begins: np.ndarray | None = None
    frozen: np.ndarray | None = None
    injured: np.ndarray | None = None
    truncate: int = 0


CALM = Course()  # nothing befalls it
