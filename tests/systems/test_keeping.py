"""Nothing on the disk is lost without a word: damaged checkpoints and tails, early stops, files of others."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import (
    document,
    execute,
    identity,
    inspection,
    listing,
    report_command,
    resuming,
    saved,
    settings,
)
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports.warnings import warnings
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError, RunError, TimeError
from stimloop.loops.port import Port
from stimloop.loops.storage import checkpoint, runs

from .interrupted import BODY, damage, files, refused, unfinished


class Counting(Component):
    """Publishes how often it stepped; waits, or cannot be loaded, when the environment says so."""

    period = 10_000_000

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"count": Port("steps so far", ())}
        self._count = 0

    def reset(self, seed):
        self._count = 0

    def step(self, now, inputs):
        self._count += 1
        return {"count": np.full(self.lanes.count, self._count, np.float32)}

    def state_dict(self):
        return {"count": self._count}

    def load_state_dict(self, state):
        if os.environ.get("UNLOADABLE"):
            raise RuntimeError("the library changed")
        self._count = int(state["count"])


def test_what_cannot_be_loaded_cuts_nothing(tmp_path, monkeypatch):
    run = sl.Assembly("t", until="200 ms", checkpoint={"every": "50 ms"}).add("a", Counting).run(folder=tmp_path)
    monkeypatch.setenv("UNLOADABLE", "1")
    refused(run.path, "the library changed", RuntimeError, until="1 s", allowed=replace(settings.read(),
                                                                                     allow=(__name__,)))


@pytest.mark.parametrize("until", ["5 steps of nobody", "nobody.done", "5 stops"])
def test_a_stop_that_is_none_cuts_nothing(until, tmp_path):
    path = unfinished(tmp_path)
    refused(path, "nobody|stop", (AssemblyError, TimeError), until=until)


@pytest.mark.parametrize("harm", ["append", "unlink", "manifest"])
def test_a_damaged_newest_checkpoint_is_passed_over_with_a_word_and_nothing_is_lost(harm, tmp_path):
    """Everything resumes exactly: what the older checkpoint lacks is recorded again, bit for bit."""
    path = unfinished(tmp_path)
    newest = max((path / "checkpoints").iterdir())
    damage(newest, harm)
    with pytest.raises(RunError, match="damaged"):
        resuming.evaluate(path)  # an older brain is no answer to what this one has learned
    outcome = resuming.resume(path)
    assert outcome.reason == "finished"
    told = [str(notice) for notice in outcome.notices if newest.name in str(notice)]
    assert len(told) == 1
    assert "passed over" in told[0]
    done = runs.open(path)
    whole = runs.open(next((tmp_path / "made" / "t").iterdir()))
    assert runs.log_hash(done) == runs.log_hash(whole)
    assert done.attributes["sessions"][-1]["from_ns"] == 0
    assert newest.name in done.attributes["sessions"][-1]["passed_over"][0]
    assert checkpoint.read(newest)["now"] == 100_000_000, "saved again at the same instant"
    assert (newest.parent / f".{newest.name}.damaged").is_dir()
    assert resuming.resume(path, "500 ms").reason == "finished"


def test_a_damaged_newest_checkpoint_is_refused_where_what_it_lacks_cannot_be_recorded_again(tmp_path):
    path = unfinished(tmp_path)
    newest = max((path / "checkpoints").iterdir())
    damage(newest, "append")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stimloop.assemblies.identity.read_attributes",
                      lambda path, read=identity.read_attributes: {**read(path), "resumes": {"b": "restarts noise"}})
        told = refused(path, "damaged")
    assert str(newest) in told
    assert "delete" in told.lower()


def test_a_run_whose_checkpoints_are_all_damaged_is_left_as_it_is(tmp_path):
    path = unfinished(tmp_path)
    for folder in (path / "checkpoints").iterdir():
        damage(folder, "append")
    refused(path, "every checkpoint")


@pytest.mark.parametrize("harm", ["append", "unlink", "manifest"])
def test_damaged_checkpoints_are_shown_and_from_which_one_it_would_go_on(harm, tmp_path):
    path = unfinished(tmp_path)
    oldest, newest = sorted((path / "checkpoints").iterdir())
    facts, text = listing.run_facts(path, False)
    assert [each["damage"] for each in facts["checkpoints"]] == [[], []]
    assert facts["resume_from"] == newest.name
    assert "The checkpoint" not in text
    damage(newest, harm)
    facts, text = listing.run_facts(path, False)
    assert [(each["name"], each["at"], len(each["damage"])) for each in facts["checkpoints"]] == [
        (oldest.name, "0 s", 0), (newest.name, "100 ms", 1)]
    assert {"append": "state.json", "unlink": "loop.safetensors", "manifest": "manifest.json"}[harm] in text
    assert facts["resume_from"] == oldest.name
    assert f"would go on from the checkpoint {oldest.name} (0 s), set aside" in text
    assert resuming.resume(path).reason == "finished"
    damage(path / "checkpoints" / oldest.name, harm)
    facts, text = listing.run_facts(path, False)
    assert facts["resume_from"] == facts["checkpoints"][-1]["name"] != oldest.name
    assert "set aside" not in text


def test_where_resume_refuses_for_damaged_checkpoints_showing_the_run_says_so(tmp_path):
    path = unfinished(tmp_path)
    oldest, newest = sorted((path / "checkpoints").iterdir())
    damage(newest, "append")
    (newest / "loop.safetensors").unlink()
    facts, _ = listing.run_facts(path, False)
    assert len(facts["checkpoints"][1]["damage"]) == 2
    inexact = saved.checkpoints(path, {"resumes": {"b": "restarts noise"}})
    assert inexact.on_from is None
    assert "or delete it" in inexact.warnings()[-1]
    damage(oldest, "append")
    facts, text = listing.run_facts(path, False)
    assert facts["resume_from"] is None
    assert "stimloop resume refuses, for no checkpoint is whole" in text


@pytest.mark.parametrize("until", ["200 ms", "12 steps"])
def test_a_stop_behind_what_is_recorded_is_refused(until, tmp_path):
    path = unfinished(tmp_path)
    assert runs.open(path).streams["body.status"].rows >= 16
    refused(path, "recorded", until=until)
    assert resuming.resume(path, until="19 steps").reason == "finished"


@pytest.mark.parametrize("until", ["100 ms", "3 steps"])
def test_a_stop_behind_a_finished_run_is_refused_too(until, tmp_path):
    run = sl.Assembly.from_yaml(BODY).run(folder=tmp_path)
    before = files(run.path)
    with pytest.raises(RunError, match=f"lies behind {until}.* Nothing was changed"):
        resuming.resume(run.path, until)
    assert files(run.path) == before


@pytest.mark.parametrize("until", [None, "400 ms", "19 steps"])
def test_a_run_that_is_there_already_is_left_as_it_is(until, tmp_path):
    run = sl.Assembly.from_yaml(BODY).run(folder=tmp_path)
    before = files(run.path)
    outcome = resuming.resume(run.path, until)
    assert outcome.reason == "already there"
    assert "already there" in inspection.outcome_text(outcome)
    assert files(run.path) == before
    done = CliRunner().invoke(app, ["resume", str(run.path), "--json"])
    assert done.exit_code == 0
    assert '"already there"' in done.stdout


def harmed(path: Path, name: str, place: int) -> None:
    content = bytearray((path / name).read_bytes())
    content[place] ^= 1
    (path / name).write_bytes(content)


@pytest.mark.parametrize(("name", "place"), [("tail.bin", 40), ("tail.bin", 24), ("tail.bin", 2),
                                             ("tail.bin", 16)])
def test_a_flipped_bit_is_told(name, place, tmp_path):
    pytest.importorskip("matplotlib")
    path = unfinished(tmp_path)
    assert runs.open(path).damage == ""
    whole = (path / "tail.bin").read_bytes()
    (path / "tail.bin").write_bytes(whole[:-3])
    assert runs.open(path).damage == "", "a torn end is what a kill leaves"
    (path / "tail.bin").write_bytes(whole)
    harmed(path, name, place)
    run = runs.open(path)
    assert name in run.damage
    assert any(name in text for text in warnings(run))
    facts, text = listing.run_facts(path, False)
    assert facts["damage"] == run.damage
    assert run.damage in text
    told = refused(path, "was altered")
    assert "checkpoints" in told
    assert "elete" in told
    recovered = runs.recover(path)
    assert "tail" in recovered.damage, "recovering does not make it whole"
    assert (path / "tail.damaged").stat().st_size == len(whole)


@pytest.mark.parametrize("first", [True, False])
def test_a_line_altered_within_the_journal_is_told(first, tmp_path):
    path = unfinished(tmp_path, BODY + "evaluate: {e: {every: 2 steps, episodes: 1}}\n")
    content = (path / "journal.jsonl").read_bytes()
    place = 20 if first else content.index(b"\n") + 20
    (path / "journal.jsonl").write_bytes(content + b'{"torn')
    assert runs.open(path).damage == ""
    (path / "journal.jsonl").write_bytes(content)
    harmed(path, "journal.jsonl", place)
    assert "journal.jsonl" in runs.open(path).damage
    refused(path, "journal.jsonl")
    before = files(path)
    with pytest.raises(RunError, match=r"journal\.jsonl"):
        runs.recover(path)
    assert files(path) == before


def test_a_report_replaces_only_reports(tmp_path):
    pytest.importorskip("matplotlib")
    run = sl.Assembly.from_yaml(BODY).run("100 ms", folder=tmp_path)
    mine = tmp_path / "thesis.html"
    mine.write_text("<!doctype html><p>years of work")
    for to, match in ((mine, "is not a report"), (tmp_path, "is a folder"), (mine / "r.html", "cannot be written")):
        with pytest.raises(RunError, match=match):
            report_command.write([run.path], to)
    assert "years" in mine.read_text()
    for _ in range(2):
        assert report_command.write([run.path], tmp_path / "new" / "r.html").is_file()


@pytest.mark.parametrize("value", [5, "text", [1, {"a": 2}], {"a": [3]}, None])
def test_attributes_that_somebody_changed_break_no_report(value, tmp_path):
    pytest.importorskip("matplotlib")
    from stimloop.loops.storage.zarr_files import encode, read_document

    run = sl.Assembly.from_yaml(BODY).run("100 ms", folder=tmp_path)
    whole = read_document(run.path)
    for key in ("notices", "latency", "facts", "resumes", "drawing", "name", "variant", "assembly"):
        changed = {**whole, "attributes": {**whole["attributes"], key: value}}
        (run.path / "zarr.json").write_bytes(encode(changed))
        report_command.write([run.path, run.path], tmp_path / "r.html")
        listing.run_facts(run.path, True)


def started_slow(tmp_path, seconds):
    """Start a run whose second step takes so long, and wait until it is in it."""
    (tmp_path / "slow.py").write_text(
        "import stimloop as sl, numpy as np, time\nclass Slow(sl.Component):\n    period = 10**7\n"
        "    def __init__(self):\n        self.inputs, self.outputs = {}, {'o': sl.Port('one', ())}\n"
        f"    def step(self, now, inputs):\n        open('here', 'w')\n        time.sleep({seconds} if now else 0)\n"
        "        return {'o': np.ones(1, np.float32)}\n")
    (tmp_path / "s.yaml").write_text("name: s\nuntil: 1 s\ncomponents: {a: {type: 'slow:Slow'}}\n")
    process = subprocess.Popen([sys.executable, "-m", "stimloop.assemblies.cli", "run", "s.yaml", "--allow", "slow"],
                               cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "here").exists() or not list(tmp_path.glob("runs/s/*/checkpoints/[0-9]*")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    return process


def test_a_program_may_say_again_what_a_run_has_heard(tmp_path):
    """A study asks all its processes to stop, those too that heard Ctrl-C themselves and still fit a model, say."""
    process = started_slow(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("SIGINT: s stops after the present instant")
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped at once" not in err


def test_the_second_signal_stops_at_once_and_says_where(tmp_path):
    process = started_slow(tmp_path, 20)
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == (  # at once, and not when the 20 s of the step are over
        "SIGTERM: s stops after the present instant, and saves. A second signal stops at once, without saving.\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130, err
    assert "stopped at once" in err
    assert str(next((tmp_path / "runs" / "s").iterdir()).name) in err
    assert "Traceback" not in err


def test_what_cannot_run_makes_no_directory(tmp_path):
    with pytest.raises(AssemblyError, match="no components"):
        execute.start(sl.Assembly("empty", until="1 s"), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(AssemblyError, match="name"):
        sl.Assembly("empty").set("name", None)
    assert execute.start(sl.Assembly.from_yaml(BODY), "0", folder=tmp_path).reason == "finished"


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "f.yaml")
    (tmp_path / "z.yaml").symlink_to("/dev/zero")
    for name in ("f.yaml", "z.yaml"):
        with pytest.raises(AssemblyError, match="not a regular file"):
            document.read(tmp_path / name)


@pytest.mark.parametrize("name", ["class", "match", "os", "numpy", "stimloop", "zoneinfo"])
def test_a_new_component_hides_no_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssemblyError, match="cannot name a module"):
        listing.new_component(name)
    assert not list(tmp_path.iterdir())


def test_settings_of_another_user_are_ignored(tmp_path, monkeypatch, capsys):
    (tmp_path / "stimloop.toml").write_text('allow = ["mine"]\n')
    monkeypatch.chdir(tmp_path)
    read = settings.read()
    assert read.allow == ("mine",)
    assert str(tmp_path / "stimloop.toml") in read.notices[0]
    assert "mine" in read.notices[0]
    (tmp_path / "t.yaml").write_text(BODY)
    assert "allows the module mine" in CliRunner().invoke(app, ["show", "t.yaml"]).stderr
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    monkeypatch.setattr(settings, "TRUSTED", ())
    read = settings.read()
    assert read.allow == ()
    assert "another user" in read.notices[0]


def test_the_newest_checkpoint_is_found_by_its_number(tmp_path):
    assert checkpoint.newest(tmp_path / "none") is None
    for now in (9, 100, 100):
        checkpoint.write({"format": 1, "now": now, "components": {}}, tmp_path)
    (tmp_path / ".1.partial").mkdir()
    assert checkpoint.newest(tmp_path)["now"] == 100
    shutil.rmtree(tmp_path / f"{100:020d}")
    assert checkpoint.newest(tmp_path)["now"] == 100


@pytest.mark.parametrize(("changes", "what"), [({}, "run"), ({"seed": 5}, "assembly")])
def test_a_checkpoint_of_another_run_is_no_checkpoint_of_this_one(changes, what, tmp_path):
    path = unfinished(tmp_path)
    assembly = sl.Assembly("t", until="200 ms", checkpoint={"every": "50 ms"}).add("a", Counting)
    mine, other = (each.run(folder=tmp_path / "two") for each in (assembly, assembly.set(changes)))
    newest = max((other.path / "checkpoints").iterdir())
    shutil.copytree(newest, mine.path / "checkpoints" / "999999999999")
    refused(mine.path, f"written by another {what}", until="1 s",
            allowed=replace(settings.read(), allow=(__name__,)))
    assert resuming.resume(path).reason == "finished"
