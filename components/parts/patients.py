"""What a learner hears that gets to know a patient: what was perceived, what was delivered, and what the brain did."""

from __future__ import annotations

from ...loops.port import Port
from ...loops.status import status_input


def patient_inputs() -> dict[str, Port]:
    """Return the inputs of such a learner."""
    return {
        "observation": Port("what happens in the world", ("observation",), wakes=True),
        "recording": Port("activity of the brain that is recorded", ("recording",), optional=True, also=("hold",)),
        "status": status_input(wakes=True),
        "stimulation": Port("what was delivered", ("channel",), axes=("electrode",), reads="hold"),
        "action": Port("what the brain did", ("action",), low=-1, high=1, reads="hold", also=("now",)),
    }
