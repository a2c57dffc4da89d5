"""Words on the command line, and files, that cannot be meant: each is told in words, none ends in a traceback."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.loops.errors import AssemblyError, TimeError

SMALL = ("run", "point_mass", "--small", "--until", "40 ms")
NUL, LONG = "a\0b", "x" * 5000


pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def told(*words, code=1):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == code, done.output
    return " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(("words", "code", "said"), [
    ((*SMALL, "--trace", "-1"), 2, "Invalid value for '--trace'"),
    ((*SMALL, "--speed", "-1"), 1, "it must be above 0"),
    ((*SMALL, "--speed", "0"), 1, "it must be above 0"),
    ((*SMALL, "--speed", "nan"), 1, "it must be above 0"),
    ((*SMALL, "--speed", "inf"), 1, "from 1e-06 to 1e+06"),
    ((*SMALL, "--speed", "1e300"), 1, "from 1e-06 to 1e+06"),
    ((*SMALL, "--set", "brain.params.hidden=[1000000000, 1000000000]"), 1, "Unable to allocate"),
    (("check", "basics.gain", "--examples", "0"), 2, "Invalid value for '--examples'"),
])
def test_numbers_that_cannot_be_meant(words, code, said):
    assert said in told(*words, code=code)


@pytest.mark.parametrize("word", [NUL, LONG, LONG + ".yaml", "y/" * 3000])
@pytest.mark.parametrize("words", [
    ("run", "{}"), (*SMALL, "--out", "{}"), ("resume", "{}"), ("evaluate", "{}"), ("list", "runs", "--out", "{}"),
    ("show", "{}"), ("check", "{}"), ("compare", "{}", "x"), ("compare", "x", "{}"), ("report", "x", "{}"),
    ("report", "x", "--to", "{}"), ("export", "x", "--to", "{}"), ("export", "{}", "--to", "x"),
    ("new", "component", "{}")])
def test_paths_that_no_file_system_holds(words, word):
    said = told(*(each.format(word) for each in words), code=2)
    assert "NUL character" in said or "longer than a name or path can be" in said
    assert len(said) < 400


@pytest.mark.parametrize("name", [NUL, NUL + ".yaml", LONG, LONG + ".yaml"])
def test_from_python_such_paths_are_told_too(name):
    with pytest.raises(AssemblyError):
        sl.load(name)


def test_a_stop_before_the_beginning():
    with pytest.raises(TimeError, match="before the beginning"):
        sl.load("point_mass").run(-5)


@pytest.mark.parametrize("text", ["runs = '~nosuchuser/x'", "[roots]\nx = '~nosuchuser'", "runs = 'a\\u0000b'",
                                  'runs = "a\\u0000b"', '[roots]\na = "a\\u0000b"'])
def test_a_stimloop_toml_that_names_no_folder(text):
    Path("stimloop.toml").write_text(text)
    said = told(*SMALL, code=0 if text == "runs = 'a\\u0000b'" else 1)
    assert text == "runs = 'a\\u0000b'" or "names no folder" in said  # in single quotes TOML reads no escapes


@pytest.mark.parametrize(("text", "said"), [
    ("this is no python", "is not valid Python"),
    ("1/0", "raised ZeroDivisionError: division by zero (mine.py line 1)"),
    ("import nosuch_thing", "No module named 'nosuch_thing'"), ("nobody", "raised NameError"),
    ("raise SystemExit(0)", "called sys.exit(0)")])
def test_a_file_of_ones_own_that_cannot_be_imported(text, said):
    Path("mine.py").write_text(text + "\n")
    Path("mine.yaml").write_text("name: r\nuntil: 1 s\ncomponents: {body: {type: 'mine:X'}}")
    assert said in told("check", "mine:X", "--allow", "mine")
    assert said in told("run", "mine.yaml", "--allow", "mine")


def test_an_environment_whose_package_is_not_there(monkeypatch):
    import gymnasium

    def make(env, **_):
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    monkeypatch.setattr(gymnasium, "make", make)
    said = told(*SMALL, "--set", "body={type: bodies.gymnasium_env, params: {env: LunarLander-v3}}")
    assert "body" in said
    assert "gymnasium[box2d]" in said


def test_runs_are_looked_for_in_a_folder():
    Path("file").write_text("")
    assert "file is no folder" in told("list", "runs", "--out", "file")


def test_the_name_of_a_file_that_was_meant():
    Path("reach.yaml").write_text("name: reach\nuntil: 40 ms\ncomponents: {body: {type: bodies.cartpole}}")
    assert 'Did you mean "reach.yaml"?' in told("run", "raech.yaml")
    assert 'Did you mean the file "reach.yaml"?' in told("run", "reach")
    assert "no errors" in told("check", "reach.yaml", "--set", "body.type=basics.noise",
                               "--set", "body.params.period=20 ms", code=0)
    assert "body.params.dimension" in told("check", "reach.yaml", "--set", "body.params.dimension=3", code=3)


@pytest.mark.parametrize(("name", "fine"), [("MyBrain", "my_brain"), ("a b", "a_b"), ("../x", "x"), ("1a", "my_1a"),
                                            ("é", "my_brain"), ("Class", "my_class")])
def test_a_name_that_a_module_can_have_is_offered(name, fine):
    assert f"such as {fine}." in told("new", "component", name)


def test_the_version_is_told():
    assert told("--version", code=0) == f"stimloop {sl.__version__}"


def test_a_component_of_ones_own_is_shown():
    told("new", "component", "shown_filter", code=0)
    assert "--allow shown_filter" in told("show", "shown_filter:ShownFilter")
    said = told("show", "shown_filter:ShownFilter", "--allow", "shown_filter", code=0)
    sys.modules.pop("shown_filter")
    assert "`share`" in said


def test_what_is_wrong_has_no_inner_traceback():
    Path("bad.yaml").write_text("a: [")
    with pytest.raises(AssemblyError) as caught:
        sl.load("bad.yaml")
    assert caught.value.__suppress_context__
    with pytest.raises(AssemblyError) as caught:
        sl.load("point_mass").set("body.params.radius", -1.0).build()
    assert caught.value.__cause__ is None


def test_a_wire_like_none_names_the_one_that_was_meant():
    text = """
name: like
components:
  body:  {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, inputs: [body.observation, body.status]}
  other: {type: brains.mlp, inputs: [{observation: {like: brian.observation}}, body.status]}
"""
    meant = r'no wire at brian.observation to be like\n +Did you mean "brain.observation"'
    with pytest.raises(AssemblyError, match=meant):
        sl.Assembly.from_yaml(text).build()


def test_a_run_without_an_evaluation_is_not_judged_by_one_made_up():
    run = sl.load("point_mass").set("evaluate", None).run("100 ms", show=False)
    said = told("evaluate", run.path)
    assert "has no evaluation" in said
    assert "--episodes 10 --no-explore" in said
    assert "test" in told("evaluate", run.path, "--episodes", 1, code=0)
    assert "test" in told("evaluate", run.path, "--set", "evaluate.test={every: 1 episode, episodes: 1}", code=0)
