"""One task of every kind that MyoSuite has, steps and resume: minutes of work, so only under `make prove`."""

import os

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("myosuite")

from stimloop.components.bodies.myosuite import Myosuite  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "prove", reason="part of make prove")

FAMILIES = ("myoFati", "myoReaf", "myoSarc")  # the same tasks with a wrapper around them
DOWNLOADS = ("FullBodyDirectional", "MuscleMimic")  # these fetch recordings from the network


def one_of_each():
    """Return one id for every class of task, and one for each class among the fatigued."""
    found = {}
    for name, spec in sorted(gymnasium.registry.items()):
        entry = str(spec.entry_point)
        if entry.startswith("myosuite.") and "multi_agent" not in entry and not any(d in name for d in DOWNLOADS):
            family = next((family for family in FAMILIES if name.startswith(family)), "")
            found.setdefault((family, entry if family in ("", "myoFati") else ""), name)
    return sorted(found.values())


def play(body, actions, envs=()):
    """Step a body, and environments beside it; return everything shown."""
    shown = []
    for action in actions:
        out = body.step(0, Inputs({"action": action}))
        shown.append(out)
        for lane, env in enumerate(envs):
            reward, flags = 0.0, FIRST
            if out["status"][lane] == FIRST:
                observation, _ = env.reset(seed=int(body.episodes.seeds[lane]))
            else:
                observation, reward, terminated, truncated, _ = env.step(body._action(action)[lane])
                flags = TERMINATED * terminated + TRUNCATED * truncated
            assert out["status"][lane] == flags
            assert out["observation"][lane].tobytes() == observation.tobytes()
            assert out["reward"][lane] == np.float32(reward)
    return shown


@pytest.mark.parametrize("name", one_of_each())
def test_steps_and_resume(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log into the working directory
    divergence = "error" if "Pose" in name or "Reach" in name else "terminate"
    bodies = [Myosuite(env=name, divergence=divergence) for _ in range(2)]
    for body in bodies:
        body.build(Lanes.of(2), 3)
    actions = np.random.default_rng(1).uniform(-1, 1, (60, 2, *bodies[0].inputs["action"].shape)).astype(np.float32)
    play(bodies[0], actions[:25], [gymnasium.make(name) for _ in range(2)])
    state = bodies[0].state()
    goes_on = play(bodies[0], actions[25:])
    for body in (bodies[1], bodies[0]):  # a fresh instance, and the one that went on
        body.set_state(state)
        for one, other in zip(goes_on, play(body, actions[25:]), strict=True):
            for port, value in one.items():
                np.testing.assert_array_equal(value, other[port])
    for body in bodies:
        body.close()
