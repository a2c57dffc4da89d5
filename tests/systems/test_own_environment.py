"""`stimloop new environment` writes files that work as they are; `check-termination` judges rules in words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="the environments of MuJoCo are not installed")

from stimloop.components.parts import allowed
from stimloop.loops.storage.runs import Run

from .commanded import call


@pytest.fixture(autouse=True)
def a_place_of_its_own(in_a_folder_of_its_own):
    yield
    allowed.allow_only(())
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


def its_test(file):
    """Run the test that was written, by the command that it names itself."""
    python, *words = Path(file).read_text().splitlines()[2].split()[:6]
    assert (python, words[-1]) == ("python", file)
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])})


def test_what_is_written_agrees_checks_runs_and_tests():
    told = json.loads(call("new", "environment", "mine_reach", "--json").stdout)
    assert told["files"] == ["mine_reach.yaml", "mine_reach_rules.py", "test_mine_reach_rules.py"]
    found = json.loads(call("check-termination", "InvertedPendulum-v5", "--function", "mine_reach_rules:ended",
                            "--transitions", 1000, "--json").stdout)
    assert found["passed"]
    assert found["ends"] > 10
    call("check", "mine_reach.yaml", "--allow", "mine_reach_rules")
    assert "--allow mine_reach_rules" in call("run", "mine_reach.yaml", "--small", code=1).stderr
    for variant in ("base", "mopac", "sac"):
        facts = json.loads(call("run", "mine_reach.yaml", "--small", "--variant", variant, "--allow",
                                "mine_reach_rules", "--json").stdout)
        assert facts["ended"] == "finished"
        told = json.loads(call("check-termination", "InvertedPendulum-v5", "--run", facts["path"], "--json").stdout)
        assert (told["transitions"], told["passed"]) == (60, True)
        streams = Run(facts["path"]).streams
        fits = streams["learner.model_loss"].rows
        assert (fits > 0) == (variant != "sac"), "a model is fitted, unless real steps alone are learned from"
        plans = "learner.effective_size" in streams and streams["learner.effective_size"].rows > 0
        assert plans == (variant == "mopac")
    done = its_test("test_mine_reach_rules.py")
    assert done.returncode == 0, done.stdout


def test_a_rule_that_is_wrong_is_told_by_exit_code_and_examples():
    Path("mine_rule.py").write_text("def ended(o, a, then):\n    return then[..., 0] < 1.24\n")
    done = call("check-termination", "Hopper-v5", "--function", "mine_rule:ended", "--transitions", 500, code=3)
    assert "FAILED" in done.stdout
    assert "invented: successor [" in done.stdout


_FUNCTIONS = """
import sys


def ended(o, a, then):
    return then < 1.0


def raises(o, a, then):
    return then[..., height] < 1.0


def leaves(o, a, then):
    sys.exit(7)


def writes(o, a, then):
    then[..., 0] = 0
    return then[..., 0] > 1
"""
_ENVS = """
import sys
import gymnasium
from gymnasium.envs.classic_control import PendulumEnv


class Breaks(PendulumEnv):
    def step(self, action):
        return {}["pole"]


class Leaves(PendulumEnv):
    def step(self, action):
        sys.exit(5)


for name, each in (("Breaks-v0", Breaks), ("Leaves-v0", Leaves)):
    if name not in gymnasium.registry:
        gymnasium.register(name, each)
"""


@pytest.mark.parametrize(("words", "said"), [
    (["Swimmer-v5"], "stimloop new environment NAME"), (["Hopper-v5", "--function", "hoper"], 'Did you mean "hopper"'),
    (["Hopper-v3"], "env 'Hopper-v3' cannot be made: The mujoco v2 and v3 based environments have been moved"),
    (["Hopper-v5", "--function", "mine_shape:raises"], "mine_shape:raises fails: NameError: name 'height' is not "),
    (["Hopper-v5", "--function", "mine_shape:leaves"], "mine_shape:leaves fails: it called sys.exit(7) (mine_shape"),
    (["Hopper-v5", "--function", "mine_shape:writes"], "mine_shape:writes changes the successor that it is given"),
    (["mine_envs:Leaves-v0", "--function", "never"], "mine_envs:Leaves-v0 called sys.exit(5)"),
    (["mine_envs:Breaks-v0", "--function", "never"], "step of mine_envs:Breaks-v0 raised KeyError: 'pole' (mine_envs"),
    (["Hopper-v5", "--function", "mine_nowhere:f"], "no module 'mine_nowhere'"),
    (["Pendulum-v1", "--function", "hand_gait"], "hand_gait reads 12 numbers of an observation, and this one has 3"),
    (["Hopper-v5", "--function", "mine_shape:ended"], "return one bool for each transition")])
def test_what_is_wrong_is_said_in_words(words, said, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine_shape.py").write_text(_FUNCTIONS)
    Path("mine_envs.py").write_text(_ENVS)
    assert said in call("check-termination", *words, "--transitions", 50, code=1).stderr


def test_an_environment_of_ones_own_module(monkeypatch, tmp_path):
    Path("mine_worlds.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv', "
        "max_episode_steps=20)\n")
    monkeypatch.syspath_prepend(tmp_path)
    call("check-termination", "mine_worlds:Mine-v0", "--function", "never", "--transitions", 50)
    call("new", "environment", "mine_thing", "--env", "mine_worlds:Mine-v0")
    assert "import mine_worlds" in Path("test_mine_thing_rules.py").read_text()
    assert 'compare("Mine-v0"' in Path("test_mine_thing_rules.py").read_text()
    assert "--allow mine_worlds --allow mine_thing_rules" in Path("mine_thing.yaml").read_text()
    Path("mine_thing_rules.py").write_text("def ended(o, a, then):\n    return then[..., 0] < -2\n")
    call("run", "mine_thing.yaml", "--small", "--allow", "mine_worlds", "--allow", "mine_thing_rules")


def test_the_skeleton_of_a_car_fails_and_its_right_rule_passes_its_own_test():
    files = json.loads(call("new", "environment", "mine_car", "--env", "MountainCarContinuous-v0", "--json").stdout)
    check = ["check-termination", "MountainCarContinuous-v0", "--function", "mine_car_rules:ended", "--transitions"]
    assert "NOT TESTED" in call(*check, 200, code=3).stdout
    assert "FAILED" in call(*check, 2000, code=3).stdout
    assert its_test(files["files"][-1]).returncode == 1
    Path("mine_car_rules.py").write_text("def ended(o, a, then):\n    return then[..., 0] >= 0.45\n")
    done = its_test(files["files"][-1])
    assert done.returncode == 0, done.stdout


def test_a_class_that_nobody_registered_is_told_how_that_is_done(monkeypatch, tmp_path):
    Path("mine_classes.py").write_text("from gymnasium.envs.classic_control import PendulumEnv\n\n\n"
                                       "class Reach(PendulumEnv):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = "gymnasium.register('Reach-v0', entry_point='mine_classes:Reach', max_episode_steps=200), and write env:"
    assert told in call("new", "environment", "mine_one", "--env", "mine_classes:Reach", code=1).stderr
    call("new", "environment", "mine_one", code=0)
    assert told in call("run", "mine_one.yaml", "--small", "--allow", "mine_one_rules", "--allow", "mine_classes",
                        "--set", "body.params.env=mine_classes:Reach", code=1).stderr
    with Path("mine_classes.py").open("a") as file:
        file.write("\n\nimport gymnasium\n\ngymnasium.register('Reach-v0', entry_point='mine_classes:Reach', "
                   "max_episode_steps=200)\n")
    del sys.modules["mine_classes"]
    said = call("new", "environment", "mine_two", "--env", "mine_classes:Grasp-v0", code=1).stderr
    assert "mine_classes registers no environment 'Grasp-v0'. It registers Reach-v0" in said
    call("new", "environment", "mine_two", "--env", "mine_classes:Reach-v0")


@pytest.mark.parametrize(("words", "said"), [(["os"], "cannot name a module"), (["Mine"], "cannot name a module"),
                                             (["mine", "--env", "a b"], "no id of a Gymnasium environment"),
                                             (["mine", "--env", "NoSuch-v9"], "'NoSuch-v9' is not registered"),
                                             (["mine", "--env", "CartPole-v1"], "the action of CartPole-v1 is Disc")])
def test_names_that_cannot_be_are_refused_and_nothing_is_written(words, said, tmp_path):
    assert said in call("new", "environment", *words, code=1).stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten():
    Path("test_mine_rules.py").write_text("kept")
    call("new", "environment", "mine", code=1)
    assert Path("test_mine_rules.py").read_text() == "kept"
    assert not Path("mine.yaml").exists()
