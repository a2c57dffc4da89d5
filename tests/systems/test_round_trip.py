"""What `stimloop check module:Class` says of parameters that a file cannot hold, and of those that it can."""

import sys
from dataclasses import dataclass

import pytest

from stimloop.assemblies import round_trip
from stimloop.assemblies.inspection import check_component
from stimloop.loops.component import Component
from stimloop.loops.port import Port
from stimloop.loops.time import Period

CODE = '''
import numpy as np
import stimloop as sl
class {name}(sl.Component):
    """Publishes a number."""
    period = 1_000_000
    def __init__(self, *, {parameter} = {default}):
        self.inputs, self.outputs = {{}}, {{"value": sl.Port("a number")}}
    @classmethod
    def example(cls):
        return cls({argument})
    def step(self, now, inputs):
        return {{"value": np.zeros(self.lanes.count, np.float32)}}
'''


class Plain(Component):
    """Takes a duration and a list, which files can hold."""

    def __init__(self, every: Period = 5, gains: list[float] = [1.0]) -> None:  # noqa: B006
        self.every, self.gains = every, gains
        self.inputs, self.outputs = {}, {"value": Port("a number")}

    @classmethod
    def example(cls):
        return cls(7_000_000, gains=[0.5, 2.0])


@dataclass(frozen=True)
class Rounding:
    """A number kept to one digit less than is written."""

    size: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.size / 2)


class Forgetful(Plain):
    """Its parameter object is another one each time it is made."""

    def __init__(self, rounding: Rounding = Rounding()) -> None:
        super().__init__()

    @classmethod
    def example(cls):
        return cls(rounding=Rounding(3.0))


def test_parameters_of_the_example_survive():
    assert round_trip.example_parameters(Plain) == {"every": 7_000_000, "gains": [0.5, 2.0]}
    assert round_trip.check(Plain, "own:Plain").ok
    assert Plain.example().gains == [0.5, 2.0]  # looking changed nothing


def test_a_parameter_that_comes_back_otherwise_is_told():
    result = round_trip.check(Forgetful, "own:Forgetful")
    assert not result.ok
    assert "rounding" in result.message
    assert "__init__" in vars(Forgetful)


@pytest.mark.parametrize(("name", "parameter", "default", "argument", "ok"), [
    ("keeps_it", "gain: float", "1.0", "gain=2.5", True),
    ("needs_a_number", "gain: float", "1.0", "gain='2.5'", False),
    ("needs_a_function", "gain: object", "None", "gain=len", False)])
def test_the_command_checks_it(tmp_path, monkeypatch, name, parameter, default, argument, ok):
    (tmp_path / f"{name}.py").write_text(CODE.format(name="Own", parameter=parameter, default=default,
                                                     argument=argument))
    monkeypatch.chdir(tmp_path)
    done, facts, text = check_component(f"{name}:Own", 2)
    sys.modules.pop(name)
    assert (round_trip.PROPERTY not in facts["failed"]) == ok, text
    assert round_trip.PROPERTY in text
    assert done == ok, text
