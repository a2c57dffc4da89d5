"""`stimloop resume` of several runs: patterns, folders, what is there already, what fails, and Ctrl-C."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stimloop as sl
from stimloop.assemblies import resume_command
from stimloop.loops.errors import RunError
from stimloop.loops.storage import runs as stored

from .commanded import call
from .interrupted import files

TEXT = """
name: several
until: 400 ms
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8], explore: true}, inputs: [body.observation, body.status]}
"""


pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def made(until=None, seed=0, folder="runs", text=TEXT):
    return sl.Assembly.from_yaml(text).set("seed", seed).run(until, folder=folder).path


def test_each_run_of_a_pattern_goes_on_to_what_it_would_have_been():
    whole = [stored.log_hash(stored.open(made(seed=seed, folder="whole"))) for seed in range(3)]
    parts = [made("100 ms", seed) for seed in range(3)]
    done = call("resume", "runs/sev*/*.zarr")
    assert done.stdout.strip().endswith("3 runs: 3 finished")
    assert [stored.log_hash(stored.open(path)) for path in parts] == whole
    before = [files(path) for path in parts]
    again = call("resume", *parts)  # as the shell expands it
    assert again.stdout.count("already there: ") == 3
    assert again.stdout.strip().endswith("3 runs: 3 already there")
    assert [files(path) for path in parts] == before


def test_one_that_fails_stops_no_other_and_the_exit_code_says_so():
    first, lost, last = (made("100 ms", seed) for seed in range(3))
    shutil.rmtree(lost / "checkpoints")
    done = call("resume", first, lost, last, code=1)
    assert "has no whole checkpoint" in done.stderr
    assert done.stdout.strip().endswith("3 runs: 2 finished, 1 failed")
    found = json.loads(call("resume", first, lost, last, "--json", code=1).stdout)
    assert [each["ended"] for each in found] == ["already there", "failed", "already there"]
    assert [each["path"] for each in found] == [str(first), str(lost), str(last)]
    assert "has no whole checkpoint" in found[1]["error"]


def test_an_error_that_nobody_foresaw_keeps_its_traceback_and_stops_no_other(monkeypatch):
    first, last = made("100 ms"), made("100 ms", 1)
    real = resume_command.resume

    def fails_once(path, *words, **options):
        if path == first:
            raise ZeroDivisionError("of a library")
        return real(path, *words, **options)

    monkeypatch.setattr(resume_command, "resume", fails_once)
    done = call("resume", first, last, code=1)
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: of a library" in done.stderr
    assert done.stdout.strip().endswith("2 runs: 1 failed, 1 finished")


def test_a_later_stop_is_for_all_of_them():
    parts = [made("100 ms", seed) for seed in range(2)]
    call("resume", "runs/*/*.zarr", "--until", "200 ms")
    assert [stored.open(path).attributes["until"] for path in parts] == ["200 ms"] * 2


def test_which_runs_are_meant():
    one, other = made("100 ms"), made("100 ms", 1)
    Path("runs/several/report.html").write_text("x")
    Path("runs/empty").mkdir()
    assert resume_command.runs_meant(["runs"]) == ([one, other], [])
    assert resume_command.runs_meant(["runs/*"]) == ([one, other], ["runs/empty"])
    assert resume_command.runs_meant([str(other), "runs/several/*"]) == ([other, one], ["runs/several/report.html"])
    assert resume_command.runs_meant(["runs/**/*.zarr", f"{one}/"]) == ([one, other], [])
    assert "report.html is no run and was passed over" in call("resume", "runs/several/*").stderr


def test_a_folder_stands_for_the_runs_below_it_however_many():
    path = made("100 ms")
    for place, how in (("runs", "finished"), ("runs/several", "already there"), (".", "already there")):
        assert call("resume", place).stdout.strip().endswith(f"1 run: 1 {how}")
    assert "1 run" not in call("resume", path).stdout, "a run itself is told as one"
    Path("runs/empty").mkdir()
    assert "runs/empty is no run" in call("resume", "runs/empty", code=1).stderr
    assert "does not exist" in call("resume", "runs/severl", code=1).stderr


def test_what_lies_within_a_run_is_a_part_of_it():
    one, other = made("100 ms"), made("100 ms", 1)
    Path("runs/notes.txt").write_text("x")
    assert resume_command.runs_meant(["runs/**"]) == ([one, other], ["runs/notes.txt"])
    assert resume_command.runs_meant([str(one), f"{one}/*", f"{one}/zarr.json"]) == ([one], [])
    with pytest.raises(RunError, match="there is no run in"):
        resume_command.runs_meant([f"{one}/*"])


@pytest.mark.parametrize(("words", "said"), [
    (["runs/mopac_*"], "nothing matches 'runs/mopac_*'"), (["runs/several/*", "runs/severl"], "does not exist"),
    (["empty", "empty"], "there is no run in empty")])
def test_what_is_wrongly_named_is_refused_before_anything_goes_on(words, said):
    path = made("100 ms")
    Path("empty").mkdir()
    before = files(path)
    with pytest.raises(RunError) as caught:
        resume_command.runs_meant(words)
    assert said in str(caught.value)
    assert said in call("resume", *words, code=1).stderr
    assert files(path) == before


def test_ctrl_c_saves_the_one_in_hand_and_leaves_the_others():
    endless = TEXT.replace("400 ms", "100000 s")
    parts = [made("100 ms", seed, text=endless) for seed in range(2)]
    untouched = files(parts[1])
    process = subprocess.Popen([sys.executable, "-m", "stimloop.assemblies.cli", "resume", "runs/*/*.zarr"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    until = time.monotonic() + 60
    while stored.open(parts[0]).streams["body.status"].rows < 100:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out.strip().endswith("2 runs: 1 interrupted, 1 not gone on with")
    assert stored.open(parts[0]).state == "interrupted"
    assert files(parts[1]) == untouched
    call("resume", parts[0], "--until", f"{stored.open(parts[0]).attributes['now'] + 10 ** 8} ns")
