"""The examples of the design page that need no learner, as they stand there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stimloop as sl
from stimloop.loops.status import status_input

SMALLEST = """
name: first
until: 5 episodes
components:
  body:        {type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs: [brain.action]}
  brain:       {type: brains.mlp, params: {lesion: {fraction: 0.9}},
                inputs: [body.observation, body.status, stimulator.current]}
  coprocessor: {type: brains.mlp, inputs: [body.observation, body.status]}
  scale:       {type: basics.gain, params: {gain: 5}, inputs: [coprocessor.action]}
  limiter:     {type: links.safety_limiter, params: {peak: 5}, inputs: [{command: scale.output}, body.status]}
  stimulator:  {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
"""

BODIES = {
    "pendulum": {"body.type": "bodies.gymnasium_env", "body.params": {"env": "Pendulum-v1"}},
    "elbow": {"body.type": "bodies.myosuite", "body.params": {"env": "myoElbowPose1D6MRandom-v0"}},
    "cartpole": {"body.type": "bodies.cartpole", "body.params": {}},
}


class MyBrain(sl.Component):
    """A random linear brain with `hidden` units."""

    def __init__(self, hidden: int = 8) -> None:
        self.hidden = hidden
        self.inputs = {"observation": sl.Port("what the body sees", ("observation",), wakes=True),
                       "status": status_input(wakes=True)}
        self.outputs = {"action": sl.Port("torque", ("action",), low=-1, high=1),
                        "rates": sl.Port("activity", (hidden,), axes=("neuron",), units="1/s")}

    def build(self, lanes: sl.Lanes, seed: int) -> None:
        super().build(lanes, seed)
        size, out = self.inputs["observation"].shape[0], self.outputs["action"].shape[0]
        generator = np.random.default_rng(seed)
        self.into, self.out = generator.normal(size=(size, self.hidden)), generator.normal(size=(self.hidden, out))

    def step(self, now: int, inputs: sl.Inputs) -> dict[str, np.ndarray]:
        rates = np.maximum(inputs["observation"] @ self.into, 0)
        return {"rates": rates.astype(np.float32), "action": np.tanh(rates @ self.out).astype(np.float32)}


def test_the_smallest_useful_loop() -> None:
    with sl.Assembly.from_yaml(SMALLEST).build() as loop:
        loop.run("30 steps")
        assert loop.peek("stimulator.current").any()
        assert np.abs(loop.peek("limiter.command")).max() <= 5


@pytest.mark.parametrize("body", BODIES)
def test_bodies_are_swapped_by_type_and_params_alone(body: str) -> None:
    pytest.importorskip("myosuite" if body == "elbow" else "gymnasium")
    with sl.Assembly.from_yaml(SMALLEST).set(BODIES[body]).build() as loop:
        loop.run("25 steps")
        assert loop.counter().steps >= 25


def test_the_python_snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a = (sl.Assembly("first", until="2 episodes")
         .add("body", "bodies.gymnasium_env", env="Pendulum-v1", inputs=["brain.action"])
         .add("brain", MyBrain, hidden=64, inputs=["body.observation", "body.status"]))
    run = a.run()
    rates = run["brain.rates"].sel(lane=0)
    assert rates.dims == ("time", "neuron")
    assert rates.sizes["neuron"] == 64
    rates.plot()
    assert len(run.episodes()) >= 2
    assert run.trials("brain.rates", align="start").dims == ("trial", "time", "neuron")
    b = a.swap("brain", "basics.silence").set("body.params.period", "10 ms")
    assert "body.params.period" in sl.diff(a, b)
    loop = a.build()
    loop.run("0.2 s")
    other = loop.fork()
    for each in (loop, other):
        each.run("0.4 s")
    assert np.array_equal(loop.peek("brain.rates"), other.peek("brain.rates"))
    env = a.as_env(agent="brain", reward="body.reward")
    env.reset(seed=0)
    assert len(env.step(env.action_space.sample())) == 5
    env.close()
