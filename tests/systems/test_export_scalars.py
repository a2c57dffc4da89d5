"""The scalars of a run in TensorBoard and W&B: every point once, also while it is written; the run is only read."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from kernel.recording import content
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports import following, sinks
from stimloop.assemblies.reports.scalars import Scalars
from stimloop.assemblies.resuming import resume
from stimloop.loops.errors import RunError
from stimloop.loops.storage.runs import Run

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]
LIVE = """
name: live
lanes: 2
until: UNTIL
components:
  body: {type: bodies.point_mass, params: {max_steps: 20}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward]}
evaluate: {test: {every: 3 episodes, episodes: 2, without: [metrics]}}
"""


pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def live(until="130 steps"):
    Path("live.yaml").write_text(LIVE.replace("UNTIL", until))
    return sl.load("live.yaml")


class Gathered:
    """A sink that keeps what it is given; from `fails_at` points on it takes nothing more."""

    look = "look here"

    def __init__(self, fails_at=None):
        self.points, self.closed, self.fails_at = [], False, fails_at

    def write(self, points):
        with sinks.failing("the sink", "Make room"):
            self.points += points
            if self.fails_at is not None and len(self.points) >= self.fails_at:
                raise OSError(28, "No space left on device")

    def close(self):
        self.closed = True


@pytest.fixture
def gathered(monkeypatch):
    sink = Gathered()
    monkeypatch.setitem(following.SINKS, "tensorboard", lambda folder, run, scalars: sink)
    monkeypatch.setattr(following, "PAUSE", 0.05)
    return sink


def export(*words, code=0, to="tensorboard"):
    done = CliRunner().invoke(app, ["export", *map(str, words), "--to", to, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def of(points, name):
    return [(point.at, point.value) for point in points if point.name == name]


def test_points_are_what_the_run_says(gathered):
    run = live().run(folder="runs")
    facts = export(run.path)
    assert gathered.closed
    assert facts["points"] == len(gathered.points)
    assert facts["axis"] == "steps of body"
    metric = run.metrics()["metrics.steps"].dropna()
    told = of(gathered.points, "metrics/steps")
    assert [value for _, value in told] == metric.tolist()
    assert [at for at, _ in told] == metric.tolist(), "the component counts the same steps"
    episodes = run.episodes()
    done = episodes[episodes["how"] != "running"]
    assert [value for _, value in of(gathered.points, "episodes/body/return")] == pytest.approx(
        done.groupby("end")["return"].mean().tolist())
    assert of(gathered.points, "episodes/body/length")[0] == (40, 20)
    rows = run.evaluations("test")
    assert of(gathered.points, "evaluations/test/return") == list(zip(rows["steps"], rows["return"], strict=True))
    assert [point.time for point in gathered.points] == sorted(point.time for point in gathered.points)


def test_looks_at_a_growing_run_add_up_to_the_whole():
    run = live("40 steps").run(folder="runs")
    growing = Scalars(run)
    parts = [*growing.look(whole=True)]
    assert growing.look(whole=True) == []
    resume(run.path, "130 steps")
    with pytest.raises(RunError, match="resumed meanwhile"):
        growing.look(whole=True)
    growing._sessions += 1  # nothing was cut here
    parts += growing.look(whole=True)
    whole = Scalars(Run(run.path)).look(whole=True)
    assert len(whole) == len(parts) > 0
    assert sorted(whole, key=repr) == sorted(parts, key=repr)


def test_without_a_status_points_lie_over_simulated_time(gathered):
    run = live().set("record", "none").run(folder="runs")
    facts = export(run.path)
    assert facts["axis"] == "milliseconds of simulated time"
    assert not of(gathered.points, "episodes/body/return")
    assert [at for at, _ in of(gathered.points, "evaluations/test/return")] == [
        when // 1_000_000 for when in run.evaluations("test")["time"]]


def writing(until):
    """Begin to write a run in another process; returns it and the run's directory."""
    live(until)
    process = subprocess.Popen([*STIMLOOP, "run", "live.yaml", "--speed", "1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (found := list(Path("runs").glob("*/*/journal.jsonl"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process, found[0].parent


def test_follow_goes_on_until_another_process_has_written_the_run(gathered):
    process, path = writing("3 s")
    looks = []
    write = gathered.write
    gathered.write = lambda points: (looks.append(Run(path).state), write(points))
    facts = export(path, "--follow")
    assert process.wait(60) == 0
    assert facts["state"] == "finished"
    assert looks[0] == "running", "it was followed while it was being written"
    assert len(looks) > 2
    assert gathered.points
    assert sorted(gathered.points, key=repr) == sorted(Scalars(Run(path)).look(whole=True), key=repr)


def test_ctrl_c_ends_following_and_not_the_run():
    pytest.importorskip("tensorboard", reason="event files need the extra tensorboard")
    process, path = writing("100000 s")
    try:
        follower = subprocess.Popen([*STIMLOOP, "export", str(path), "--to", "tensorboard", "--follow"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "following" in follower.stderr.readline()
        time.sleep(0.5)
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=60)
        assert follower.returncode == 130, said
        assert re.search(r"stopped following: \d+ points .* of a run that is running", said)
        assert "follow again, from the start: stimloop export" in said
        assert process.poll() is None
        assert Run(path).state == "running"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def test_following_a_finished_run_ends_by_itself(gathered):
    run = live().run(folder="runs")
    begun = time.monotonic()
    assert export(run.path, "--follow")["state"] == "finished"
    assert time.monotonic() - begun < 30
    assert gathered.closed


def test_a_sink_that_fails_leaves_the_run_as_it_is(gathered):
    run = live().run(folder="runs")
    before = content(run.path)
    gathered.fails_at = 3
    said = export(run.path, "--follow", code=1)["error"]
    assert "No space left" in said
    assert "only read" in said
    assert "Make room" in said
    assert gathered.closed
    assert content(run.path) == before


def test_words_that_do_not_go_together(monkeypatch):
    run = live().run(folder="runs")
    for words in (["--follow"], ["--out", "x"]):
        done = CliRunner().invoke(app, ["export", str(run.path), "--to", "plain", *words])
        assert done.exit_code == 2
        assert "go with --to tensorboard" in done.output
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert 'pip install "stimloop[wandb]"' in export(run.path, to="wandb", code=1)["error"]
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    assert 'pip install "stimloop[tensorboard]"' in export(run.path, code=1)["error"]
    assert not list(run.path.parent.glob("*.wandb"))


def test_a_sink_takes_no_folder_of_somebody_else(tmp_path):
    run, other = live().run(folder="runs"), live().set("seed", 7).run(folder="runs")
    sinks.claim(tmp_path / "mine", run)
    sinks.claim(tmp_path / "mine", run)
    with pytest.raises(RunError, match="another run"):
        sinks.claim(tmp_path / "mine", other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "work").touch()
    with pytest.raises(RunError, match="there already"):
        sinks.claim(tmp_path / "full", run)
    with pytest.raises(RunError, match="is no folder"):
        sinks.claim(tmp_path / "full" / "work", run)
    with pytest.raises(RunError, match="lies in the run"):
        sinks.claim(run.path / "events", run)


# -- TensorBoard -------------------------------------------------------------------------------------------------------


def events(folder):
    """Every scalar of the event files of a folder: name -> (step, value, wall time)."""
    tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator",
                                      reason="event files need the extra tensorboard")
    from tensorboard.util import tensor_util

    found = tensorboard.EventAccumulator(str(folder), {"tensors": 0})
    found.Reload()
    return {name: [(event.step, float(tensor_util.make_ndarray(event.tensor_proto)), event.wall_time)
                   for event in found.Tensors(name)] for name in found.Tags()["tensors"]}


def test_tensorboard_reads_back_every_point_also_after_a_second_export():
    pytest.importorskip("tensorboard", reason="event files need the extra tensorboard")
    run = live().run(folder="runs")
    before = content(run.path)
    for _ in range(2):
        facts = export(run.path)
    assert content(run.path) == before
    assert facts["look"] == f"tensorboard --logdir {facts['to']}"
    assert Path(facts["to"]) == run.path.absolute().with_suffix(".tensorboard")
    found = events(facts["to"])
    expected = Scalars(run).look(whole=True)
    assert set(found) == {point.name for point in expected}
    for name, rows in found.items():
        wanted = [(point.at, np.float32(point.value), point.time * 1e-9) for point in expected if point.name == name]
        assert rows == wanted


def test_a_disk_that_is_full_is_told():
    pytest.importorskip("tensorboard", reason="event files need the extra tensorboard")
    run = live().run(folder="runs")
    before = content(run.path)
    done = subprocess.run([*STIMLOOP, "export", str(run.path), "--to", "tensorboard", "--out", "events"],
                          capture_output=True, text=True, check=False, timeout=100, env={**os.environ},
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)))
    assert done.returncode == 1, done.stderr
    assert "takes nothing more" in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1], "after whatever TensorBoard's own thread says of it"
    assert content(run.path) == before


# -- W&B ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wandb(monkeypatch):
    """A module in W&B's place that keeps what it is told."""
    fake = types.ModuleType("wandb")
    fake.rows, fake.metrics, fake.finished, fake.broken = [], [], 0, ""

    class FakeRun:
        url = None
        dir = "there/wandb/offline-run-1/files"

        def define_metric(self, name, step_metric=None):
            fake.metrics.append((name, step_metric))

        def log(self, row):
            if fake.broken == "log":
                raise ConnectionError("the network is down")
            fake.rows.append(row)

        def finish(self):
            fake.finished += 1

    def init(**options):
        if fake.broken == "init":
            raise RuntimeError("api_key not configured")
        fake.options = options
        return FakeRun()

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


def test_wandb_gets_every_point_over_steps(wandb, monkeypatch):
    run = live().run(folder="runs")
    facts = export(run.path, to="wandb")
    assert wandb.metrics == [("steps", None), ("*", "steps")]
    assert wandb.finished == 1
    assert facts["look"] == "wandb sync there/wandb/offline-run-1"
    assert wandb.options["id"] == run.attributes["id"], "the same at each export, so that W&B holds the run once"
    assert wandb.options["project"] == "live"
    assert "resume" not in wandb.options
    expected = Scalars(run).look(whole=True)
    told = [(name, row["steps"], value) for row in wandb.rows for name, value in row.items() if name != "steps"]
    assert sorted(told) == sorted((point.name, point.at, point.value) for point in expected)
    monkeypatch.setenv("WANDB_PROJECT", "of mine")
    export(run.path, to="wandb")
    assert wandb.options["project"] == "of mine"


@pytest.mark.parametrize("broken", ["init", "log"])
def test_wandb_that_fails_is_told_and_harms_nothing(wandb, broken):
    run = live().run(folder="runs")
    before = content(run.path)
    wandb.broken = broken
    said = export(run.path, to="wandb", code=1)["error"]
    assert {"init": "api_key not configured", "log": "the network is down"}[broken] in said
    assert "wandb login" in said
    assert wandb.finished == (broken == "log")
    assert content(run.path) == before


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_single_precision_are_infinite_and_warn_of_nothing():
    pytest.importorskip("tensorboard")
    from stimloop.assemblies.reports.export_tensorboard import TensorBoard
    from stimloop.assemblies.reports.scalars import Point

    run = live().run(show=False)
    sink = TensorBoard(Path("board"), run, Scalars(run))
    sink.write([Point("a/b", 0, i, value) for i, value in enumerate((5e39, -5e39, 3e38))])
    sink.close()
    read = [value for _, value, _ in events("board")["a/b"]]
    assert read[:2] == [np.inf, -np.inf]
    assert read[2] == pytest.approx(3e38)


def test_weights_go_into_a_file_of_weights():
    run = live().run(show=False)
    for to in ("tensorboard", "wandb", "brain"):
        done = CliRunner().invoke(app, ["export", str(run.path), "--weights", "brain", "--to", to])
        assert done.exit_code == 2
        assert "--to FILE.safetensors" in " ".join(done.output.replace("│", " ").split())
        assert not Path(to).exists()
