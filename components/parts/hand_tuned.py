"""A hand-tuned controller of the MyoSuite elbow, written into the weights of `brains.mlp`.

Nobody trained it. It stands in for a healthy brain until one is trained: a proportional controller with damping,
spread over two populations of 16 neurons (one bends the elbow, one stretches it) in each of two hidden layers of 32.
Every connection from the first to the second layer carries a share of the signal, so that a lesion there is visible,
and a current of a few units into either population moves the arm.

`python -m stimloop.components.parts.hand_tuned` writes the shipped file again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...loops.storage import artifact

STIFFNESS = 4.0  # drive per radian of error
DAMPING = 8.0  # drive per radian that the elbow turns in one tick (20 ms)
READ_OUT = 0.25  # drive per unit of activity of one second-layer neuron
POPULATION = 16
OBSERVATION = 9  # angle, angle per tick, error, six muscle activations
ANGLE_PER_TICK, ERROR = 1, 2
MUSCLES = ("TRIlong", "TRIlat", "TRImed", "BIClong", "BICshort", "BRA")
BENDS = np.array([-1, -1, -1, 1, 1, 1], np.float32)
NOTE = ("hand-tuned, not trained: a damped proportional controller of the MyoSuite elbow "
        "(python -m stimloop.components.parts.hand_tuned)")


def elbow() -> dict[str, Any]:
    """Return the controller as learned arrays of `brains.mlp` with hidden layers [32, 32]."""
    sign = np.repeat(np.array([1, -1], np.float32), POPULATION)  # [32] bend, stretch
    first = np.zeros((2 * POPULATION, OBSERVATION), np.float32)
    first[:, ERROR] = STIFFNESS * sign
    first[:, ANGLE_PER_TICK] = -DAMPING * sign
    # each second-layer neuron averages its own population; together they give the drive back through the read-out
    share = 1 / (POPULATION * POPULATION * READ_OUT)
    second = (sign[:, None] == sign[None, :]).astype(np.float32) * np.float32(share)
    mean = READ_OUT * BENDS[:, None] * sign[None, :]
    muscles = len(MUSCLES)
    return {
        "layer1": {"weight": first, "bias": np.zeros(2 * POPULATION, np.float32)},
        "layer2": {"weight": second, "bias": np.zeros(2 * POPULATION, np.float32)},
        "mean": {"weight": mean.astype(np.float32), "bias": np.zeros(muscles, np.float32)},
        "log_deviation": {"weight": np.zeros((muscles, 2 * POPULATION), np.float32),
                          "bias": np.full(muscles, -1, np.float32)},
    }


def write(path: str | Path) -> str:
    """Write the controller as an artifact of `brains.mlp`; return its content hash."""
    ports = {"inputs": {"observation": {"shape": [OBSERVATION], "dtype": "float32"}},
             "outputs": {"action": {"shape": [len(MUSCLES)], "dtype": "float32", "labels": list(MUSCLES)}}}
    return artifact.write(path, elbow(), "brains.mlp", ports, NOTE)


if __name__ == "__main__":
    write(Path(__file__).parents[2] / "assemblies" / "weights" / "hand_tuned_elbow.safetensors")
