"""A run played again: its body does bit for bit what was recorded, and is seen doing it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import settings
from stimloop.assemblies.cli import app
from stimloop.assemblies.playing import play
from stimloop.assemblies.replaying import Replay
from stimloop.assemblies.reports import video
from stimloop.components.parts import rendering
from stimloop.components.parts.episodes import Episodes, episode_seed
from stimloop.components.parts.roles import Rendered
from stimloop.loops.component import Inputs
from stimloop.loops.errors import AssemblyError, RunError
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import status_input

MOVING = {"point": ("bodies.point_mass", {"max_steps": 7}), "pole": ("bodies.cartpole", {"max_steps": 9}),
          "pendulum": ("bodies.gymnasium_env", {"env": "Pendulum-v1", "max_steps": 8})}


def made(kind="point", until="30 steps", **entries):
    """A body moved by a brain that acts at random."""
    name, params = MOVING[kind]
    return (sl.Assembly("moving", until=until, **entries).add("body", name, inputs=["brain.action"], **params)
            .add("brain", "brains.mlp", hidden=[8], explore=True, inputs=["body.observation", "body.status"]))


def replayed(run, **which):
    """Play every episode of a lane; return the ticks and the first difference."""
    replay = Replay(run, settings.read(), **which)
    ticks = [tick for episode in replay.episodes for tick in replay.play(episode)]
    replay.close()
    return ticks, replay.difference


def frames(path):
    import imageio.v2 as imageio

    with imageio.get_reader(path) as reader:
        return [frame[::4, ::4].astype(int) for frame in reader]


def test_a_run_without_a_tick_is_told(tmp_path):
    run = made().run("0 steps", folder=tmp_path)
    with pytest.raises(RunError, match="holds no tick of body: it ended before the first"):
        play(run.path)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("restart", ["next_tick", "at_once"])
def test_a_replay_is_what_was_recorded(kind, restart, tmp_path):
    if kind == "pendulum":
        pytest.importorskip("gymnasium")
    run = made(kind, lanes=3).set("body.params.restart", restart).run(folder=tmp_path)
    for lane in range(3):
        ticks, difference = replayed(run, lane=lane)
        assert difference == ""
        assert len(ticks) >= len(run["body.status"])


def test_a_wire_that_is_late_or_read_now_is_played_as_it_was(tmp_path):
    for changes in ({"delay": "30 ms"}, {"reads": "now"}):
        made_so = made().set({f"body.inputs.action.{key}": value for key, value in changes.items()})
        if "reads" in changes:  # no loop within an instant: the brain answers to what it saw before
            made_so = made_so.set("brain.inputs.observation.delay", "1 ms").set("brain.inputs.status.delay", "1 ms")
        run = made_so.run(folder=tmp_path)
        assert replayed(run)[1] == ""


def test_episodes_begin_from_the_seeds_that_the_body_drew():
    drawn = Episodes(Lanes.of(3, 4), 11)
    for number in range(4):
        drawn.open(Inputs())  # begins
        assert [episode_seed(11, 4 + lane, number) for lane in range(3)] == drawn.seeds.tolist()
        drawn.close()
        drawn.open(Inputs())
        drawn.close(np.ones(3, bool))  # ends


class Beginner(sl.Component):
    """Begins the next episode of each lane 40 ms after the last has ended, with seeds that count up."""

    random = True

    def __init__(self):
        self.inputs = {"status": status_input(reads="now", wakes=True)}
        self.outputs = {"begin": sl.Port("seed", (), dtype="int64", low=0, kind="event")}
        self.period, self.sent = 40_000_000, 100

    def step(self, now, inputs):
        lanes = np.flatnonzero(inputs["status"] >= 2) if now else np.arange(self.lanes.count)
        if now % self.period or not len(lanes):
            return {}
        self.sent += len(lanes)
        return {"begin": sl.Events.of(now, lanes, 0, self.sent - np.arange(len(lanes)), "int64")}


def test_seeds_that_were_sent_are_those_recorded(tmp_path):
    begun = made(lanes=2, until="1 s").add("beginner", Beginner, inputs=[{"status": {"from": "body.status",
                                                                                    "delay": "1 ms"}}])
    run = begun.set("body.inputs.begin", "beginner.begin").run(folder=tmp_path, allowed=None)
    assert len(run.episodes()) > 4
    for lane in range(2):
        assert replayed(run, lane=lane)[1] == ""
    unknown = begun.set({"body.inputs.begin": "beginner.begin", "record": ["body", "brain"]}).run(folder=tmp_path)
    with pytest.raises(RunError, match=r"has not recorded beginner.begin, the seeds of its episodes"):
        replayed(unknown)


def test_what_differs_is_told_by_its_first_step(tmp_path):
    run = made().run(folder=tmp_path)
    replay = Replay(run, settings.read())
    replay.body.strength *= 1.5  # as another version of the body
    ticks = list(replay.play(replay.episode(1)))
    assert len(ticks) == 8, "all of it is played all the same"
    assert "body shows another observation than was recorded, by up to" in replay.difference
    assert "first at step 1 of episode 1 (180 ms)" in replay.difference


def test_a_replay_that_ends_early_is_told(tmp_path):
    run = made().run(folder=tmp_path)
    replay = Replay(run, settings.read())
    replay.body.episodes.limit = 3
    assert len(list(replay.play(replay.episode(0)))) == 4
    assert "is over there, but goes on in the record, first at step 4 of episode 0" in replay.difference


def test_the_healthy_elbow_is_played_faithfully(tmp_path):
    pytest.importorskip("myosuite")
    pytest.importorskip("torch")
    run = sl.load("healthy_elbow").small().run(folder=tmp_path)
    ticks, difference = replayed(run)
    assert difference == ""
    assert len(ticks) == len(run["body.status"])


@pytest.mark.parametrize("kind", MOVING)
def test_a_video_shows_each_tick(kind, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    if kind == "pendulum":
        pytest.importorskip("pygame")
    run = made(kind).run(folder=tmp_path)
    facts = play(run.path, tmp_path / "shown.mp4", size="320x240")
    assert facts["differs"] == ""
    seen = frames(facts["video"])
    assert len(seen) == facts["frames"] == len(run["body.status"])
    assert seen[0].shape == (60, 80, 3)
    assert np.abs(seen[1] - seen[6]).max() > 60, "something moved"


def test_one_episode_at_another_speed(tmp_path):
    run = made().run(folder=tmp_path)
    facts = play(run.path, episode=-1, speed=4)
    last = run.episodes().iloc[-2]
    assert facts["episodes"] == [last["episode"]] == [3]
    assert facts["passed_over"] == 4, "in its middle the run stopped"
    assert (facts["frames_per_second"], facts["frames"]) == (50, (last["length"] + 4) // 4)
    assert facts["video"] == str(run.path.with_name(f"{run.name}.episode_{last['episode']}.mp4"))
    assert not list(run.path.parent.glob(".*part*"))


def test_the_last_episode_is_the_last_that_is_over(tmp_path, monkeypatch):
    """Of 30 steps in episodes of 7, two belong to the fifth."""
    monkeypatch.chdir(tmp_path)
    run = made().run(folder="runs")
    assert list(run.episodes()["how"]) == ["truncated"] * 4 + ["running"]
    done = CliRunner().invoke(app, ["play", str(run.path), "--episode", "-1", "--size", "32x32"])
    assert done.stderr == ("notice: the run stopped in the middle of episode 4; shown is the last that is over, 3 "
                           "(--episode 4 shows the other)\n")
    assert ".episode_3.mp4" in done.stdout
    facts = play(run.path, episode=4, size="32x32")
    assert (facts["episodes"], facts["passed_over"]) == ([4], None)
    whole = made(until="28 steps").run(folder="runs")
    facts = play(whole.path, episode=-1, size="32x32")
    assert (facts["episodes"], facts["passed_over"]) == ([3], None)


def test_where_no_episode_is_over_the_last_is_refused(tmp_path):
    run = made(until="5 steps").run(folder=tmp_path)
    with pytest.raises(RunError, match=r"no episode of .* is over in lane 0: .*--episode 0"):
        play(run.path, episode=-1)
    assert play(run.path, episode=0, size="32x32")["frames"] == 6


def test_each_choice_of_what_is_shown_has_a_file_of_its_own_beside_the_run(tmp_path):
    run = made().set("lanes", 2).run(folder=tmp_path)
    choices = [{}, {"episode": 0}, {"episode": 1}, {"lane": 1}, {"episode": 1, "lane": 1}]
    found = [play(run.path, **choice, size="32x32") for choice in choices]
    assert [str(facts["video"]).removeprefix(str(run.path.with_suffix(""))) for facts in found] == [
        ".mp4", ".episode_0.mp4", ".episode_1.mp4", ".lane_1.mp4", ".lane_1.episode_1.mp4"]
    assert [facts["replaced"] for facts in found] == [False] * 5
    again = play(run.path, episode=1, size="32x32")
    assert again["replaced"]
    assert video.told(again).endswith(" s, in place of the one that was there")


def test_the_words_tell_time_reward_and_current(tmp_path, monkeypatch):
    heard = ["body.observation", "body.status", "stimulator.current"]
    run = (made().set("brain.inputs", heard).add("command", "basics.constant", value=[2.0, 0.0])
           .add("limiter", "links.safety_limiter", peak=5, inputs=[{"command": "command.output"}])
           .add("stimulator", "stimulators.electrode_field", inputs=["limiter.command"])).run(folder=tmp_path)
    told = []
    monkeypatch.setattr(video.Video, "add", lambda self, picture, words: told.append(words))
    play(run.path, episode=1)
    assert told[0][0] == "body, episode 1, 0.160 s"
    assert told[0][1] == "reward 0"
    assert told[0][2].startswith("stimulator.current up to ")


def test_the_elbow_is_seen(tmp_path):
    pytest.importorskip("myosuite")
    pytest.importorskip("torch")
    way = next(filter(rendering.works, rendering.WAYS), None)
    if way is None:
        pytest.skip("MuJoCo can draw neither by EGL nor by OSMesa on this machine")
    run = sl.load("healthy_elbow").small().set("until", "30 steps").run(folder=tmp_path)
    command = [sys.executable, "-m", "stimloop.assemblies.cli", "play", str(run.path), "--to", str(tmp_path / "e.mp4"),
               "--json"]  # in a process of its own: how MuJoCo draws is chosen before it is imported
    quiet = {key: value for key, value in os.environ.items() if key != rendering.CHOICE}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["frames"] == 31
    assert facts["differs"] == ""
    seen = frames(facts["video"])
    assert np.abs(seen[1][20:] - seen[-1][20:]).max() > 20, "the arm moved, below the words"


def test_the_elbow_is_filmed_with_any_renderer(tmp_path, monkeypatch):
    pytest.importorskip("myosuite")
    pytest.importorskip("torch")
    run = sl.load("healthy_elbow").small().set("until", "10 steps").run(folder=tmp_path)
    asked = []

    class Fake:
        def __init__(self, model, name):
            asked.append(name)

        def take(self, data, width, height):
            asked.append(float(data.qpos[0]))
            return np.zeros((height, width, 3), np.uint8)

        def close(self):
            asked.append("closed")

    monkeypatch.setattr(rendering, "Camera", Fake)
    assert play(run.path)["frames"] == 11
    assert asked[0] is None
    assert asked[-1] == "closed"
    assert len(set(asked[1:-1])) == 11, "each picture is of another instant"


def test_without_a_renderer_it_says_what_to_install(monkeypatch):
    mujoco = pytest.importorskip("mujoco")
    world = mujoco.MjModel.from_xml_string("<mujoco/>")
    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.setattr(rendering, "works", lambda way: False)
    monkeypatch.setattr(mujoco, "Renderer", None)
    with pytest.raises(RunError, match=r"libegl1 .*libosmesa6.*MUJOCO_GL=egl"):
        rendering.Camera(world, None).take(mujoco.MjData(world), 32, 32)
    monkeypatch.setattr(rendering, "works", lambda way: way == "osmesa")
    with pytest.raises(RunError, match=r"began with MUJOCO_GL=disable; osmesa works here: set MUJOCO_GL=osmesa"):
        rendering.Camera(world, None).take(mujoco.MjData(world), 32, 32)
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert "MUJOCO_GL=glfw does not work" in rendering.doubt()


def test_the_way_of_drawing_is_chosen_once_and_only_where_the_user_has_not(monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.setattr(rendering, "works", lambda way: way == "osmesa")
    monkeypatch.setitem(sys.modules, "mujoco", None)
    monkeypatch.delitem(sys.modules, "mujoco")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    rendering.choose()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "disable")
    rendering.choose()
    assert os.environ["MUJOCO_GL"] == "disable"


class Blind(sl.Component):
    """A body without a look."""

    def __init__(self):
        from stimloop.components.bodies.point_mass import PointMass

        inner = PointMass(max_steps=5)
        self.inputs, self.outputs, self.period, self._inner = inner.inputs, inner.outputs, inner.period, inner

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self._inner.build(lanes, seed)

    def reset(self, seed):
        self._inner.reset(seed)

    def step(self, now, inputs):
        return self._inner.step(now, inputs)


def test_each_refusal_says_why_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made(lanes=2).run(folder="runs")
    with pytest.raises(RunError, match=r"has no episode 9 in lane 1: it has 0 to \d \(-1: the last that is over\)"):
        play(run.path, episode=9, lane=1)
    with pytest.raises(RunError, match="has no lane 2; it has 2, numbered from 0"):
        play(run.path, lane=2)
    for size in ("big", "101x200", "4x4", "640"):
        with pytest.raises(AssemblyError, match="Write width and height in pixels"):
            play(run.path, size=size)
    for speed in (0, -1, float("nan")):
        with pytest.raises(AssemblyError, match="Write a number above 0"):
            play(run.path, speed=speed)
    with pytest.raises(AssemblyError, match=r"End it in \.mp4"):
        play(run.path, tmp_path / "a.avi")
    with pytest.raises(RunError, match="cannot be written"):
        play(run.path, tmp_path / "nowhere" / "a.mp4")
    silent = made().set("record", ["body"]).run(folder="runs")
    with pytest.raises(RunError, match=r"has not recorded brain.action, its action, .*record: \[brain.action, body\]"):
        play(silent.path)
    with pytest.raises(RunError, match="holds no body"):
        play(made().set("record", ["brain"]).run(folder="runs").path)


def test_a_body_that_cannot_be_drawn_is_refused(tmp_path, monkeypatch):
    run = made().run(folder=tmp_path)
    monkeypatch.setattr("stimloop.assemblies.replaying.make_body", lambda run, name, allowed: (Blind(), 0))
    assert not isinstance(Blind(), Rendered)
    with pytest.raises(RunError, match=r"body \(Blind\) cannot be shown: it has no method `frame"):
        play(run.path)


def test_an_environment_without_pictures_is_refused(tmp_path):
    gymnasium = pytest.importorskip("gymnasium")
    run = made("pendulum").run(folder=tmp_path)
    from gymnasium.envs.classic_control.pendulum import PendulumEnv

    modes = PendulumEnv.metadata["render_modes"]
    try:
        PendulumEnv.metadata["render_modes"] = ["human"]
        with pytest.raises(RunError, match=r"Pendulum-v1 cannot be drawn into a picture: .*only human"):
            play(run.path)
    finally:
        PendulumEnv.metadata["render_modes"] = modes
    assert gymnasium.__version__


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made().run(folder="runs")
    done = CliRunner().invoke(app, ["play", str(run.path), "--to", "a.mp4", "--episode", "0", "--size", "320x240"])
    assert (done.exit_code, done.stdout) == (0, "a.mp4: 8 frames, 0.2 s\n")
    monkeypatch.setattr("stimloop.assemblies.replaying.derive", lambda seed, name: 12345)  # other seeds, other starts
    done = CliRunner().invoke(app, ["play", str(run.path), "--to", "b.mp4", "--episode", "0"])
    assert done.exit_code == 3
    assert "first at step 0 of episode 0 (0)" in done.stderr
    assert (tmp_path / "b.mp4").is_file()
