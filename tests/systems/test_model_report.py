"""How good a learned model is, as reports say it: against models whose errors and coverage are known beforehand."""

import json
import shutil
from statistics import NormalDist

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports import (
    learning_curves,
    model_facts,
    model_quality,
    model_record,
    model_section,
    model_signs,
    page,
)
from stimloop.assemblies.reports.model_quality import LEVELS, Steps, ahead, coverage, deviation
from stimloop.components.bodies.point_mass import PointMass
from stimloop.components.world_models.gaussian_ensemble import GaussianEnsemble
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import is_step
from stimloop.loops.storage import artifact, checkpoint

MIXING = np.array([[0.9, 0.1], [-0.2, 0.8]])


def linear(count=400, noise=0.0, length=40, seed=0):
    """Steps of o' = MIXING o + (a, 0) in episodes of equal length, with reward sum(o)."""
    rng, rows, after = np.random.default_rng(seed), [], np.zeros(2)
    for i in range(count):
        now = rng.normal(size=2) if i % length == 0 else after
        act = rng.normal(size=1)
        after = MIXING @ now + [act[0], 0] + noise * rng.normal(size=2)
        rows.append((now, act, now.sum() + noise * rng.normal(), after, (i + 1) % length != 0))
    return Steps(*(np.array(column) for column in zip(*rows, strict=True)))


def model(bias=0.0, variance=1e-6, apart=0.0):
    """The equations of `linear` as two members, wrong by `bias` and `apart` on both sides of that."""
    def say(inputs):
        now, act = inputs[:, :2], inputs[:, 2:]
        mean = np.concatenate([now.sum(1, keepdims=True), now @ MIXING.T + act * [1, 0] - now], axis=1) + bias
        return np.stack([mean + apart, mean - apart]), np.full((2, *mean.shape), variance)
    return say


def test_a_model_that_is_right_has_no_error_however_far_ahead():
    steps = linear()
    found = ahead(model(), steps, 6, deviation(steps.observation), steps.reward.std())
    assert found.error.max() < 1e-12
    assert found.reward.max() < 1e-12
    # ten episodes of 40 steps: the k-th step is reached from all but the last k - 1 of each
    np.testing.assert_array_equal(found.starts, [400 - 10 * k for k in range(6)])
    scale = steps.observation.std(0)
    for k in range(1, 7):
        first = np.flatnonzero(np.arange(400) % 40 <= 40 - k)
        gone = steps.successor[first + k - 1] - steps.observation[first]
        np.testing.assert_allclose(found.still[k - 1], np.sqrt((gone ** 2).mean(0)) / scale)


def test_an_error_grows_as_the_system_carries_it_on():
    steps = linear()
    found = ahead(model(bias=0.1), steps, 4, np.ones(2), 1.0)
    wrong = np.zeros(2)
    for k in range(4):
        wrong_reward = abs(wrong.sum() + 0.1)
        wrong = MIXING @ wrong + 0.1
        np.testing.assert_allclose(found.error[k], np.abs(wrong))
        np.testing.assert_allclose(found.reward[k], wrong_reward)


def test_errors_are_shares_of_each_deviation_and_constants_have_none():
    steps = linear()
    half = ahead(model(bias=0.1), steps, 1, np.array([2.0, np.nan]), 4.0)
    assert half.error[0, 0] == pytest.approx(0.05)
    assert np.isnan(half.error[0, 1])
    assert half.reward[0] == pytest.approx(0.025)
    np.testing.assert_allclose(deviation(np.array([[1.0, 5.0], [3.0, 5.0]])), [1.0, np.nan])


def test_no_error_is_told_from_too_few_starts():
    few = linear(12, length=12)
    assert ahead(model(), few, 6, np.ones(2), 1.0).starts.tolist() == [12, 11, 10]
    assert len(ahead(model(), linear(5), 6, np.ones(2), 1.0).starts) == 0


@pytest.mark.parametrize(("claimed", "apart"), [(0.1, 0.0), (0.2, 0.0), (0.05, 0.0), (0.06, 0.08)])
def test_coverage_is_that_of_the_interval_that_was_claimed(claimed, apart):
    steps = linear(4000, noise=0.1)
    found = coverage(model(variance=claimed ** 2, apart=apart), steps)
    whole, normal = np.hypot(claimed, apart), NormalDist()
    for level, observation, reward in zip(*found.values(), strict=True):
        end = normal.inv_cdf((1 + level) / 2) * whole / 0.1  # in deviations of what really comes
        assert observation == pytest.approx(2 * normal.cdf(end) - 1, abs=0.02)
        assert reward == pytest.approx(2 * normal.cdf(end) - 1, abs=0.03)


@pytest.mark.parametrize("restart", ["next_tick", "at_once"])
def test_steps_are_followed_within_an_episode_only(restart, tmp_path):
    run = (sl.Assembly("steps", until="40 s", lanes=2)
           .add("body", "bodies.point_mass", max_steps=0, strength=40, radius=0.9, stop_when_solved=True,
                restart=restart, inputs=[{"action": "noise.output"}])
           .add("noise", "basics.noise", period="20 ms").run(folder=tmp_path))
    table = {name: np.asarray(column) for name, column in run.transitions().items()}
    steps = Steps.of(table)
    assert (steps.observation[1:][steps.follows[:-1]] == steps.successor[:-1][steps.follows[:-1]]).all()
    ended = table["terminated"].sum()
    assert ended > 2
    if restart == "next_tick":
        assert len(steps) == len(table["lane"])
        assert (~steps.follows).sum() == ended + 2, "each end, and the last step of each lane"
    else:  # nobody saw where these steps led
        assert len(steps) == len(table["lane"]) - ended


# -- runs --------------------------------------------------------------------------------------------------------------

LINEAR = """
name: known
until: 400 steps
lanes: 4
components:
  body: {type: bodies.point_mass, params: {strength: 0.1, max_steps: 10}, inputs: [{action: noise.output}]}
  noise: {type: basics.noise, params: {period: 20 ms}}
  model:
    type: world_models.gaussian_ensemble
    params: {hidden: [], members: 3, elites: 2, weights: right.safetensors}
    inputs: [body.observation, {action: noise.output}, body.reward, body.status]
"""


def right(path, wrong=0.0, doubt=-20.0):
    """Write the equations of a point mass far from its walls as the weights of an ensemble without hidden layers."""
    made, body = GaussianEnsemble(hidden=[], members=3, elites=2), PointMass(strength=0.1, max_steps=10)
    made.inputs["observation"], made.inputs["action"] = Port("seen", (6,)), Port("push", (2,))
    made.build(Lanes.of(1), 0)
    body.build(Lanes.of(1), 0)
    keep, gain, drift, shift = body._response
    weight = np.zeros((14, 8), np.float32)  # mean of reward and of position, velocity and error; then their variance
    for i in range(2):
        weight[1 + i, [2 + i, 6 + i]] = drift, 0.1 * shift
        weight[3 + i, [2 + i, 6 + i]] = keep - 1, 0.1 * gain
        weight[5 + i] = -weight[1 + i]
    made.network.arrays["out/weight"][...] = weight
    made.network.arrays["out/bias"][:, 3] = wrong  # velocity x
    made.network.arrays["bounds/least"][...], made.network.arrays["bounds/most"][...] = doubt - 20, doubt + 20
    made.network.arrays["out/bias"][:, 8:] = doubt  # log-variance of the changes, which the soft bounds let through
    made.network.arrays["holdout"][...] = 0.0  # nobody fitted it, but it is right
    artifact.save(path, made, "world_models.gaussian_ensemble")


def known(tmp_path, wrong=0.0, made=False, **changes):
    if not made:
        right(tmp_path / "right.safetensors", wrong)
    (tmp_path / "known.yaml").write_text(LINEAR)
    return sl.load(tmp_path / "known.yaml").set(changes).run(folder=tmp_path, show=False)


def test_a_run_with_the_right_model_reports_no_error(tmp_path):
    found, = model_facts.facts(known(tmp_path))
    assert found["missing"] == ""
    assert (found["model"], found["learner"], found["unseen"]) == ("model", None, True)
    assert "nothing in this run fitted the model" in found["on"]
    assert found["steps"] == 400
    assert found["k"] == [1, 2, 3, 4, 5]
    assert max(found["worst_error"]) < 1e-3
    assert max(found["reward_error"]) > 0.5, "of the reward it knows nothing"
    assert min(found["persistence"]) > 10 * max(found["worst_error"])
    assert found["coverage"]["observation"][0] > 0.9, "it claims a variance of e^-20 about what it knows exactly"
    assert found["doubt"]["observation"] < 0.1
    assert model_signs.too_wary([found]) == [], "of next to nothing"


def test_a_run_with_a_model_that_is_wrong_by_so_much_says_so(tmp_path):
    run = known(tmp_path, wrong=0.01)
    found, = model_facts.facts(run)
    assert set(found["worst"]) == {"velocity x"}
    table = {name: np.asarray(column) for name, column in run.transitions().items()}
    scale = deviation(Steps.of(table).observation)[2]
    assert found["worst_error"][0] * scale == pytest.approx(0.01, rel=1e-3)


def test_a_model_that_is_surer_than_it_should_be_is_warned_of(tmp_path):
    run = known(tmp_path, wrong=1.0)  # of the velocity along x; and of the reward it knows nothing
    found, = model_facts.facts(run)
    said, = model_signs.too_sure([found])
    share = {what: found["coverage"][what][LEVELS.index(0.9)] for what in ("observation", "reward")}
    assert share["reward"] < 0.7
    assert f"its intervals of 90% hold {share['reward']:.0%} of the rewards (on 400 steps" in said
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert "model is surer than it should be" in text
    assert "Nothing to warn of" not in text
    assert text.count("model is surer") == 1
    both = page.write_report([run, run], tmp_path / "both.html").read_text()
    assert both.count("model is surer") == 2


def test_a_model_that_claims_far_too_much_doubt_is_warned_of(tmp_path):
    right(tmp_path / "right.safetensors", doubt=-3.0)
    run = known(tmp_path, made=True)
    found, = model_facts.facts(run)
    table = Steps.of({name: np.asarray(column) for name, column in run.transitions().items()})
    share = np.exp(-1.5) / deviation(table.observation)
    assert found["doubt"]["observation"] == pytest.approx(share.mean(), rel=1e-3)
    said, = model_signs.too_wary([found])
    assert "its intervals of 50% hold 100% of the changes of the observation (on 400 steps" in said
    assert "rewards (" not in said, "of them it knows nothing"
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert text.count("model is less sure than it could be") == 1


@pytest.mark.parametrize(("observation", "reward", "most", "doubt", "steps", "told"), [
    (0.86, 0.5, 0.95, 0.2, 30, ["86% of the changes of the observation ("]),
    (0.9, 0.87, 0.95, 0.2, 30, ["90% of the changes of the observation and 87% of the rewards ("]),
    (0.85, 0.85, 0.99, 0.9, 99, []), (0.9, 0.9, 0.9, 0.2, 99, []),  # most errors are small and some large
    (0.99, 0.99, 0.99, 0.1, 99, []), (0.99, 0.99, 0.99, 0.2, 29, []), (float("nan"), 0.5, 0.95, 0.2, 99, [])])
def test_intervals_as_of_twice_the_deviation_are_told(observation, reward, most, doubt, steps, told):
    levels = list(LEVELS)
    found = {"model": "m", "missing": "", "on": "x", "steps": steps, "doubt": dict.fromkeys(
        ("observation", "reward"), doubt), "coverage": {
        "nominal": levels, **{what: [share if level == 0.5 else most if level == 0.9 else 0.0 for level in levels]
                              for what, share in (("observation", observation), ("reward", reward))}}}
    said = model_signs.too_wary([found])
    assert len(said) == len(told)
    assert all(part in whole for part, whole in zip(told, said, strict=True))
    assert model_signs.too_wary([{"model": "m", "missing": "it was never fitted"}]) == []


@pytest.mark.parametrize(("observation", "reward", "steps", "told"), [
    (0.69, 0.9, 30, ["69% of the changes of the observation ("]), (0.7, 0.7, 1000, []), (0.1, 0.1, 29, []),
    (0.5, 0.08, 30, ["50% of the changes of the observation and 8% of the rewards ("]), (float("nan"), 0.9, 99, []),
    (1.0, 1.0, 99, [])])
def test_intervals_that_hold_less_than_seven_tenths_are_told(observation, reward, steps, told):
    levels = list(LEVELS)
    found = {"model": "m", "missing": "", "on": "x", "steps": steps, "coverage": {
        "nominal": levels, **{what: [share if level == 0.9 else 0.0 for level in levels]
                              for what, share in (("observation", observation), ("reward", reward))}}}
    said = model_signs.too_sure([found])
    assert len(said) == len(told)
    assert all(part in whole for part, whole in zip(told, said, strict=True))
    assert model_signs.too_sure([{"model": "m", "missing": "it was never fitted"}]) == []


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A small MoPAC fitted at steps 30, 50, 70 and 90, saved at every tenth step."""
    return sl.load("mopac_pendulum").small().set({
        "until": "90 steps", "evaluate": None, "checkpoint": {"every": "10 steps", "keep": 20}}).run(
            folder=tmp_path_factory.mktemp("runs"), show=False)


def times(run):
    status = np.asarray(run["body.status"])[:, 0]
    return np.asarray(run["body.status"]["time"])[is_step(status)]  # of the n-th step at n - 1


def test_the_newest_model_with_steps_behind_its_fit_is_judged_on_these(learned, monkeypatch):
    monkeypatch.setattr(model_record, "_FEWEST", 15)
    found = model_record.judged(learned, "model")
    assert found.unseen
    assert found.fitted == times(learned)[69], "at 90 it was fitted again, and no step came after that"
    assert found.at == times(learned)[79]
    assert len(found.steps) == 20
    facts, = model_facts.facts(learned)
    assert facts["on"] == ("20 steps made after its last fit; model fitted at step 70, in the checkpoint of step 80")


def test_its_error_one_step_ahead_is_that_of_what_it_published(learned, monkeypatch):
    monkeypatch.setattr(model_record, "_FEWEST", 15)
    facts, = model_facts.facts(learned)
    foretold = np.asarray(learned["model.prediction"]["time"])  # nothing is foretold of where an episode begins
    foretold = foretold[foretold > times(learned)[69]]
    seen, said = (np.asarray(stream)[np.isin(np.asarray(stream["time"]), foretold), 0].astype(float)
                  for stream in (learned["body.observation"], learned["model.prediction"]))
    before = Steps.of({name: np.asarray(column) for name, column in learned.transitions().items()})
    wrong = np.sqrt(((said - seen) ** 2).mean(0)) / before.observation.std(0)
    assert facts["error"][0] == pytest.approx(wrong.mean(), rel=1e-3)


def test_where_no_steps_are_left_all_are_taken_and_that_is_said(learned, monkeypatch):
    monkeypatch.setattr(model_record, "_FEWEST", 1000)
    facts, = model_facts.facts(learned)
    assert not facts["unseen"]
    assert facts["steps"] == 90
    assert "most of which it was fitted to" in facts["on"]
    assert facts["on"].endswith("model fitted at step 90, in the checkpoint of step 90")


def test_the_page_shows_models_once_and_json_has_the_numbers(learned, tmp_path):
    found = json.loads(CliRunner().invoke(app, ["report", str(learned.path), "--to", str(tmp_path / "r.html"),
                                                "--json"]).stdout)
    facts, = found["models"]
    assert facts["run"] == str(learned.path)
    assert facts["measures"]["effective_size"]["last"] > 0
    assert len(facts["error"]) == len(facts["k"]) == 5
    assert facts["coverage"]["nominal"] == list(model_quality.LEVELS)
    text = (tmp_path / "r.html").read_text()
    assert "<h3>Model</h3>" in text
    for words in ("error so many steps ahead", "coverage of intervals", "variants of a plan that count",
                  "share of real rows in a minibatch", "error on steps held out", "steps of an imagined life"):
        assert text.count(f"{words}<") == 1, words
    shown = model_facts.shown(learned)
    assert "learner.mean_rollout_length" in shown
    titles = [axis.get_title(loc="left") for axis in learning_curves.draw(learned, shown).axes]
    assert titles
    assert not any(title.partition(":")[0] in shown for title in titles)


def test_a_size_that_is_given_is_no_result(learned, tmp_path, monkeypatch):
    said = "is a setting here and no result"
    assert said in page.write_report([learned], tmp_path / "r.html").read_text()
    monkeypatch.setattr(model_section, "parameters", lambda run, learner: {"scaling": "fixed"})
    assert said not in page.write_report([learned], tmp_path / "r.html").read_text()


@pytest.mark.parametrize(("harm", "why"), [
    ("no checkpoint", "it has no checkpoint"), ("unrecorded", "body.observation was not recorded. Record it"),
    ("not fitted", "no checkpoint of a fitted model"), ("other sizes", "layer1"),
    ("late", "learner hears its observation 50 ms late")])
def test_why_a_model_cannot_be_judged_is_said(harm, why, tmp_path):
    assembly = sl.load("mopac_pendulum").small().set("evaluate", None)
    if harm == "late":
        late = {"from": "body.observation", "delay": "50 ms"}
        assembly = assembly.set({f"{name}.inputs.observation": late for name in assembly.components if name not in (
            "body", "metrics")})
    if harm == "unrecorded":
        assembly = assembly.set("record", ["body.reward", "body.status", "brain.action"])
    run = assembly.set("until", "20 steps" if harm == "not fitted" else "40 steps").run(folder=tmp_path, show=False)
    if harm == "no checkpoint":
        shutil.rmtree(run.path / "checkpoints")
    if harm == "other sizes":
        file = run.path / "zarr.json"
        changed = json.loads(file.read_text())
        changed["attributes"]["assembly"]["components"]["model"]["params"]["hidden"] = [3, 3]
        file.write_text(json.dumps(changed))
        run = type(run)(run.path)
    facts, = model_facts.facts(run)
    assert why in facts["missing"]
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert "model cannot be judged: " in text
    assert ("error on steps held out" in text) == (harm != "not fitted"), "what is recorded is shown all the same"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gain", [1e15, 1e38, np.nan])
def test_a_model_that_explodes_is_reported_without_warnings_of_a_library(gain, tmp_path):
    run = known(tmp_path)
    at, state = next(checkpoint.parts(run.path / "checkpoints", "model"))
    learned = state["learned"]
    learned["out"]["weight"][:, 3:5, 2:4] = gain * np.array([1, -2, 0.5])[:, None, None]
    shutil.rmtree(run.path / "checkpoints")
    checkpoint.write({"now": at, "components": {"model": {"learned": learned}}}, run.path / "checkpoints")
    facts, = model_facts.facts(run)
    assert facts["missing"] == ""
    assert not np.isfinite(facts["worst_error"]).all()
    assert "error so many steps ahead" in page.write_report([run], tmp_path / "r.html").read_text()


def altered(run, to, taken):
    """Copy a run, and alter the weights of its model in the checkpoints of its newest instants."""
    path = shutil.copytree(run.path, to / run.path.name)
    for folder in sorted((path / "checkpoints").iterdir())[-taken:]:
        file = folder / "component.model.safetensors"
        content = bytearray(file.read_bytes())
        content[-8:] = b"\xff" * 8
        file.unlink()  # it may be linked
        file.write_bytes(content)
    return type(run)(path)


def test_a_model_is_never_judged_by_a_damaged_checkpoint(learned, tmp_path, monkeypatch):
    monkeypatch.setattr(model_record, "_FEWEST", 5)
    whole, = model_facts.facts(learned)
    facts, = model_facts.facts(run := altered(learned, tmp_path, 3))  # of 80, of 90 and at its end
    assert "in the checkpoint of step 80" in whole["on"]
    assert "in the checkpoint of step 70" in facts["on"]
    assert [text.partition(" is not what was written")[0].split("/")[-1] for text in facts["damaged"]] == [
        "component.model.safetensors"] * 3
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert "passed over" in text
    assert str(run.path / "checkpoints") in text


def test_where_all_checkpoints_of_a_model_are_damaged_that_is_why_it_cannot_be_judged(learned, tmp_path):
    facts, = model_facts.facts(altered(learned, tmp_path, 20))
    assert "damaged" in facts["missing"]
    assert len(facts["damaged"]) > 5


@pytest.mark.parametrize(("lost", "judged"), [
    ("model_loss/value", True), ("model_loss/time", False), ("real_ratio/time", True), ("rollout_length/value", False)])
def test_a_lost_chunk_of_a_measure_is_told_on_a_page(learned, lost, judged, tmp_path):
    run = type(learned)(shutil.copytree(learned.path, tmp_path / learned.path.name))
    for chunk in (run.path / "metrics" / "learner" / lost).glob("c*"):
        chunk.unlink()
    done = CliRunner().invoke(app, ["report", str(run.path), "--to", str(tmp_path / "r.html"), "--json"])
    assert done.exit_code == 0, done.output
    text, (facts,) = (tmp_path / "r.html").read_text(), json.loads(done.stdout)["models"]
    assert f"metrics/learner/{lost}" in text
    assert (facts["missing"] == "") == judged
    assert ("Intervals of 90 % hold" in text) == judged, "what can be known is shown all the same"
    assert facts["measures"]["effective_size"]["mean"] > 0
    if lost.endswith("value"):
        assert lost in facts["measures"][lost.partition("/")[0]]["missing"]


@pytest.mark.parametrize(("lengths", "horizon"), [([1.0, 7.0], 7), ([], 5), ([np.inf, 9.0], 9), ([np.nan], 5),
                                                  ([1e300], 30), ([-np.inf], 5)])
def test_lengths_of_imagined_lives_that_are_no_numbers_count_for_nothing(lengths, horizon):
    class Recorded(dict):
        def columns(self, key):
            return {"value": self[key]}

    class Column:
        def read(self):
            return np.array(lengths)

    assert model_facts._horizon(Recorded({"learner.rollout_length": Column()}), "learner") == horizon


@pytest.mark.parametrize(("shares", "meant"), [([0, 1, 1, 1], True), ([5, 9, 1, 0.5], False)])
def test_a_model_that_was_never_to_be_fitted_is_a_fact_and_no_warning(shares, meant, tmp_path):
    run = sl.load("mopac_pendulum").small().set({"evaluate": None, "learner.params.ratio_schedule": shares}).run(
        folder=tmp_path, show=False)
    facts, = model_facts.facts(run)
    assert facts["meant"] == meant
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert ("model was never fitted: this run learns from real steps alone." in text) == meant
    assert ("model cannot be judged" in text) != meant


def test_a_run_without_a_model_has_no_such_section(tmp_path):
    run = sl.load("point_mass").small().run("100 ms", folder=tmp_path, show=False)
    assert model_facts.facts(run) == []
    assert "<h3>Model</h3>" not in page.write_report([run], tmp_path / "r.html").read_text()
