"""Signs that stimulation did not do what was commanded: clipped by the limiter, or delivered to dead neurons."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ...components.parts import electrodes
from ...components.parts.stimulation_limits import Rule
from ...loops.storage import checkpoint
from ...loops.storage.runs import Run
from .reading import said

_CHECKPOINTS = "checkpoints"
_NOTED = 100  # codes of rules from which a command is only noted


def limited(run: Run) -> list[str]:
    """How many commands each limiter changed, and why; a lane that rests is silenced as a matter of course."""
    found = []
    for key, facts in run.streams.items():
        name, _, port = key.partition(".")
        if facts.kind != "event" or port != "decisions" or f"{name}.command" not in run:
            continue
        rules = run.columns(key)["value"].read()[:, 2].astype(int)
        changed = rules[(rules < _NOTED) & (rules != Rule.IDLE)]
        command = run.streams[f"{name}.command"]
        whole = max(command.rows * int(np.prod(command.shape)), len(changed), 1)
        if len(changed):
            why = ", ".join(f"{Rule(rule).name} {count}" for rule, count in Counter(changed.tolist()).most_common(3))
            found.append(f"{name} changed {len(changed) / whole:.1%} of what was commanded ({len(changed)} of {whole}: "
                         f"{why}). Command less, or let learners listen to {name}.command, what was delivered.")
        if noted := int((rules >= _NOTED).sum()):
            found.append(f"{name} noted {noted} commands beyond its warning levels. Command less, or raise `warn`.")
    return found


def dead_electrodes(run: Run) -> list[str]:
    """Electrodes that reach only neurons which a lesion silenced, or which are never active."""
    found = []
    for target, wire in said(run, "wires", {}).items():
        brain, _, port = target.partition(".")
        if port != "current" or not isinstance(wire, dict):
            continue
        stimulator = str(wire.get("from", "")).partition(".")[0]
        field = checkpoint.newest_array(run.path / _CHECKPOINTS, stimulator, "learned/weights")
        if field is None or field.ndim != 2 or not len(field):
            continue
        dead = _lesioned(run, brain, len(field)) | _silent(run, brain, len(field))  # [neurons]
        lost = electrodes.dead(field, ~dead)
        if lost.any():
            found.append(f"{lost.sum()} of {len(lost)} electrodes of {stimulator} ({electrodes.numbers(lost)}) "
                         f"reach only neurons of {brain} that a lesion silenced or that are never active. Place them "
                         "elsewhere (placement: surviving), or widen their spread.")
    return found


def _lesioned(run: Run, brain: str, neurons: int) -> np.ndarray:
    """Neurons that the lesion in force silenced; one of connections silences none."""
    mask = checkpoint.newest_array(run.path / _CHECKPOINTS, brain, "learned/lesion/mask")
    return mask == 0 if mask is not None and mask.shape == (neurons,) else np.zeros(neurons, bool)


def _silent(run: Run, brain: str, neurons: int) -> np.ndarray:
    """Neurons whose recorded activity is zero throughout."""
    key = f"{brain}.rates"
    if key not in run or run.streams[key].shape[1:] != (neurons,) or run.streams[key].rows < 3:
        return np.zeros(neurons, bool)
    column, active = run.columns(key)["value"], np.zeros(neurons, bool)
    for first in range(0, len(column), 4096):
        active |= column.read(first, first + 4096).any(axis=(0, 1))
    return ~active
