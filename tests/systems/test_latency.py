"""Stimulation that comes late: how late it is felt, and what is learned of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the coprocessor searches with torch")

import stimloop as sl  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.time import MILLISECOND as MS  # noqa: E402

TICK = 20 * MS
ASSEMBLY = """
name: t
until: 60 steps
components:
  body: {type: bodies.point_mass, params: {max_steps: 7}, inputs: [{action: {from: brain.action, reads: mean}}]}
  brain: {type: brains.mlp, params: {hidden: [8, 8], period: 5 ms},
          inputs: [body.observation, body.status, stimulator.current]}
  coprocessor: {type: coprocessors.copac, params: {points: 9}, inputs: [body.observation, body.status],
                uses: {critic: critic, action_model: action_model}}
  limiter: {type: links.safety_limiter, params: {peak: 3}, inputs: [coprocessor.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
  critic: {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  action_model: {type: world_models.action_model, params: {hidden: [8]},
                 inputs: [body.observation, body.status, {condition: limiter.command}, {target: brain.action}]}
  learner: {type: learners.copac, params: {train_freq: 5, f_passes: 12},
            inputs: [body.observation, body.status, {stimulation: limiter.command}, brain.action],
            uses: {action_model: action_model}}
  latency: {type: sensors.latency, inputs: [{sent: coprocessor.command}, {delivered: {like: limiter.command}},
                                            {tick: brain.action}, body.status]}
"""


def made(**changes: Any) -> Any:
    return sl.Assembly.from_yaml(ASSEMBLY).set(changes)


def heard(loop: Any, *ports: str) -> dict[str, dict[int, np.ndarray]]:
    """Return what ports will say: by port, by instant."""
    told: dict[str, dict[int, np.ndarray]] = {port: {} for port in ports}
    for port in ports:
        loop.tap(port, lambda now, value, port=port: told[port].__setitem__(now, np.array(value)))
    return told


def in_force(told: dict[int, np.ndarray], when: int) -> np.ndarray:
    """Return the latest that was said until `when`, that instant included; zeros before anything was."""
    past = [now for now in told if now <= when]
    return told[max(past)] if past else np.zeros((1, 2), np.float32)


@pytest.mark.parametrize(("where", "delay"), [("limiter.inputs.command.delay", 0), ("limiter.inputs.command.delay", 15),
                                              ("limiter.inputs.command.delay", 35),
                                              ("limiter.inputs.command.delay", 60),
                                              ("stimulator.inputs.command.delay", 35)])
def test_the_model_learns_of_the_stimulation_that_was_in_force(where, delay):
    """Each row is (observation, stimulation, action) of one instant: what the brain perceived, felt and did then.

    What was commanded at that instant is felt a delay later, and belongs to another row. To the last bit.
    """
    changes: dict[str, Any] = {where: f"{delay} ms"}
    behind = where.startswith("stimulator")
    if behind:  # late behind the limiter: who learns of it has to hear it as late as the brain feels it
        changes["learner.inputs.stimulation.delay"] = f"{delay} ms"
    with made(**changes).build() as loop, made(**changes).build() as other:
        told = heard(loop, "body.observation", "body.status", "coprocessor.command", "limiter.command", "brain.action")
        loop.run("40 steps")
        learner, brain, field = loop.components["learner"], other.components["brain"], other.components["stimulator"]
        steps = [now for now, status in told["body.status"].items() if now and status[0] != 1]  # of each, its end
        assert len(steps) == len(learner._seen) == len(learner._done) == 40
        asked = 0
        for now, seen, done in zip(steps, learner._seen, learner._done, strict=True):
            begun = now - TICK  # when the brain was asked, and what was felt then
            felt = in_force(told["limiter.command"], begun - delay * MS * behind)
            assert np.array_equal(seen, told["body.observation"][begun][0])
            assert np.array_equal(done[:2], felt[0])
            flags = told["body.status"][begun]
            answer = brain.respond({"observation": told["body.observation"][begun], "status": flags,
                                    "current": field.currents(felt)})[0]["action"]
            assert np.array_equal(done[2:], answer[0])
            other_moment = begun if behind else begun - (delay or 20) * MS
            asked += not np.array_equal(felt, in_force(told["limiter.command"], other_moment))
        assert asked > 10  # it is not the stimulation of any instant that would do


def expected_ages(delay: int, period: int) -> list[int]:
    """Ages in ms at the brain's ticks, worked out by hand: a command each 20 ms, felt as soon as it is there."""
    return [tick - (tick - delay) // 20 * 20 for tick in range(0, 140, period) if tick >= delay]


@pytest.mark.parametrize(("delay", "period", "first", "mean"), [
    (0, 5, 0, 7.5), (10, 5, 10, 17.5), (12, 5, 15, 22.5), (40, 10, 40, 45), (100, 10, 100, 105), (0, 20, 0, 0),
    (30, 20, 40, 40)])
def test_latency_is_measured_where_it_is_felt(delay, period, first, mean):
    """The wait for the brain's next tick is in it, and so are ticks at which nothing new has come."""
    changes = {"limiter.inputs.command.delay": f"{delay} ms", "brain.params.period": f"{period} ms"}
    with made(**changes, **{"body.params.max_steps": 0}).build() as loop:
        told = heard(loop, "latency.age", "latency.first", "latency.mean")
        loop.run(140 * MS)
        ages = [float(age) for age in told["latency.age"].values()]
        loop.run(20 * (1000 + delay) * MS // 20)
        assert ages == expected_ages(delay, period)
        assert float(loop.peek("latency.first")) == first
        assert float(loop.peek("latency.mean")) == pytest.approx(mean, abs=0.5)


def test_latency_goes_on_exactly_from_any_state():
    changes = {"limiter.inputs.command.delay": "35 ms"}
    with made(**changes).build() as whole, made(**changes).build() as first, made(**changes).build() as second:
        whole.run("30 steps")
        first.run("11 steps")
        second.load(first.save())
        second.run("30 steps")
        for port in ("age", "first", "mean", "ticks"):
            assert float(whole.peek(f"latency.{port}")) == float(second.peek(f"latency.{port}"))


def test_the_ends_of_episodes_change_no_age():
    """Commands on their way when an episode ends arrive in the next one, as old as they are."""
    with made(**{"limiter.inputs.command.delay": "60 ms"}).build() as loop:
        told = heard(loop, "latency.age")
        loop.run("40 steps")
        assert {float(age) for age in told["latency.age"].values()} == {60, 65, 70, 75}


def meter() -> Any:
    with made().build() as loop:
        found = loop.components["latency"]
        found.reset(0)
        return found


def test_a_lost_command_is_passed_over_and_a_strange_one_has_no_age():
    found, tick = meter(), np.zeros((1, 2), np.float32)

    def step(now: int, **values: float) -> dict[str, Any]:
        given = {name: np.full((1, 2), value, np.float32) for name, value in values.items()}
        return found.step(now, Inputs({"sent": tick, "delivered": tick, "tick": tick, "status": np.zeros(1, np.int64),
                                       **given}, frozenset(given), now - MS))

    for now, sent in enumerate((1, 2, 3)):
        assert step(now * MS, sent=sent, tick=0) == {}
    assert step(4 * MS, delivered=2, tick=0)["age"] == 3
    assert step(5 * MS, delivered=3, tick=0)["first"] == 3
    assert step(6 * MS, delivered=1, tick=0) == {"strange": 1}
    assert step(7 * MS, tick=0) == {}


def test_a_learner_may_hold_where_the_body_takes_the_mean_but_not_read_now():
    made().build().close()
    with pytest.raises(sl.AssemblyError, match=r"reads brain\.action by 'now', but body acts on it by 'mean'"):
        made(**{"learner.inputs.action": {"from": "brain.action", "reads": "now"}}).build()


def test_a_body_acts_on_the_mean_of_a_faster_brain():
    """As by hold where the brain says one thing within the body's tick, and otherwise the mean of what it said."""
    quiet: dict[str, Any] = {"coprocessor": {"type": "basics.silence"}, "learner": None, "critic": None,
                             "action_model": None, "latency": None}
    with made(**quiet).build() as mean, made(**(quiet | {"body.inputs.action.reads": "hold"})).build() as hold:
        mean.run("20 steps")
        hold.run("20 steps")
        assert np.array_equal(mean.peek("body.observation"), hold.peek("body.observation"))
    late = {"limiter.inputs.command.delay": "10 ms"}
    with made(**late).build() as loop, made(**late).build() as other:
        told = heard(loop, "brain.action", "body.observation")
        loop.run("20 steps")
        body, differs = other.components["body"], 0
        body.step(0, Inputs({"action": np.zeros((1, 2), np.float32)}, frozenset(), None))
        for now in sorted(told["body.observation"])[1:]:
            said = [told["brain.action"][now - TICK + part * 5 * MS] for part in range(4)]
            action = np.mean(np.array(said, np.float64), axis=0).astype(np.float32)
            seen = body.step(now, Inputs({"action": action}, frozenset({"action"}), now - TICK))["observation"]
            assert np.array_equal(seen, told["body.observation"][now])
            differs += not np.allclose(action, said[0])
        assert differs > 5
