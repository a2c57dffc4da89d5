"""Coprocessor Actor Critic in a loop: the same as a plain one, and the same run after any stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the coprocessor searches with torch")

import stimloop as sl  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.time import MILLISECOND  # noqa: E402

from .imagining import same, weights  # noqa: E402

TICK, EPISODE = 20 * MILLISECOND, 7
ASSEMBLY = """
name: t
until: 60 steps
components:
  body: {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8, 8], lesion: {kind: weights, fraction: 0.5}},
          inputs: [body.observation, body.status, stimulator.current]}
  coprocessor: {type: coprocessors.copac, params: {points: 5}, inputs: [body.observation, body.status],
                uses: {critic: critic, action_model: action_model}}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [coprocessor.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
  critic: {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  action_model: {type: world_models.action_model, params: {hidden: [8]},
                 inputs: [body.observation, body.status, {condition: limiter.command}, {target: brain.action}]}
  world: {type: bodies.point_mass, params: {max_steps: 7}}
  learner: {type: learners.copac, params: {imagined_episodes: 2, update_start: 1, train_freq: 5, f_passes: 12,
                                           q_learning_starts: 10, q_train_freq: 6, q_passes: 12},
            inputs: [body.observation, body.status, {stimulation: limiter.command}, brain.action],
            uses: {critic: critic, action_model: action_model, search: coprocessor, world: world}}
"""


def made(**changes: Any) -> Any:
    return sl.Assembly.from_yaml(ASSEMBLY).set(changes)


def learned(loop: Any) -> list[np.ndarray]:
    return weights(loop, ("critic", "action_model"))


def test_a_loop_without_delays_is_a_plain_loop():
    """Step, learn, choose, limit, stimulate, act, written out by hand: everything agrees to the last bit."""
    ticks = 40
    with made().build() as loop, made().build() as other:
        begun = learned(loop)
        loop.run((ticks - 1) * TICK + 1)
        parts = other.components
        action, command = np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)
        for tick in range(ticks):
            now, before = tick * TICK, (tick - 1) * TICK if tick else None

            def ask(name: str, now: int = now, before: int | None = before, **values: Any) -> dict[str, Any]:
                return parts[name].step(now, Inputs(values, frozenset(values), before))

            told = ask("body", action=action)
            seen = {name: told[name] for name in ("observation", "status")}
            parts["learner"].step(now, Inputs({**seen, "stimulation": command, "action": action}, frozenset(seen),
                                              before))
            command = ask("limiter", status=seen["status"], command=ask("coprocessor", **seen)["command"])["command"]
            action = ask("brain", **seen, current=ask("stimulator", command=command)["current"])["action"]
        assert np.array_equal(action, loop.peek("brain.action"))
        assert np.array_equal(command, loop.peek("limiter.command"))
        assert same(learned(loop), learned(other))
        assert not any(np.array_equal(*pair) for pair in zip(begun, learned(loop), strict=True))  # each has learned


REMEMBERING = {"stimulator.params.decay": 0.3, "action_model.params": {"hidden": [8], "memory": 5, "members": 2},
               "learner.params.f_ticks": 4, "learner.params.batch_size": 16}


@pytest.mark.parametrize(("stop", "changes"), [*((stop, {}) for stop in (3, 13, 14, 15, 27, 41)), (3, REMEMBERING),
                                               (14, REMEMBERING), (27, REMEMBERING)])
def test_it_goes_on_exactly_from_any_state(stop, changes):
    with made(**changes).build() as whole, made(**changes).build() as first, made(**changes).build() as second:
        whole.run("56 steps")
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("56 steps")
        assert same(learned(whole), learned(second))
        assert np.array_equal(whole.peek("coprocessor.command"), second.peek("coprocessor.command"))


def test_two_runs_with_one_seed_are_the_same_and_with_another_are_not():
    with made().build() as one, made().build() as two, made(seed=1).build() as three:
        for loop in (one, two, three):
            loop.run("30 steps")
        assert same(learned(one), learned(two))
        assert not same(learned(one), learned(three))


def test_rehearsal_costs_the_patient_nothing_and_begins_when_it_was_said():
    """Two episodes each time, after the second episode of the patient and every later one; ten steps at first."""
    told: list[tuple[int, int]] = []
    with made().build() as loop:
        loop.tap("learner.imagined_steps", lambda now, value: told.append((now, int(value))))
        loop.run("28 steps")
        assert loop.components["body"].lanes.count == 1
    ends = [(EPISODE + 1) * episode * TICK - TICK for episode in (2, 3, 4)]  # a tick of each goes into FIRST
    assert [now for now, _ in told] == ends
    assert [steps for _, steps in told] == [14 + 14, 42, 56]  # 10 asked for first, whole episodes lived


def test_the_world_s_lanes_share_the_episodes():
    with made(**{"world.lanes": 2}).build() as loop:
        loop.run("14 steps")
        assert loop.components["learner"]._imagined == 14 + 14
    with pytest.raises(sl.AssemblyError, match="cannot be shared among the world's 3 lanes"):
        made(**{"world.lanes": 3}).build()
