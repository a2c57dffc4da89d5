"""Every component of the catalogue has every property that conformance knows."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import settings

import stimloop
from stimloop.assemblies import round_trip
from stimloop.catalogue.lookup import example_uses
from stimloop.loops.component import Component
from stimloop.loops.conformance import check

COMPONENTS = Path(stimloop.__file__).parent / "components"
NAMES = sorted(f"{file.parent.name}.{file.stem}" for file in COMPONENTS.glob("*/*.py")
               if file.stem != "__init__" and file.parent.name != "parts")
LIBRARIES = {"torch", "mujoco", "myosuite", "gymnasium", "nengo", "dm_control", "metaworld", "ray", "matplotlib"}


def load(name: str) -> type[Component]:
    """Return the public class of a component module, by the rule that the name is the place."""
    try:
        module = importlib.import_module(f"stimloop.components.{name}")
    except ModuleNotFoundError as missing:
        if missing.name is not None and missing.name.partition(".")[0] in LIBRARIES:
            pytest.skip(f"{name} needs {missing.name}, which is not installed")
        raise
    return getattr(module, name.rpartition(".")[2].title().replace("_", ""))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory in which `runs/example.zarr` holds what the examples expect to find there."""
    group = zarr.open_group(tmp_path / "runs" / "example.zarr", mode="w").create_group("streams/brain/value")
    group.create_array("time", data=np.arange(40) * 10_000_000)
    group.create_array("value", data=np.random.default_rng(0).uniform(-1, 1, (40, 3, 3)).astype(np.float32))
    monkeypatch.chdir(tmp_path)


def public_classes(cls: type) -> list[str]:
    """Return the component classes that a module shows."""
    return [name for name, value in vars(inspect.getmodule(cls)).items()
            if inspect.isclass(value) and issubclass(value, Component) and value.__module__ == cls.__module__
            and not name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("folder")
def test_a_component_conforms(name):
    cls = load(name)
    many = settings.default.max_examples  # few in `make test`, hundreds in `make prove`
    report = check(cls, examples=many, seconds=max(1.0, many / 10), uses=example_uses(cls))
    assert report.ok, report.text()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", NAMES)
def test_parameters_survive_yaml_and_back(name):
    round_trip.survives(load(name), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_component_module_shows_one_component_and_says_what_it_is(name):
    cls = load(name)
    assert public_classes(cls) == [cls.__name__]
    first = (cls.__doc__ or "").strip().split("\n")[0]
    assert first, f"{name} has no docstring"
    assert first.endswith("."), f"{name}: the first docstring line is no sentence: {first!r}"
    assert isinstance(cls.example(), cls)


def test_there_are_components():
    assert len(NAMES) > 5


@pytest.mark.parametrize("name", ["stimulators.electrode_field", "stimulators.pulse_train"])
def test_electrodes_placed_by_the_seed_say_that_they_are(name):
    report = check(lambda: load(name)(channels=2, placement="permutation"), folder="stimulators", only=("3 seeds",))
    assert report.ok, report.text()
    assert report.results[-1].message != "draws nothing"
