"""The command line, as a user meets it: in processes of its own where signals and imports matter, else in this one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stimloop.assemblies.study import shipped

from .commanded import call, value

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]
SLOW = """
name: slow
until: 100000 s
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
"""


@pytest.fixture(autouse=True)
def a_place_of_its_own(in_a_folder_of_its_own, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")


def one_run(**options):
    return value("run", "point_mass", "--small", *[w for k, v in options.items() for w in (f"--{k}", v)])["path"]


def test_help_is_light_and_has_examples():
    code = ("import sys\nfrom stimloop.assemblies.cli import app\n"
            "from typer.testing import CliRunner\nout = CliRunner().invoke(app, ['--help']).output\n"
            "heavy = {'torch', 'mujoco', 'numpy', 'zarr', 'xarray', 'pandas', 'pydantic', 'yaml', 'gymnasium'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\nprint(out)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout
    for command in ("run", "resume", "evaluate", "list", "show", "check", "compare", "report", "play", "export", "new"):
        assert command in done.stdout
        if command != "new":
            assert "Example:" in call(command, "--help").stdout


def test_run_records_and_says_where():
    done = call("run", "point_mass", "--small", "--out", "here")
    path = Path(done.stdout.strip().splitlines()[-1])
    assert path.is_dir()
    assert path.parent == Path("here/point_mass")
    assert "steps/s" in done.stdout
    assert "real time" in done.stdout
    assert done.stderr == "", "quiet where there is no terminal"
    facts = value("run", "point_mass", "--small", "--variant", "silent", "--set", "seed=4", "--profile")
    assert facts["ended"] == "finished"
    assert "_silent_small_s4_" in facts["path"]
    assert {row["component"] for row in facts["profile"]} >= {"body", "brain"}


def test_dry_and_trace_record_nothing():
    assert "until: 2 episodes" in call("run", "point_mass", "--small", "--dry").stdout
    lines = call("run", "point_mass", "--small", "--trace", "2").stdout.splitlines()
    assert lines[0].split() == ["time", "port", "value"]
    assert {line.split("  ")[0] for line in lines[1:]} == {"0", "20 ms"}
    assert not Path("runs").exists()


def test_errors_are_words_and_exit_codes():
    done = call("run", "point_mas", code=1)
    assert 'Did you mean "point_mass"?' in done.stderr
    assert "Traceback" not in done.stderr
    assert 'Did you mean "late"' in call("run", "point_mass", "--variant", "lat", code=1).stderr
    wrong = value("run", "point_mass", "--set", "brain.params.hiden=3", code=1)
    assert wrong["problems"][0]["where"].startswith("brain.params.hiden (point_mass.yaml:")
    assert wrong["problems"][0]["fix"] == 'Did you mean "hidden"?'
    assert call("rnu", code=2).stderr
    assert "address=value" in call("run", "point_mass", "--set", "x", code=1).stderr
    assert "no run" in call("show", ".", code=1).stderr
    assert "no run" in call("resume", ".", code=1).stderr
    assert "can be listed" in call("list", "dreams", code=1).stderr


def test_list_and_show():
    names = {row["name"] for row in value("list")}
    assert names >= {"elbow_stimulation", "cartpole_first", "pendulum_first", "point_mass"}
    rows = value("list", "components")
    assert {row["name"] for row in rows} >= {"brains.mlp", "basics.silence"}
    assert all(row["about"] and "not in the index" not in row["about"] for row in rows)
    told = {row["name"]: bool(row["about"]) for row in value("list", "studies")}
    assert told == dict.fromkeys(shipped(), True)
    assert "first_coprocessor" in told
    path = one_run()
    assert [row["path"] for row in value("list", "runs")] == [path]
    shown = value("show", path)
    assert shown["state"] == "finished"
    assert "brain.action" in {row["port"] for row in shown["streams"]}
    assert "observation" in call("show", "bodies.point_mass").stdout
    assert "point_mass" in call("show", "bodies.pointmass", code=1).stderr
    text = call("show", "pendulum_first", "--latency", "--schedule").stdout
    assert "latency of each closed chain" in text
    assert "0 body" in text
    facts = value("show", "pendulum_first", "--latency")
    assert facts["latency"][0]["nominal_ns"] == 0
    assert facts["order"].index("limiter") < facts["order"].index("stimulator") < facts["order"].index("brain")


def test_check_new_and_allow():
    assert "wrote my_filter.py" in call("new", "component", "my_filter").stdout
    assert "exists already" in call("new", "component", "my_filter", code=1).stderr
    done = call("check", "my_filter:MyFilter", "--examples", "2")
    assert "fail" not in done.stdout.lower().replace("failed: none", "")
    Path("a.yaml").write_text("""
name: a
until: 1 s
components:
  source: {type: basics.constant, params: {value: [1], period: 20 ms}}
  x: {type: 'my_filter:MyFilter', inputs: [{input: source.output}]}
  y: {type: basics.gain, inputs: [{input: x.output}]}
""")
    assert "--allow my_filter" in call("run", "a.yaml", code=1).stderr
    assert value("run", "a.yaml", "--allow", "my_filter")["ended"] == "finished"
    Path("stimloop.toml").write_text('allow = ["my_filter"]\nruns = "elsewhere"\n')
    assert value("run", "a.yaml")["path"].startswith(str(Path.cwd() / "elsewhere"))
    assert call("check", "a.yaml").stdout.strip().endswith("no errors")
    Path("b.yaml").write_text("name: b\ncomponents: {x: {type: basics.gain}}\n")
    assert "is not wired" in call("check", "b.yaml", code=3).stdout


def test_a_broken_component_fails_the_check():
    call("new", "component", "broken")
    source = Path("broken.py").read_text()
    Path("broken.py").write_text(source.replace('{"smooth": self._smooth.copy()}', "{}"))
    found = value("check", "broken:Broken", "--examples", "3", code=3)
    assert not found["ok"]
    assert found["failed"]


def test_resume_evaluate_compare_export():
    first = value("run", "point_mass", "--small", "--until", "40 steps")["path"]
    facts = value("resume", first, "--until", "2 episodes")
    assert facts["ended"] == "finished"
    second = one_run()
    same = value("compare", first, second)
    assert same["equal"]
    assert same["addresses"].keys() <= {"until"}
    third = one_run(variant="silent")
    other = value("compare", second, third, code=3)
    assert other["parts"] == {"time_ns": 0, "port": "brain.action"}
    assert "brain.type" in other["addresses"]
    words = call("compare", second, third, code=3).stdout
    assert re.search(r"length \(mean\) +steps +[0-9.]+ +[0-9.]+", words), "a result has its unit beside it"
    assert re.search(r"return \(mean\) +a\.u\. +-?[0-9.]+ +-?[0-9.]+", words)
    assert value("evaluate", second, "--set", "evaluate.test={every: 1 episode, episodes: 2}")["test"]["length"]
    files = value("export", second, "--to", "out")["files"]
    assert {"out/body.reward.npz", "out/episodes.csv", "out/attributes.json"} <= set(files)
    assert "exists already" in call("export", second, "--to", "out", code=1).stderr


def test_report():
    pytest.importorskip("matplotlib")
    path = value("report", one_run())["report"]
    assert "medical" in Path(path).read_text()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_saves_and_stops(name):
    Path("slow.yaml").write_text(SLOW)
    process = subprocess.Popen([*STIMLOOP, "run", "slow.yaml", "--json"], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until the first rows are there: then it runs, and listens to signals
        if any(path.stat().st_size > 1000 for path in Path("runs").glob("slow/*/tail.bin")):
            break
        time.sleep(0.05)
    os.kill(process.pid, getattr(signal, name))
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    facts = json.loads(out)
    assert facts["ended"] == "interrupted"
    assert facts["steps_per_s" if "steps_per_s" in facts else "real_time_factor"] > 0
    assert value("show", facts["path"])["state"] == "interrupted"
    more = value("resume", facts["path"], "--until", f"{int(facts['simulated_s']) + 2} s")
    assert more["ended"] == "finished"


def test_progress_on_a_terminal_only(monkeypatch):
    from stimloop.assemblies import execute
    from stimloop.assemblies.loading import load

    shown = []
    monkeypatch.setattr("stimloop.assemblies.progress.Progress._open", lambda self: shown.append(self) or Bar())
    execute.start(load("point_mass").small(), show=True)
    assert shown
    shown.clear()
    execute.start(load("point_mass").small())
    assert not shown


class Bar:
    """Takes what the progress says."""

    def update(self, task, **facts):
        assert "real time" in facts["text"]

    def stop(self):
        self.update(0, text="real time")


@pytest.mark.parametrize("what", ["elbow_stimulation", "mopac_hand_valve", "drawn.yaml"])
def test_a_way_of_drawing_that_does_not_work_is_no_traceback_where_nothing_is_drawn(what, monkeypatch):
    pytest.importorskip("mujoco")
    if what == "elbow_stimulation":
        pytest.importorskip("myosuite")
    Path("drawn.yaml").write_text("""
name: drawn
until: 2 steps
components: {body: {type: bodies.gymnasium_env, params: {env: InvertedPendulum-v5}, inputs: [brain.action]},
             brain: {type: basics.silence}}
small: {until: 1 steps}
""")
    Path("OpenGL").mkdir()  # what PyOpenGL does where OSMesa is not installed, on machines too where it is
    Path("OpenGL/__init__.py").write_text("None.glGetError\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    done = subprocess.run([*STIMLOOP, "run", what, "--small"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "MuJoCo cannot be imported: AttributeError: 'NoneType' object has no attribute 'glGetError'" in done.stderr
    assert "MUJOCO_GL=osmesa does not work" in done.stderr
    assert "MUJOCO_GL=disable works everywhere" in done.stderr
