"""What a run has learned, filmed as it acts anew: the very episodes whose numbers are told."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.assemblies.filming import Film
from stimloop.assemblies.reports import video
from stimloop.components.parts import rendering
from stimloop.loops.component import Inputs
from stimloop.loops.errors import RunError
from stimloop.loops.lanes import Lanes

from .test_play import MOVING, Blind, frames, made

TRIAL = {"every": "1000 steps", "episodes": 3, "seeds": 5, "at_start": False}


def still():
    """A hand that is told nothing."""
    return (sl.Assembly("still", until="2 steps").add("body", "bodies.hand_valve", max_steps=3, inputs=["brain.action"])
            .add("brain", "basics.silence", inputs=["body.status"]))


def evaluated(run, *words):
    done = CliRunner().invoke(app, ["evaluate", str(run.path), *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["test"]


@pytest.mark.parametrize("explore", ["--explore", "--no-explore"])
@pytest.mark.parametrize("kind", MOVING)
def test_a_film_shows_the_episodes_whose_numbers_are_told(kind, explore, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    if kind == "pendulum":
        pytest.importorskip("pygame")
    run = made(kind, evaluate={"test": TRIAL}).run(folder=tmp_path)
    plain = evaluated(run, explore)
    filmed = evaluated(run, explore, "--video", str(tmp_path / "a.mp4"), "--size", "320x240")
    assert {**filmed, "video": None, "wall": None} == {**plain, "video": None, "wall": None}, "to the last bit"
    assert len(set(plain["return"])) == (1 if kind == "pole" else 3), "a pole is paid for each step"
    seen = frames(filmed["video"]["video"])
    assert len(seen) == filmed["video"]["frames"] == sum(plain["length"]) + 3, "each step, and each beginning"
    assert max(np.abs(each[16:] - seen[0][16:]).max() for each in seen) > 60, "something moved, below the words"


def test_a_film_at_another_speed_and_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made().run(folder="runs")
    words = ["evaluate", str(run.path), "--episodes", "2", "--video", "a.mp4", "--speed", "4"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "a.mp4: 4 frames, 0.1 s", "of 16 ticks of 20 ms each fourth, at 50 a second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "runs"]


def test_a_film_tells_the_current(tmp_path, monkeypatch):
    heard = ["body.observation", "body.status", "stimulator.current"]
    run = (made().set("brain.inputs", heard).add("command", "basics.constant", value=[2.0, 0.0])
           .add("limiter", "links.safety_limiter", peak=5, inputs=[{"command": "command.output"}])
           .add("stimulator", "stimulators.electrode_field", inputs=["limiter.command"])).run(folder=tmp_path)
    told = []
    monkeypatch.setattr(video.Video, "add", lambda self, picture, words: told.append(words))
    evaluated(run, "--episodes", "1", "--video", "a.mp4")
    assert told[3][1].startswith("reward ")
    assert told[3][2].startswith("stimulator.current up to ")


def test_each_film_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made(evaluate={"test": TRIAL, "other": TRIAL}).run(folder="runs")

    def refused(*words, code=1):
        done = CliRunner().invoke(app, ["evaluate", str(run.path), *words])
        assert done.exit_code == code, done.exception
        return done.stderr

    assert "a video is of one evaluation; say which: --name test or --name other" in refused("--video", "a.mp4")
    one = ["--name", "test", "--video"]
    assert "--video: 'a.avi' is no name of a video" in refused(*one, "a.avi")
    assert "Write width and height in pixels" in refused(*one, "a.mp4", "--size", "4x4")
    assert "Write a number above 0" in refused(*one, "a.mp4", "--speed", "0")
    assert "go with --video FILE.mp4" in refused("--size", "320x240", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_body_that_cannot_be_drawn_is_refused_before_it_begins(tmp_path):
    blind = sl.Assembly("blind", evaluate={"test": TRIAL}).add("body", Blind, inputs=["brain.action"])
    with blind.add("brain", "brains.mlp", inputs=["body.observation", "body.status"]).build() as loop:
        trial = loop.evaluations["test"]
        with pytest.raises(RunError, match=r"body \(Blind\) cannot be shown: it has no method `frame"):
            Film(tmp_path / "a.mp4").of(trial)
        assert not trial.rows


def test_a_film_where_nothing_can_be_drawn_says_what_to_install(tmp_path, monkeypatch):
    mujoco = pytest.importorskip("mujoco")
    run = still().run(folder=tmp_path)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.setattr(rendering, "works", lambda way: False)
    monkeypatch.setattr(mujoco, "Renderer", None)
    done = CliRunner().invoke(app, ["evaluate", str(run.path), "--episodes", "1", "--video", str(tmp_path / "a.mp4")])
    assert done.exit_code == 1
    assert "libosmesa6" in done.stderr
    assert not list(tmp_path.glob("*.mp4"))


def test_what_draws_is_let_go_when_the_next_episode_is_filmed(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    run = still().run(folder=tmp_path)
    alive, most = set(), []

    class Fake:
        def __init__(self, model, name):
            self.close = lambda: alive.discard(self)

        def take(self, data, width, height):
            alive.add(self)
            most.append(len(alive))
            return np.zeros((height, width, 3), np.uint8)

    monkeypatch.setattr(rendering, "Camera", Fake)
    found = evaluated(run, "--episodes", "4", "--video", str(tmp_path / "a.mp4"))
    assert len(most) == found["video"]["frames"]
    assert set(most) == {1}
    assert not alive


def test_an_environment_that_was_drawn_is_let_go_when_it_is_reset():
    pytest.importorskip("pygame")
    from stimloop.components.bodies.gymnasium_env import GymnasiumEnv

    body = GymnasiumEnv(env="Pendulum-v1", max_steps=5)
    body.build(Lanes.of(3), 0)
    body.step(0, Inputs({"action": np.zeros((3, 1), np.float32)}))
    body.frame(1, 64, 64)
    assert [env.render_mode for env in body._envs] == [None, "rgb_array", None]
    body.reset(0)
    assert [env.render_mode for env in body._envs] == [None] * 3
    body.step(0, Inputs({"action": np.zeros((3, 1), np.float32)}))
    assert body.frame(1, 64, 64).any()
    body.close()
