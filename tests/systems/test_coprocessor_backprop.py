"""The coprocessor by back-propagation in a loop: what it publishes, whom it changes, how it goes on after a stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402

from .imagining import same, weights  # noqa: E402

ASSEMBLY = """
name: t
until: 60 steps
lanes: 2
components:
  body: {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8, 8], lesion: {kind: weights, fraction: 0.5}},
          inputs: [body.observation, body.status, stimulator.current]}
  coprocessor: {type: coprocessors.network, params: {units: 5, hidden: [6], explore: true, random_steps: 6},
                inputs: [body.observation, body.status]}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [coprocessor.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
  critic: {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  emulator: {type: world_models.emulator, params: {units: 5, hidden: [6]},
             inputs: [body.observation, body.status, {condition: limiter.command}, {target: brain.action}]}
  learner: {type: learners.coprocessor_backprop, params: {emulator_passes: 12, passes: 5},
            inputs: [body.observation, body.status, {stimulation: limiter.command}, brain.action],
            uses: {coprocessor: coprocessor, emulator: emulator, critic: critic}}
"""
CHANGED = ("coprocessor", "emulator")


def made(text: str = ASSEMBLY, **changes: Any) -> Any:
    return sl.Assembly.from_yaml(text).set({name.replace("__", "."): value for name, value in changes.items()})


def learned(loop: Any, names: tuple[str, ...] = CHANGED) -> list[np.ndarray]:
    return weights(loop, names)


def test_it_learns_after_each_episode_and_leaves_critic_and_brain():
    with made().build() as loop:
        begun, others = learned(loop), learned(loop, ("critic", "brain"))
        loop.run("12 steps")  # of the 14 that two lanes make in an episode
        assert same(learned(loop), begun)
        loop.run("15 steps")
        assert not any(np.array_equal(*pair) for pair in zip(begun, learned(loop), strict=True))
        assert same(learned(loop, ("critic", "brain")), others)
        assert loop.peek("learner.fits") == 1
        assert loop.peek("learner.updates") > 5
        for name in ("emulator_loss", "emulator_error", "task_loss"):
            assert np.isfinite(loop.peek(f"learner.{name}"))


@pytest.mark.parametrize("stop", [3, 13, 14, 17, 31])
@pytest.mark.parametrize("memory", ["lstm", "retanh"])
def test_it_goes_on_exactly_from_any_state(stop, memory):
    changed = {f"{name}__params__memory": memory for name in CHANGED}
    with made(**changed).build() as whole, made(**changed).build() as first, made(**changed).build() as second:
        whole.run("46 steps")
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("46 steps")
        assert same(learned(whole), learned(second))
        for told in ("coprocessor.command", "emulator.prediction", "learner.task_loss"):
            assert np.array_equal(whole.peek(told), second.peek(told))


def test_the_emulator_rests_while_it_is_right():
    with made(learner__params__refit_above=100.0).build() as lazy, made().build() as eager:
        for loop in (lazy, eager):
            loop.run("60 steps")
        assert lazy.peek("learner.fits") == 1
        assert eager.peek("learner.fits") == 4
        assert lazy.components["learner"]._ended == eager.components["learner"]._ended == 8


def test_seldom_learning_waits_for_so_many_episodes():
    with made(learner__params__train_freq=3).build() as loop:
        loop.run("60 steps")  # eight episodes end, two at a time
        assert loop.peek("learner.fits") == 2


def test_noise_is_drawn_only_where_it_explores():
    """Without exploring the command is what `sequence` says of the episode so far."""
    seen: list[np.ndarray] = []
    with made(coprocessor__params__explore=False, learner=None, lanes=1).build() as loop:
        loop.tap("body.observation", lambda now, value: seen.append(value.copy()))
        loop.run("5 steps")
        told, _ = loop.components["coprocessor"].sequence(np.stack(seen, axis=1))
        np.testing.assert_allclose(loop.peek("coprocessor.command"), told[:, -1], atol=1e-6)
    with made(lanes=1).build() as loop:
        commands: list[np.ndarray] = []
        loop.tap("coprocessor.command", lambda now, value: commands.append(value.copy()))
        loop.run("30 steps")
        assert np.abs(commands).max() <= 5
        assert np.std(commands[-5:]) > 0


def test_an_episode_begins_without_memory_of_the_last():
    with made(coprocessor__params__explore=False, learner=None, lanes=1).build() as loop:
        seen: list[np.ndarray] = []
        loop.tap("body.observation", lambda now, value: seen.append(value.copy()))
        loop.run("10 steps")
        told, _ = loop.components["coprocessor"].sequence(np.stack(seen[8:], axis=1))  # 8: FIRST of the second
        np.testing.assert_allclose(loop.peek("coprocessor.command"), told[:, -1], atol=1e-6)


HEARD = "{type: sensors.electrodes, params: {channels: 3}, inputs: [brain.rates, body.status]}"


def test_recorded_activity_is_heard_by_all_three():
    text = ASSEMBLY.replace("  coprocessor:", f"  sensor: {HEARD}\n  coprocessor:")
    for part in ("coprocessor", "emulator", "learner"):
        begin = text.index("inputs: [body.observation", text.index(f"  {part}: {{"))
        text = text[:begin] + text[begin:].replace("body.observation", "body.observation, sensor.recording", 1)
    with made(text).build() as loop:
        begun = learned(loop)
        loop.run("30 steps")
        assert not any(np.array_equal(*pair) for pair in zip(begun, learned(loop), strict=True))
        seen = int(loop.components["body"].outputs["observation"].shape[0])
        assert loop.components["coprocessor"].network.arrays["memory/input"].shape == (4 * 5, seen + 3)
        assert loop.components["emulator"].network.arrays["memory/input"].shape == (4 * 5, seen + 3 + 2)


def test_there_has_to_be_somebody_who_judges():
    text = ASSEMBLY.replace(", critic: critic}", "}")
    with pytest.raises(sl.AssemblyError, match="loss critic asks for a reference `critic`, and there is none"):
        made(text).build()
    with pytest.raises(sl.AssemblyError, match="loss expert asks for a reference `expert`, and there is none"):
        made(learner__params__loss="expert").build()


def judged(body: str) -> str:
    """The same with an expert that judges, and acts in a body of its own."""
    text = ASSEMBLY.replace("critic: critic}", "expert: expert}").replace("passes: 5}", "passes: 5, loss: expert}")
    return (text + "  expert: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}\n"
            f"  own: {{type: {body}, inputs: [expert.action]}}\n")


def test_an_expert_may_judge():
    with made(judged("bodies.point_mass")).build() as loop:
        begun, expert = learned(loop), learned(loop, ("expert",))
        loop.run("17 steps of body")
        assert not same(begun, learned(loop))
        assert same(expert, learned(loop, ("expert",)))
        assert 0 < loop.peek("learner.task_loss") < 4


def test_an_expert_of_other_actions_is_refused():
    with pytest.raises(sl.AssemblyError, match=r"expert(.|\n)*\(1,\)|1 .*expert(.|\n)*2"):
        made(judged("bodies.gymnasium_env, params: {env: Pendulum-v1}")).build()


def test_amplitude_is_what_the_receiver_takes():
    with made(coprocessor__params__amplitude=2.0).build() as loop:
        assert float(np.max(loop.components["coprocessor"].outputs["command"].high)) == 2
    with made().build() as loop:
        assert float(np.max(loop.components["coprocessor"].outputs["command"].high)) == 5
