"""The answer of a termination function is checked where it is used: in imagined worlds of learners and of planners."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.components.parts import imagined_ends, terminations  # noqa: E402
from stimloop.components.parts.imagination import ImaginedWorld  # noqa: E402
from stimloop.loops.errors import AssemblyError, StimloopError  # noqa: E402

from .imagining import assembly, mbpo, same, weights  # noqa: E402
from .test_brain_mppi import Slope  # noqa: E402

PLANNER = """
name: planning
until: 3 steps
components:
  body:  {type: bodies.point_mass, inputs: [brain.action]}
  model: {type: world_models.gaussian_ensemble, params: {members: 3, elites: 2, hidden: [8, 8]},
          inputs: [body.observation, brain.action, body.reward, body.status]}
  brain: {type: brains.mppi, params: {horizon: 3, particles: 5, termination: never}, uses: {model: model},
          inputs: [body.observation, body.status]}
"""
MADE = {"mbpo": (mbpo, "learner"), "mopac": (assembly, "learner"),
        "mppi": (lambda: sl.Assembly.from_yaml(PLANNER), "brain")}


def low(o, a, then):
    return then[..., 0] < 0


def writes(o, a, then):
    then[..., 0] = then[..., 0].clip(-1, 1)
    return then[..., 0] > 0.5


def writes_through_numpy(o, a, then):
    then.numpy()[..., 0] = 0
    return then[..., 0] > 0.5


def leaves(o, a, then):
    raise SystemExit(7)


WRONG = [
    (lambda o, a, then: low(o, a, then).int(), "int32; return bool"), (lambda o, a, then: then[..., 0], "float32"),
    (lambda o, a, then: then[..., :1] < 0, "return one bool"), (lambda o, a, then: low(o, a, then).any(), "shape ()"),
    (lambda o, a, then: low(o, a, then).tolist(), "a list"), (lambda o, a, then: None, "a NoneType"),
    (lambda o, a, then: then[..., 99] < 0, "fails: IndexError"), (lambda o, a: None, "fails: .*2 positional"),
    (leaves, r"fails: it called sys.exit\(7\)"), (writes_through_numpy, "changes the successor"),
    (writes, r"changes the successor .*successor = successor \+ 0")]


def named(monkeypatch, function):
    """Let every termination be this function, whatever it is called."""
    monkeypatch.setattr(terminations, "find", lambda name: function)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize(("function", "said"), WRONG)
def test_a_function_that_answers_otherwise_is_refused_before_anything_is_learned(kind, function, said, monkeypatch):
    made, owner = MADE[kind]
    named(monkeypatch, function)
    with pytest.raises(AssemblyError, match="termination function .*" + said.replace("()", r"\(\)")) as caught:
        made().build()
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"{owner}.params.termination")
    assert "check-termination" in problem.fix


@pytest.mark.parametrize("kind", MADE)
def test_what_answers_otherwise_only_later_ends_the_run_in_words(kind, monkeypatch, tmp_path):
    def later(o, a, then):
        return low(o, a, then) if len(then) < 4 else low(o, a, then).int()

    made, owner = MADE[kind]
    named(monkeypatch, later)
    with pytest.raises(StimloopError, match=r"termination function .*later answers with torch.int32; return") as caught:
        made().run(folder=tmp_path)
    assert f"`{owner}`" in " ".join(caught.value.__notes__)


def test_writing_is_told_each_time_even_where_it_changes_no_number():
    def writes_at_times(o, a, then):
        if len(then) > 3:
            then[then > 1e9] = 0
        return low(o, a, then)

    rows = [torch.zeros(4, 2), torch.zeros(4, 1), torch.zeros(4, 2)]
    assert not imagined_ends.over(writes_at_times, *(part[:3] for part in rows)).any()
    with pytest.raises(terminations.TerminationError, match="changes the successor"):
        imagined_ends.over(writes_at_times, *rows)


def test_bools_of_torch_and_of_numpy_are_taken_alike():
    """Rows of a known world: of four starts, two lie below 0, whatever is done."""
    start = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-2.0, 5.0], [3.0, 0.0]])
    for function in (low, lambda o, a, then: then.numpy()[..., 0] < 0):
        world = ImaginedWorld(Slope(), function, torch.Generator())
        _, _, over = world.step(start, torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
        assert over.dtype == torch.bool
        assert over.tolist() == [True, False, True, False]


@pytest.mark.parametrize("kind", MADE)
def test_a_rule_in_numpy_learns_as_one_in_torch(kind, monkeypatch):
    found = []
    for function in (low, lambda o, a, then: np.less(then.numpy()[..., 0], 0)):
        named(monkeypatch, function)
        made, owner = MADE[kind]
        with made().build() as loop:
            loop.run("70 steps" if owner == "learner" else "3 steps")
            found.append(weights(loop) if owner == "learner" else [loop.components["brain"].memory()["plan"]])
    assert same(*found)


@pytest.mark.parametrize("kind", MADE)
def test_a_named_rule_of_another_observation_is_refused_when_built(kind):
    made, owner = MADE[kind]
    with pytest.raises(AssemblyError, match=r"termination hand_gait reads 12 numbers .* this one has 6\.") as caught:
        made().set(f"{owner}.params.termination", "hand_gait").build()
    assert caught.value.problems[0].where.startswith(f"{owner}.params.termination")
