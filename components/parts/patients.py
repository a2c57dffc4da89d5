"""What a learner hears that gets to know a patient: what was perceived, what was delivered, and what the brain did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...loops.component import Inputs
from ...loops.port import Port
from ...loops.status import status_input
from .transitions import Rows, Transitions


def patient_inputs() -> dict[str, Port]:
    """Return the inputs of such a learner."""
    return {
        "observation": Port("what happens in the world", ("observation",), wakes=True),
        "recording": Port("activity of the brain that is recorded", ("recording",), optional=True, also=("hold",)),
        "status": status_input(wakes=True),
        "stimulation": Port("what was delivered", ("channel",), axes=("electrode",), reads="hold"),
        "action": Port("what the brain did", ("action",), low=-1, high=1, reads="hold", also=("now",)),
    }


def rows_of_patient(transitions: Transitions, heard: Sequence[str], inputs: Inputs) -> Rows | None:
    """Return what became known of a patient's steps; None where nothing did.

    The observation of a row is what was `heard` [lanes, ...], joined; its action what was delivered and then what the
    brain did [lanes, channels + actions].
    """
    if "observation" not in inputs.new and "status" not in inputs.new:
        return None
    seen = np.concatenate([inputs[name] for name in heard], axis=1)
    done = np.concatenate([inputs["stimulation"], inputs["action"]], axis=1)
    return transitions.take(Inputs({**inputs, "observation": seen, "action": done}, inputs.new, inputs.previous))
