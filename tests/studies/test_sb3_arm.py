"""Stable-Baselines3's arm of the studies of sample efficiency: it is measured and counted as ours are."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import stimloop as sl
from benchmarks import bench_sample_efficiency as bench
from benchmarks import sb3_arm
from stimloop.assemblies import study
from stimloop.assemblies.studying import tables

RULES = {"inverted_pendulum": sb3_arm.Rule("InvertedPendulum-v5", 500, 250, 10, 1000, 950, 2, 4000, 10_000),
         "pendulum": sb3_arm.Rule("Pendulum-v1", 400, 250, 20, 1000, -200, 2, 4000, 10_000)}
TINY = sb3_arm.Rule("Pendulum-v1", 20, 30, 2, 1000, 0.0, 2, 60, 90)

STILL = """
name: still
until: 1 steps
record: none
components:
  body:  {type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
evaluate: {test: {every: 1 steps, episodes: 3, seeds: 1000, set: {brain.params.explore: false}}}
"""


@pytest.mark.parametrize("name", sb3_arm.ENVIRONMENTS)
def test_the_rule_is_read_from_the_study(name):
    assert sb3_arm.rule(study.load(f"mopac_sample_efficiency_{name}")) == RULES[name]


@pytest.mark.parametrize(("means", "score"), [
    ([-900, -150, -250, -190, -180, -300], 750), ([-900, -150, -250, -190, -300], 10_000), ([-100, -100], 0)])
def test_steps_are_counted_as_the_study_counts_them(means, score):
    told, steps = RULES["pendulum"], [250 * i for i in range(len(means))]
    assert told.score(steps, means) == score
    until = replace(study.load("mopac_sample_efficiency_pendulum").description.measures["steps"].curve, limit=10_000)
    rows = [{"steps": np.array(count), "return": np.array([mean - 1, mean + 1])}
            for count, mean in zip(steps, means, strict=True)]
    assert tables._of_curve(rows, "return", until) == score


def test_a_run_goes_on_until_its_score_is_known_and_ours_would_end():
    told = RULES["pendulum"]
    assert not told.over([0, 3750], [-100.0, -100.0])  # held, but ours go on to 4000
    assert told.over([0, 250, 4000], [-100.0, -100.0, -900.0])
    assert not told.over([0, 9750], [-900.0, -100.0])
    assert told.over([0, 10_000], [-900.0, -900.0])


def test_its_episodes_are_those_of_our_evaluations():
    with sl.Assembly.from_yaml(STILL).build() as loop:
        loop.run("1 steps")
        respond = loop.components["brain"].respond

        def act(rows):  # torque of +-2 N m
            return [2 * respond({"observation": row[None], "status": np.zeros(1, "uint8")})[0]["action"][0]
                    for row in rows]

        theirs = sb3_arm.returns(act, [gym.make("Pendulum-v1") for _ in range(3)], 1000)
        assert theirs == pytest.approx(loop.evaluations["test"].rows[-1]["return"], rel=1e-5)


def test_a_run_leaves_one_file_and_is_not_made_again(tmp_path, monkeypatch):
    said = []
    found = sb3_arm.arm("pendulum", TINY, 1, 0, tmp_path, said.append)
    assert found["steps"] == [0, 30, 60, 90]
    assert found["score"] == 90  # nobody gets a return above zero here
    assert found["updates"] == 70  # one a step after the first 20
    assert [len(each) for each in found["returns"]] == [2] * 4
    assert len(said) == 4
    assert json.loads((tmp_path / "pendulum_g1_s0.json").read_text()) == found
    assert sb3_arm.arm("pendulum", TINY, 1, 1, tmp_path)["returns"] != found["returns"]
    monkeypatch.setattr(sb3_arm, "train", None)
    assert sb3_arm.arm("pendulum", TINY, 1, 0, tmp_path) == found
    with pytest.raises(ValueError, match=r"pendulum_g1_s0.*another rule"):
        sb3_arm.arm("pendulum", replace(TINY, goal=-1.0), 1, 0, tmp_path)


def test_a_goal_that_always_holds_ends_the_run_where_ours_would_end(tmp_path):
    found = sb3_arm.arm("pendulum", replace(TINY, goal=-1e6), 3, 0, tmp_path)
    assert (found["score"], found["steps"], found["updates"]) == (0, [0, 30, 60], 120)


def test_medians_are_judged_and_other_arms_only_told():
    arms = {name: {"scores": scores} for name, scores in {
        "mopac": [1750, 2100, 4000], "mbpo": [2250, 2250, 500], "sac": [4000] * 3, "sb3": [3000, 2900, 10_000],
        "sb3_10_updates": [1000] * 3}.items()}
    found = {each["what"]: each for each in bench.judged("pendulum", arms)}
    assert found["pendulum_mopac_vs_sb3"]["value"] == 0.7
    assert [found[f"pendulum_{name}_vs_sb3"]["ok"] for name in ("mopac", "mbpo", "sac")] == [True, False, True]
    assert [found[f"pendulum_{name}_vs_sb3"]["bound"] for name in ("mbpo", "sac", "sb3_10_updates")] == [
        0.7, None, None]
    assert found["pendulum_sb3_steps"]["value"] == 3000


def test_what_has_not_been_measured_does_not_hold(tmp_path):
    answer = bench.measure(str(tmp_path / "none"), str(tmp_path))
    assert [each["ok"] for each in answer["checks"]] == [False] * 4
    assert "stimloop study mopac_sample_efficiency_pendulum" in answer["notes"][1]
    assert not list(tmp_path.glob("*.json"))


def test_ours_are_read_from_the_folder_of_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SEEDS", (0,))
    read = study.load("mopac_sample_efficiency_pendulum", small=True, folder=tmp_path)
    assert bench.ours(read)[1] == ["learn:base at seed=0 (waiting)", "learn:mbpo at seed=0 (waiting)",
                                   "learn:sac at seed=0 (waiting)"]
    table = {row.variant: row.values["steps"] for row in read.run().rows}
    assert bench.studies(str(tmp_path)) == {}, "the small form is no measurement"
    found, lacking = bench.ours(read)
    assert not lacking
    for name, variant in bench.ARMS.items():
        assert tuple(found[name]["scores"]) == table[variant] == (4000,)
        assert found[name]["curves"][0]["steps"] == [0, 30, 60]
        assert all(-2000 < mean < -10 for mean in found[name]["curves"][0]["means"])
