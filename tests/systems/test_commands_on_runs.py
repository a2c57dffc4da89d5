"""Commands on runs that are damaged, gone, or of two bodies; and JSON that stays JSON whatever components print."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import execute, settings
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports.scalars import Scalars
from stimloop.loops.errors import AssemblyError, RunError
from stimloop.loops.storage.runs import Run

from .commanded import call, value

TEXT = """
name: commanded
until: 12 steps
components:
  body: {type: bodies.point_mass, params: {max_steps: 4}, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
"""
TWIN = "  twin: {type: bodies.point_mass, params: {max_steps: 4}, inputs: [{action: noise.output}]}\n"
LOUD = """
import sys
import numpy as np
import stimloop as sl
print("imported")


class Loud(sl.Component):
    def __init__(self):
        print("made")
        self.inputs = {"observation": sl.Port("seen", ("n",), wakes=True)}
        self.outputs = {"action": sl.Port("push", (2,), low=-1, high=1)}

    def step(self, now, inputs):
        print("stepped")
        sys.stdout.write("stepped")
        return {"action": np.zeros((self.lanes.count, 2), np.float32)}
"""


pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def made(text=TEXT, until=None):
    return sl.Assembly.from_yaml(text).run(until, folder="runs")


def damaged():
    """A run of which a line in the middle of the journal was altered."""
    run = made()
    journal = run.path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"{", b"[", 1), lines[-1]]))
    assert Run(run.path).damage
    return run.path


def test_what_is_exported_of_a_damaged_run_says_so(tmp_path):
    path = damaged()
    done = call("export", path, "--to", "plain")
    assert "warning: Damaged: journal.jsonl was altered" in done.stderr
    assert "warning" not in done.stdout
    assert "journal.jsonl was altered" in json.loads(Path("plain/attributes.json").read_text())["damage"]
    assert "journal.jsonl was altered" in value("export", path, "--to", "again")["damage"]
    whole = made()
    assert "warning" not in call("export", whole.path, "--to", "whole").stderr
    assert "damage" not in json.loads(Path("whole/attributes.json").read_text())
    assert value("export", whole.path, "--to", "once more")["damage"] == ""


def test_scalars_of_a_damaged_run_say_so(monkeypatch):
    class Nothing:
        look = "nowhere"

        def write(self, points):
            pass

        def close(self):
            pass

    monkeypatch.setattr("stimloop.assemblies.reports.following.SINKS", {"tensorboard": lambda *_: Nothing()})
    path = damaged()
    assert "warning: Damaged: journal.jsonl was altered" in call("export", path, "--to", "tensorboard").stderr
    assert "journal.jsonl was altered" in value("export", path, "--to", "tensorboard")["damage"]


@pytest.mark.parametrize("moved", [True, False])
def test_a_run_that_is_gone_while_it_is_followed_is_told(moved):
    run = made()
    scalars = Scalars(Run(run.path))
    assert scalars.look(whole=False)
    if moved:
        run.path.rename("elsewhere.zarr")
    else:
        shutil.rmtree(run.path)
    with pytest.raises(RunError, match="it was moved or removed"):
        scalars.look(whole=False)


@pytest.mark.parametrize("partly", [True, False])
def test_following_a_run_that_goes_away_ends_in_words(monkeypatch, partly):
    class Mover:
        look = "nowhere"

        def write(self, points):
            if run.path.exists() and not partly:
                shutil.rmtree(run.path)

        def close(self):
            pass

    run = made()
    monkeypatch.setattr("stimloop.assemblies.reports.following.SINKS", {"tensorboard": lambda *_: Mover()})
    monkeypatch.setattr("stimloop.assemblies.reports.following.PAUSE", 0.0)
    monkeypatch.setattr(Run, "state", "running")
    if partly:  # rows are gone before the journal is seen to be
        def read(self, start=0, stop=None):
            shutil.rmtree(run.path)
            raise RunError("the rows in it are lost")

        monkeypatch.setattr("stimloop.loops.storage.stored.StoredColumn.read", read)
    said = call("export", run.path, "--to", "tensorboard", "--follow", code=1).stderr
    assert "was moved or removed while it was followed" in said
    assert "the rows in it are lost" not in said


def test_a_stop_that_means_two_bodies_is_refused_before_anything_is_written():
    a = sl.Assembly.from_yaml(TEXT + TWIN)
    for stop in ("12 steps", "2 episodes", "3 steps of nobody"):
        with pytest.raises(AssemblyError, match=r"until: .*(2 bodies: body, twin|no body)"):
            execute.start(a, stop, folder=Path("runs"))
    assert not Path("runs").exists()
    assert execute.start(a, "12 steps of twin", folder=Path("runs")).reason == "finished"


def test_a_run_of_two_bodies_is_told_and_exported_body_by_body():
    path = made(TEXT + TWIN, "12 steps of twin").path
    with pytest.raises(RunError, match=r'body="body"'):
        Run(path).episodes()
    for words in ((), ("--body", "nobody")):
        said = call("play", path, *words, code=1).stderr
        assert "--body body" in said
        assert "body=" not in said
    call("export", path, "--to", "plain")
    assert {"episodes.body.csv", "episodes.twin.csv"} <= {file.name for file in Path("plain").iterdir()}
    Path("two.yaml").write_text(TEXT + TWIN)
    assert value("run", "two.yaml", "--until", "12 steps of body")["returns"].keys() == {"body", "twin"}


def test_json_is_all_that_stands_on_stdout(monkeypatch):
    Path("loud.py").write_text(LOUD)
    Path("noisy.yaml").write_text(TEXT.replace("noise.output", "noise.action").replace(
        "{type: basics.noise}", "{type: 'loud:Loud', inputs: [body.observation]}"))
    monkeypatch.syspath_prepend(".")
    for words in (("run", "noisy.yaml"), ("check", "noisy.yaml"), ("show", "noisy.yaml"),
                  ("run", "noisy.yaml", "--dry")):
        sys.modules.pop("loud", None)
        done = call(*words, "--allow", "loud", "--json")
        assert isinstance(json.loads(done.stdout), dict)
        assert "made" in done.stderr, "it is not lost"
    path = json.loads(call("run", "noisy.yaml", "--allow", "loud", "--json").stdout)["path"]
    evaluation = "evaluate.test={every: 1 episode, episodes: 2}"
    for words in (("resume", path, "--until", "16 steps"), ("evaluate", path, "--set", evaluation)):
        done = call(*words, "--allow", "loud", "--json")
        assert isinstance(json.loads(done.stdout), dict)
        assert "stepped" in done.stderr
    assert "stepped" in call("run", "noisy.yaml", "--allow", "loud").stdout, "without --json nothing is moved"


def test_a_module_of_a_run_made_elsewhere_is_told_with_a_way_out(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "made" / "far_away.py").write_text(LOUD)
    (tmp_path / "made" / "a.yaml").write_text(TEXT + "  loud: {type: 'far_away:Loud', inputs: [body.observation]}\n")
    monkeypatch.chdir(tmp_path / "made")
    run = sl.load("a.yaml", settings.read().allowing(["far_away"])).run(
        "4 steps", show=False, allowed=settings.read().allowing(["far_away"]))
    path = str(run.path.resolve())
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delitem(sys.modules, "far_away")
    done = CliRunner().invoke(app, ["resume", path, "--allow", "far_away", "--until", "12 steps"])
    assert done.exit_code == 1
    told = " ".join(done.output.split())
    here = str(tmp_path / "elsewhere")
    assert f"there is no module 'far_away' Looked on Python's path and in {here}. Where it lies elsewhere, run" in told
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.syspath_prepend(str(tmp_path / "made"))
    done = CliRunner().invoke(app, ["resume", path, "--allow", "far_away", "--until", "12 steps"])
    assert done.exit_code == 0, done.output
