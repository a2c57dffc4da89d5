"""Checks before a run, and what swapping a component keeps."""

from pathlib import Path

import pytest

import stimloop as sl
from stimloop.assemblies import settings
from stimloop.assemblies.checking import check
from stimloop.assemblies.inspection import check_assembly
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError
from stimloop.loops.port import Port

TEXT = """
name: t
until: 400 ms
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
evaluate: {test: {every: 1000 steps, episodes: 2, set: {SET}}}
variants: {bad: {brain.inputs.observation: null}, good: {seed: 3}, worse: {brain.params.hidden: 3}}
small: {brain.inputs.observation: null}
"""
SCALED = """
name: t
until: 100 ms
components:
  source: {type: basics.constant, params: {value: [1, 2], period: 20 ms}}
  scale: {type: basics.gain, params: {gain: 5}, inputs: [source.output]}
variants:
  held: {scale: {type: basics.sample_hold, params: {period: 40 ms}}}
"""
opened = []


class Unbuilt(Component):
    """Takes up something at the build, and cannot be built."""

    def __init__(self, fails: bool = True) -> None:
        self.fails = fails
        self.inputs = {"observation": Port("anything", ("n",), wakes=True)}
        self.outputs = {"action": Port("push", (2,), low=-1, high=1)}

    @classmethod
    def example(cls):
        return cls(False)

    def build(self, lanes, seed):
        super().build(lanes, seed)
        opened.append(self)
        if self.fails:
            raise ValueError("no such device")

    def close(self):
        if self in opened:
            opened.remove(self)


def assembly(change="{}"):
    return sl.Assembly.from_yaml(TEXT.replace("{SET}", change))


def test_the_check_builds_and_closes():
    a = assembly().swap("brain", Unbuilt)
    problems = check(a)
    assert [p.what for p in problems.errors] == ["cannot be built: no such device"], "what is wrong in both: told once"
    assert problems.errors[0].where.startswith("brain (line")
    assert not check(assembly().swap("brain", Unbuilt, fails=False)).errors
    assert not opened


def test_what_is_wrong_in_an_evaluation_says_so():
    a = assembly("{brain.inputs.observation: null}")
    problems = check(a)
    assert problems.errors
    assert all(p.where.startswith("evaluate.test: brain") for p in problems.errors)
    with pytest.raises(AssemblyError, match=r"evaluate\.test: brain"):
        a.build()
    unbuilt = assembly("{brain.params.fails: true}").swap("brain", Unbuilt, fails=False)
    found = check(unbuilt).errors
    assert [p.what for p in found] == ["cannot be built: no such device"]
    assert found[0].where.startswith("evaluate.test: brain")
    assert not opened


def test_an_evaluation_needs_a_body_that_begins():
    text = "{name: t, components: {s: {type: basics.constant, params: {value: [1], period: 20 ms}}}, "
    a = sl.Assembly.from_yaml(text + "evaluate: {test: {every: 1 s, episodes: 1}}}")
    assert any(p.where.startswith("evaluate.test") and "begin" in p.what for p in check(a).errors)


def test_every_variant_and_small_are_checked():
    ok, facts, text = check_assembly(assembly(), settings.read())
    assert not ok
    for which in ("variant bad: ", "variant worse: ", "small: "):
        assert any(error.startswith(which) for error in facts["errors"]), which
        assert f"error: {which}" in text
    assert not any("good" in error for error in facts["errors"])
    broken = sl.Assembly.from_yaml(TEXT.replace("{SET}", "{}").replace("hidden: [8]", "hiden: [8]"))
    _, facts, _ = check_assembly(broken, settings.read())
    assert len([error for error in facts["errors"] if "hiden" in error]) == 1, "said once, not of each variant"


def test_the_command_checks_variants(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from stimloop.assemblies.cli import app

    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(TEXT.replace("{SET}", "{}"))
    done = CliRunner().invoke(app, ["check", "t.yaml"])
    assert done.exit_code == 3
    assert "error: variant bad: " in done.stdout
    assert CliRunner().invoke(app, ["check", "t.yaml", "--variant", "good"]).exit_code == 0


def test_a_sole_wire_of_any_name_stays():
    a = sl.Assembly.from_yaml(SCALED)
    held = a.variant("held")
    assert held.get("scale.inputs") == {"output": {"from": "source.output"}}
    assert not held.notices
    with held.build() as loop:
        loop.run("100 ms")
        assert loop.peek("scale.output").tolist() == [[1, 2]]


def test_an_evaluation_drops_wires_that_a_new_type_lacks():
    text = TEXT.replace("{SET}", "{brain: {type: 'test_checking:Unbuilt', params: {fails: false}}}")
    lacking = sl.Assembly.from_yaml(text).with_class("test_checking:Unbuilt", Unbuilt)
    plan = lacking.system().evaluations["test"]
    assert set(plan.system.parts["brain"].inputs) == {"observation"}
    notices = check(lacking).notices
    assert any("status" in notice.what and notice.where.startswith("evaluate.test") for notice in notices)


@pytest.mark.parametrize("name", ["pendulum_first", "cartpole_first"])
def test_the_shipped_scale_takes_its_wire_as_the_page_writes_it(name):
    a = sl.load(name)
    assert a.get("scale.inputs") == {"action": {"from": "coprocessor.action"}}
    assert not check(a).errors


@pytest.mark.parametrize(("line", "said"), [
    ("record: [nobody]", "there is no output 'nobody' to record"),
    ("record: [body, brain.acton]", 'Did you mean "brain.action"?'),
    ("sweep: {nobody.params.x: [1]}", "sweep nobody.params.x=1: nobody.params.x"),
    ("sweep: {brain.params.hidden: [[4], [-1]]}", "sweep brain.params.hidden=[-1]: brain.params.hidden.0"),
    ("sweep: {seed: [1, a]}", "sweep seed='a': seed"),
])
def test_what_only_a_run_would_meet_is_checked_too(line, said):
    text = "\n".join(part for part in TEXT.split("\n") if not part.startswith(("variants", "small", "evaluate")))
    ok, facts, shown = check_assembly(sl.Assembly.from_yaml(text + line), settings.read())
    assert not ok
    assert len(facts["errors"]) == 1
    assert said in shown


@pytest.mark.parametrize("change", ["{until: 1 s}", "{lanes: 5}", "{evaluate: null}", "{record: all}",
                                    "{checkpoint.keep: 3}", "{name: other}"])
def test_what_means_nothing_to_an_evaluation_is_told(change):
    found = check(assembly(change)).errors
    assert len(found) == 1
    assert found[0].where.startswith("evaluate.test.set: ")
    assert "means nothing to an evaluation" in found[0].what
    assert check(assembly("{nobody.params.x: 1}")).errors[0].where.startswith("evaluate.test.set: nobody")
    assert not check(assembly("{seed: 5, check: always, brain.params.explore: true}")).errors
    with pytest.raises(AssemblyError, match="means nothing"):
        assembly(change).build()


@pytest.mark.parametrize(("until", "said"), [
    ("10 steps of bdoy", "until (line 3, column 1): 'bdoy' is no body\n  Did you mean \"body\"?"),
    ("10 episodes of brain", "'brain' is no body"),
    ("brain.done", "there is no output 'brain.done'"),
    ("body.reward", "body.reward has a value per lane"),
])
def test_a_stop_that_cannot_be_watched_is_told_before_the_run(until, said):
    found = check(assembly().set("until", until)).errors
    assert len(found) == 1
    assert said in str(found[0])


def test_stops_that_can_be_watched_pass():
    for until in ("10 steps", "10 steps of body", "3 episodes of body"):
        assert not check(assembly().set("until", until)).errors


def test_what_a_component_says_of_its_arguments_is_placed_where_the_file_has_them():
    found = check(assembly().set("brain.params.choices", 1)).errors
    assert [problem.where for problem in found] == ["brain.params.choices (line 6, column 29)"]


def test_the_lateness_of_a_loop_is_something_to_record():
    assert not check(assembly().set("record", ["loop.lateness", "body"])).errors
