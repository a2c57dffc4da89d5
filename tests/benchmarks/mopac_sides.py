"""What `bench_mopac.py` times on our side: updates, steps of a fit and imagination of a learner as a loop builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

OBSERVATIONS, ACTIONS, BATCH, ROWS = 17, 6, 256, 20_000  # HalfCheetah's, and the rows that both sides are given

ASSEMBLY = f"""
name: cheetah
until: 1 step
record: none
components:
  body: {{type: 'bench:Source', inputs: [brain.action]}}
  brain:
    {{type: brains.mlp, params: {{hidden: [256, 256], explore: true}}, inputs: [body.observation, body.status]}}
  critic: {{type: critics.q_ensemble, params: {{hidden: [256, 256]}}, inputs: [body.observation, brain.action]}}
  state_value:
    {{type: critics.value_mlp, params: {{hidden: [256, 256], activation: relu}}, inputs: [body.observation]}}
  model: {{type: world_models.gaussian_ensemble, inputs: [body.observation, brain.action]}}
  learner:
    type: learners.mopac
    params: {{termination: halfcheetah, buffer_size: {ROWS}, batch_size: {BATCH}}}
    inputs: [body.observation, body.reward, body.status, brain.action]
    uses: {{policy: brain, value: critic, state_value: state_value, model: model}}
"""


def rows_drawn() -> dict[str, np.ndarray]:
    """Draw the transitions that both sides are given."""
    rng = np.random.default_rng(0)
    return {"observation": rng.standard_normal((ROWS, OBSERVATIONS), np.float32),
            "action": rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32),
            "reward": rng.standard_normal(ROWS, np.float32),
            "successor": rng.standard_normal((ROWS, OBSERVATIONS), np.float32),
            "terminated": (rng.random(ROWS) < 0.01).astype(np.float32)}


def learner(rows: dict[str, np.ndarray], state_value: bool = True, device: str = "cpu") -> Any:
    """Return a learner of HalfCheetah's sizes with full buffers, real and imagined; MBPO's has no state value."""
    import stimloop as sl
    from stimloop.loops.component import Component
    from stimloop.loops.port import Port
    from stimloop.loops.status import status_output

    class Source(Component):
        """A body of the size wanted, which nothing happens in."""

        period = 50_000_000

        def __init__(self) -> None:
            self.inputs = {"action": Port("ignored", (ACTIONS,), low=-1, high=1, reads="hold")}
            self.outputs = {"observation": Port("nothing", (OBSERVATIONS,)), "reward": Port("nothing"),
                            "status": status_output()}

    text = ASSEMBLY if state_value else ASSEMBLY.replace(", state_value: state_value", "")
    a = sl.Assembly.from_yaml(text).with_class("bench:Source", Source)
    a = a.set({"learner.params.planning": state_value, "learner.params.device": device})
    made = a.build().components["learner"]
    made.buffer.add({**rows, "reached": np.ones(ROWS, bool)})
    made.imagined.resize(ROWS)
    made.imagined.add(rows)
    return made


def refresh(starts: int, length: int) -> dict[str, float]:
    """Plan from so many starts and live the plans, as a learner does; return seconds and growth of memory in GB.

    Growth is the most memory that the process ever held less what it held before; Linux tells both.
    """
    from time import perf_counter

    made = learner(rows_drawn())
    made.imagined.resize(4 * starts * length)
    list(made.imagine(made.buffer.sample(10, made._imagining)["observation"], length))  # what is loaded and kept once
    before, began, lived = _memory("VmRSS"), perf_counter(), 0
    for rows, _ in made.imagine(made.buffer.sample(starts, made._imagining)["observation"], length):
        made.imagined.add(rows)
        lived += len(rows["reward"])
    return {"seconds": perf_counter() - began, "starts": starts, "rows": lived,
            "gigabytes": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    """Return a line of what Linux knows of this process, in GB (`ru_maxrss` would count who started it too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e9
