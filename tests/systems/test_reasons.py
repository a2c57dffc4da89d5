"""What is said where a component cannot be made, built or stepped: its name, the kind of the error, and the way out."""

from pathlib import Path

import pytest

import stimloop as sl
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError

TEXT = """
name: w
until: 3 steps
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8], weights: WEIGHTS}, inputs: [body.observation, body.status]}
"""


class Faulty(Component):
    """Raises what it is told to, where it is told to."""

    def __init__(self, where: str = "", kind: str = "KeyError") -> None:
        self.where, self.kind, self.period = where, kind, 1_000_000
        self.inputs, self.outputs = {}, {}
        self._fail("made")

    def _fail(self, here: str) -> None:
        if here == self.where:
            {"foo": 1 / 0} if self.kind == "ZeroDivisionError" else {}["foo"]

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self._fail("built")

    def step(self, now, inputs):
        self._fail("stepped")
        return {}


@pytest.mark.parametrize(("where", "kind", "said"), [
    ("made", "KeyError", "KeyError: 'foo'"), ("built", "KeyError", "KeyError: 'foo'"),
    ("made", "ZeroDivisionError", "ZeroDivisionError: division by zero")])
def test_the_kind_of_an_error_is_said(where, kind, said):
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly("t").add("it", Faulty, where=where, kind=kind).build()
    assert str(caught.value).count("it: ") == 1
    assert said in str(caught.value)


@pytest.mark.parametrize(("where", "kind", "error"), [("built", "ZeroDivisionError", ZeroDivisionError),
                                                      ("stepped", "ZeroDivisionError", ZeroDivisionError),
                                                      ("stepped", "KeyError", KeyError)])
def test_a_fault_in_its_own_code_keeps_its_kind_and_names_the_component(where, kind, error, tmp_path):
    with pytest.raises(error) as caught:
        sl.Assembly("t").add("it", Faulty, where=where, kind=kind).run("2 ms", folder=tmp_path)
    assert any("`it`" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(("weights", "said"), [
    ("nosuch", "there are no shipped weights 'nosuch'"), ("none.safetensors", "there is no file 'none.safetensors'"),
    ("junk.safetensors", "junk.safetensors: cannot be read as weights"),
    ("hand_tuned_elbow",
     "hand_tuned_elbow.safetensors: layer1/bias is (32,) (made by brains.mlp), here it must be (8,)"),
])
def test_what_is_wrong_with_weights_is_said_once_at_their_address(weights, said, tmp_path):
    Path(tmp_path / "junk.safetensors").write_text("junk")
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly.from_yaml(TEXT.replace("WEIGHTS", weights), folder=tmp_path).build()
    problem, = caught.value.problems
    assert problem.where.startswith("brain.params.weights (line 6")
    assert said in problem.what
    assert "weights: null" in problem.fix
