"""A run goes on as what it was begun as: a description changed by hand is refused, other code is told."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import fingerprint, resuming
from stimloop.assemblies.cli import app
from stimloop.assemblies.loading import shipped
from stimloop.loops.errors import RunError

TEXT = """
name: t
until: 400 ms
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
"""
OWN = """
import numpy as np
import stimloop as sl


class Push(sl.Component):
    period = 10_000_000

    def __init__(self):
        self.inputs, self.outputs = {}, {"action": sl.Port("push", (2,))}

    def step(self, now, inputs):
        return {"action": np.zeros((1, 2), np.float32)}
"""


def changed_by_hand(run, change):
    file = run.path / "zarr.json"
    document = json.loads(file.read_text())
    change(document["attributes"])
    file.write_text(json.dumps(document))


@pytest.fixture
def run(tmp_path):
    return sl.Assembly.from_yaml(TEXT).run("100 ms", folder=tmp_path)


@pytest.mark.parametrize(("change", "which"), [
    (lambda told: told["components"]["brain"]["params"].update(hidden=[9]), "brain.params.hidden"),
    (lambda told: told["components"]["body"]["inputs"]["action"].update(delay="10 ms"), "body.inputs.action.delay"),
    (lambda told: told["components"]["brain"]["params"].update(explore=True), "brain.params.explore"),
    (lambda told: told["components"]["brain"]["params"].pop("hidden"), "brain.params.hidden"),
    (lambda told: told.update(seed=7), "seed"),
    (lambda told: told.pop("components"), "body.type")])
def test_a_description_changed_by_hand_is_refused_and_the_place_is_named(run, change, which):
    changed_by_hand(run, lambda attributes: change(attributes["assembly"]))
    for go_on in (resuming.resume, resuming.evaluate):
        with pytest.raises(RunError, match=r"zarr\.json") as caught:
            go_on(run.path, "200 ms") if go_on is resuming.resume else go_on(run.path, changes={
                "evaluate.test": {"every": "1 s", "episodes": 1}})
        assert which in str(caught.value)
        assert "begin a new run" in str(caught.value)


def test_a_run_that_says_nothing_of_single_places_is_refused_as_a_whole(run):
    def change(attributes):
        attributes.pop("places")
        attributes["assembly"]["seed"] = 5

    changed_by_hand(run, change)
    with pytest.raises(RunError, match="its assembly is not the one that the run was recorded with"):
        resuming.resume(run.path, "200 ms")


@pytest.mark.parametrize("change", [
    lambda attributes: attributes["assembly"].update(checkpoint={"every": "1 s"}, about="other words"),
    lambda attributes: attributes.pop("places")])
def test_what_cannot_change_a_result_may_be_changed(run, change):
    changed_by_hand(run, change)
    assert resuming.resume(run.path, "200 ms").reason == "finished"


@pytest.mark.parametrize("name", shipped())
def test_what_a_run_stores_has_the_hash_of_its_assembly(name):
    from stimloop.assemblies import identity

    for assembly in (sl.load(name), sl.load(name).small(), *map(sl.load(name).variant, sl.load(name).variants)):
        made = assembly.resolve()
        stored = json.loads(json.dumps(identity._written_out(made)))
        assert fingerprint.whole(stored) == made.hash


def test_other_code_than_before_is_a_notice_of_what_it_is_of(tmp_path):
    (tmp_path / "own_push.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text("""
name: own
until: 100 ms
components:
  body: {type: bodies.point_mass, inputs: [push.action]}
  push: {type: 'own_push:Push'}
""")

    def command(*words):
        done = subprocess.run([sys.executable, "-m", "stimloop.assemblies.cli", *words, "--allow", "own_push"],
                              cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    command("run", "own.yaml")
    path = str(next((tmp_path / "runs" / "own").iterdir()))
    assert "code" not in command("resume", path, "--until", "200 ms")
    (tmp_path / "own_push.py").write_text(OWN.replace("np.zeros", "np.ones"))
    told = command("resume", path, "--until", "300 ms")
    assert "push (own_push:Push)" in told
    assert "other code" in told
    assert "body (" not in told
    assert "code" not in command("resume", path, "--until", "400 ms"), "it was told, and is what it went on with"


def test_only_the_function_that_changed_is_named():
    before = {"learner": "stimloop 1; a:f: source sha256 12; b:g: source sha256 34", "body": "stimloop 1"}
    after = {"learner": "stimloop 1; a:f: source sha256 12; b:g: source sha256 56", "body": "stimloop 1"}
    types = {"learner": "learners.mbpo", "body": "bodies.cartpole"}
    assert fingerprint.other_code(before, after, types) == ["learner (b:g)"]
    assert fingerprint.other_code(before, {**after, "body": "stimloop 2"}, types) == [
        "learner (b:g)", "body (bodies.cartpole)"]
    assert fingerprint.other_code({}, after, types) == [], "a run that does not say is compared with nothing"


def test_the_command_says_it_in_one_error(run):
    changed_by_hand(run, lambda attributes: attributes["assembly"].update(seed=9))
    done = CliRunner().invoke(app, ["resume", str(run.path), "--until", "200 ms"])
    assert done.exit_code == 1
    assert "seed" in done.stderr
    assert "Traceback" not in done.stderr
