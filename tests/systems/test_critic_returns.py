"""What a critic promised against what followed: by hand, on a run whose every return is known, and why not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="a learner teaches the critic")
pytest.importorskip("matplotlib")

import stimloop as sl
from stimloop.assemblies import report_command
from stimloop.assemblies.reports import critic_returns, page
from stimloop.assemblies.reports.critic_returns import followed
from stimloop.components.critics.q_ensemble import QEnsemble
from stimloop.loops.component import Component
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, idle
from stimloop.loops.storage import artifact

LENGTH = 12  # steps of an episode of the body


class Steady(Component):
    """Says how many steps are left, gives 1 for each, and ends."""

    period = 10_000_000

    def __init__(self, ending: int = TERMINATED) -> None:
        self.ending = ending
        self.inputs = {"action": Port("what is done", (1,), low=-1, high=1, reads="hold")}
        self.outputs = {"observation": Port("steps left", (1,)), "reward": Port("reward"),
                        "status": Port("flags", dtype="int64")}
        self._ticks = 0

    def reset(self, seed):
        self._ticks = 0

    def step(self, now, inputs):
        at = self._ticks % (LENGTH + 1)
        self._ticks += 1
        ones = np.ones(self.lanes.count)
        flag = FIRST if at == 0 else self.ending if at == LENGTH else 0
        return {"observation": (ones * (LENGTH - at))[:, None].astype(np.float32),
                "reward": (ones * (at > 0)).astype(np.float32), "status": (ones * flag).astype(np.int64)}

    def state_dict(self):
        return {"ticks": self._ticks}

    def load_state_dict(self, state):
        self._ticks = int(state["ticks"])


def judge(path, scale=1.0, more=0.0):
    """Write a critic that says: as many times `scale` as steps are left, and `more`; whatever is done."""
    made = QEnsemble(members=2, hidden=[])
    made.inputs["observation"], made.inputs["action"] = Port("left", (1,)), Port("done", (1,))
    made.build(Lanes.of(1), 0)
    for name, array in made.network.arrays.items():
        array[...] = more if name.endswith("bias") else (scale, 0.0)  # of observation and action
    artifact.save(path, made, "critics.q_ensemble")


def recorded(tmp_path, monkeypatch, *, until="100 steps", scale=1.0, more=0.0, ending=TERMINATED, record=None, lanes=1,
             **learner):
    """A run in which nobody learns: what is left is what follows, with a discount of 1."""
    monkeypatch.chdir(tmp_path)
    judge(tmp_path / "critic.safetensors", scale, more)
    made = (sl.Assembly("judged", until=until, lanes=lanes, **({"record": record} if record else {}))
            .add("body", Steady, ending=ending, inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[4], explore=True, inputs=["body.observation", "body.status"])
            .add("critic", "critics.q_ensemble", hidden=[], weights="critic.safetensors",
                 inputs=["body.observation", "brain.action"])
            .add("learner", "learners.sac", **{"gamma": 1.0, "learning_starts": 10_000, **learner},
                 uses={"policy": "brain", "value": "critic"},
                 inputs=["body.observation", "body.reward", "body.status", "brain.action"]))
    return made.run(folder=tmp_path, show=False)


def test_returns_within_their_episode_by_hand():
    """A discount of 1/2; where the second episode was cut off the critic's own 15 stands for what was not seen."""
    flags = np.array([FIRST, 0, TERMINATED, FIRST, 0, TRUNCATED, FIRST, 0])[:, None]
    reward = np.array([0.0, 1, 2, 0, 4, 8, 0, 16])[:, None]
    found = followed(flags, reward, np.arange(10.0, 18.0)[:, None], 0.5)
    assert found.tick.tolist() == [0, 1, 3], "at 4 and 6 the critic's own word counts for a half"
    assert found.value.tolist() == [10, 11, 13]
    assert found.came.tolist() == [1 + 2 / 2, 2, 4 + 8 / 2 + 15 / 4]
    assert found.own.tolist() == [0, 0, 0.25]


def test_where_the_next_episode_begins_at_once_the_end_of_one_that_was_cut_off_is_unknown():
    flags = np.array([FIRST, 0, 0, TRUNCATED | FIRST, 0, 0, TERMINATED | FIRST, 0])[:, None]
    found = followed(flags, np.ones((8, 1)), np.zeros((8, 1)), 0.1)
    assert found.tick.tolist() == [3, 4, 5, 6]
    assert found.came.tolist() == pytest.approx([1.11, 1.1, 1.0, 1.0]), "the last is running: 1 and a tenth of 0"


def plainly(flags, reward, value, gamma):
    """The same, one step and one lane at a time, forwards."""
    found = []
    for tick in range(len(flags) - 1):
        for lane in range(flags.shape[1]):
            if idle(flags[tick, lane:lane + 1])[0]:
                continue
            total, weight, at = 0.0, 1.0, tick
            while True:
                at += 1
                total += weight * reward[at, lane]
                weight *= gamma
                over = flags[at, lane] & TERMINATED
                cut = flags[at, lane] & TRUNCATED or at == len(flags) - 1
                if over or cut:
                    break
            if over:
                weight = 0.0
            elif flags[at, lane] == TRUNCATED | FIRST:
                continue
            if weight <= 0.25:
                found.append((tick, total + weight * value[at, lane], weight))
    return found


@given(seed=st.integers(0, 10_000), gamma=st.sampled_from([0.3, 0.9, 1.0]), at_once=st.booleans())
def test_returns_are_those_of_a_plain_sum(seed, gamma, at_once):
    rng = np.random.default_rng(seed)
    flags = np.zeros((30, 3), np.int64)
    for lane in range(3):
        flags[0, lane] = FIRST
        for tick in range(1, 30):
            if flags[tick - 1, lane] & (TERMINATED | TRUNCATED) and not at_once:
                flags[tick, lane] = FIRST
            elif rng.random() < 0.2:
                flags[tick, lane] = rng.choice([TERMINATED, TRUNCATED]) | (FIRST if at_once else 0)
    reward, value = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    found = followed(flags, reward, value, gamma)
    wanted = plainly(flags, reward, value, gamma)
    assert found.tick.tolist() == [tick for tick, _, _ in wanted]
    np.testing.assert_allclose(found.came, [came for _, came, _ in wanted], atol=1e-12)
    np.testing.assert_allclose(found.own, [own for _, _, own in wanted], atol=1e-12)


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_critic_that_is_right_has_neither_bias_nor_spread(lanes, tmp_path, monkeypatch):
    found, = critic_returns.facts(recorded(tmp_path, monkeypatch, lanes=lanes, until=f"{100 * lanes} steps"))
    assert found["missing"] == ""
    assert (found["learner"], found["gamma"], found["own"]) == ("learner", 1.0, 0.0)
    assert found["steps"] == 96 * lanes, "8 episodes of 12 steps ended; the ninth had just begun"
    assert (found["bias"], found["spread"]) == (0.0, 0.0)
    assert found["value"] == found["came"] == 6.5
    assert found["correlation"] == pytest.approx(1.0)
    assert [part["bias"] for part in found["parts"]] == [0.0] * 4


def test_bias_and_spread_of_a_critic_that_is_wrong_by_so_much(tmp_path, monkeypatch):
    """It says half as much as is left, and 5 more: 5 - n/2 too much for n = 1 to 12."""
    found, = critic_returns.facts(recorded(tmp_path, monkeypatch, scale=0.5, more=5.0))
    apart = 5 - np.arange(1, 13) / 2
    assert found["bias"] == pytest.approx(apart.mean())
    assert found["spread"] == pytest.approx(apart.std())
    assert found["deviation"] == pytest.approx(np.arange(1, 13).std())


def test_what_a_critic_says_is_in_rewards_however_its_learner_scales_them(tmp_path, monkeypatch):
    run = recorded(tmp_path, monkeypatch, scale=2.0)
    monkeypatch.setattr(critic_returns, "parameters", lambda run, name: {"gamma": 1.0, "reward_scale": 2.0})
    found, = critic_returns.facts(run)
    assert (found["bias"], found["spread"]) == (0.0, 0.0)


def test_the_report_tells_it(tmp_path, monkeypatch):
    run = recorded(tmp_path, monkeypatch, more=0.75)
    told = report_command.command([run.path], tmp_path / "r.html")
    (facts,) = told["critics"]
    assert facts["bias"] == 0.75
    json.dumps(told)
    text = (tmp_path / "r.html").read_text()
    assert "<h3>Critic</h3>" in text
    assert "critic, taught by learner with a discount of 1; 96 steps, in whose returns" in text
    assert "<tr><td>all</td><td>7.25</td><td>6.5</td><td>0.75</td><td>0</td>" in text


@pytest.mark.parametrize(("changes", "why"), [
    ({"record": ["body", "brain"]}, "critic.value was not recorded"),
    ({"ending": TRUNCATED}, "only 0 steps are followed by enough others"),
    ({"until": "9 steps"}, "only 0 steps are followed by enough others"),
    ({"until": "1 steps"}, "only 0 steps are followed by enough others")])
def test_why_it_cannot_be_judged_is_told(changes, why, tmp_path, monkeypatch):
    run = recorded(tmp_path, monkeypatch, **changes)
    found, = critic_returns.facts(run)
    assert why in found["missing"]
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert f"critic cannot be judged: {why}" in text


def test_a_truncated_episode_counts_as_far_as_what_followed_does(tmp_path, monkeypatch):
    """With a discount of 1/2 the first ten of twelve steps are followed by two or more."""
    found, = critic_returns.facts(recorded(tmp_path, monkeypatch, ending=TRUNCATED, gamma=0.5, until="24 steps"))
    assert found["steps"] == 2 * 11, "the last of the twelve is followed by one alone"
    assert 0 < found["own"] < 0.25
