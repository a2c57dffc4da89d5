"""Shipped assemblies do what they did: exactly on the machine type of the golden file, within a tolerance elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

import stimloop as sl
from golden import renew, shipped_traces
from stimloop.assemblies.loading import shipped
from systems import smoke

LIBRARIES = {"elbow_stimulation": ["myosuite"], "stimulated_elbow": ["myosuite"], "helped_elbow": ["myosuite"],
             "modular_elbow": ["myosuite"], "healthy_elbow": ["torch", "myosuite"],
             "taught_elbow": ["torch", "myosuite"], "copac_elbow": ["torch", "myosuite"],
             "copac_latency": ["torch", "myosuite"],
             "distilled_elbow": ["torch", "myosuite"], "recurrent_sac_elbow": ["torch", "myosuite"],
             "copac_modular_elbow": ["torch", "myosuite"],
             "pendulum_first": ["gymnasium"], "stimulated_pendulum": ["gymnasium"], "stimulated_reacher": ["gymnasium"],
             "offline_reacher": ["torch", "gymnasium", "minari"]}
LEARNING = ("mopac_", "mppi_", "pets_", "copac_", "healthy_")  # how names begin of what needs torch and Gymnasium


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_assembly_does_what_it_did(name):
    for library in LIBRARIES.get(name, ["torch", "gymnasium"] if name.startswith(LEARNING) else []):
        pytest.importorskip(library, reason=f"{name} needs {library}, which is not installed")
    golden = shipped_traces.read(name)
    assert golden, f'no golden trace: python tests/golden/renew.py {name} --because "..."'
    exact = shipped_traces.is_exact(golden)
    silent: list[str] = []

    def look(variant: str, made: sl.Assembly, run: Any) -> None:
        if name in smoke.NAMES:  # here, since each has been run just now
            silent.extend(f"{variant}: {complaint}" for complaint in smoke.complaints(made, run))

    apart = list(shipped_traces.differences(golden["variants"], shipped_traces.traces(name, look), exact))
    assert not apart, "\n".join([f"{name} ({'exact' if exact else 'within the tolerance'}):", *apart])
    assert not silent


def test_every_golden_file_has_its_assembly_and_reasons():
    files = sorted(file.stem for file in shipped_traces.TRACES.glob("*.yaml"))
    assert files == sorted(shipped())
    for name in files:
        reasons = shipped_traces.read(name)["reasons"]
        assert reasons, name
        assert all(reason["because"].strip() and reason["date"] for reason in reasons), name


@pytest.fixture
def point_mass() -> dict[str, Any]:
    """What the golden file of the quickest assembly holds."""
    return shipped_traces.read("point_mass")["variants"]


def said(golden: Any, found: Any, exact: bool) -> str:
    return "\n".join(shipped_traces.differences(golden, found, exact))


def test_the_last_bit_counts_on_the_same_machine_and_only_there(point_mass):
    other = copy.deepcopy(point_mass)
    other["base"]["hash"] = "0" * 64
    assert said(point_mass, other, True) == "base: the trace differs, in digits that the file does not show"
    assert said(point_mass, other, False) == ""
    other["base"]["ports"]["body.reward"]["mean"] += 1e-7
    assert "body.reward mean" in said(point_mass, other, True)
    assert said(point_mass, other, False) == ""


@pytest.mark.parametrize("fact", ["mean", "std", "first", "last", "rows"])
def test_what_is_further_apart_than_the_tolerance_is_told_everywhere(point_mass, fact):
    other = copy.deepcopy(point_mass)
    port = other["late"]["ports"]["body.observation"]
    step = 1 if fact == "rows" else 0.01
    port[fact] = [value + step for value in port[fact]] if isinstance(port[fact], list) else port[fact] + step
    assert said(point_mass, other, False).startswith(f"late: body.observation {fact}: ")
    assert said(point_mass, other, False).count("\n") == 0


def test_ports_and_variants_that_come_and_go_are_told(point_mass):
    other = copy.deepcopy(point_mass)
    other["new"] = other.pop("late")
    del other["base"]["ports"]["body.reward"]
    text = said(point_mass, other, False)
    assert "variant late is no longer there" in text
    assert "variant new is not golden yet" in text
    assert "base: body.reward rows" in text


def test_elsewhere_a_chaotic_loop_is_held_to_its_first_rows(point_mass):
    other = {"base": {**copy.deepcopy(point_mass["base"]), "hash": "0" * 64}}
    golden = {"base": {**copy.deepcopy(point_mass["base"]), "early": copy.deepcopy(point_mass["base"]["ports"])}}
    other["base"]["early"] = copy.deepcopy(golden["base"]["early"])
    other["base"]["ports"]["body.reward"]["mean"] += 1
    assert said(golden, other, False) == ""
    assert "body.reward mean" in said(golden, other, True)
    other["base"]["early"]["body.reward"]["mean"] += 1
    assert said(golden, other, False).startswith("base: early body.reward mean: ")


def test_elsewhere_only_rows_are_counted_where_rounding_chooses():
    golden = shipped_traces.read("copac_reacher")["variants"]
    assert set(golden["base"]["early"]["body.reward"]) == {"rows"}
    assert set(golden["injured"]["early"]["body.reward"]) > {"rows"}
    other = copy.deepcopy(golden)
    other["base"]["early"]["body.reward"]["rows"] += 1
    assert said(golden, other, False).startswith("base: early body.reward rows: ")


def test_evaluations_are_golden_too():
    golden = shipped_traces.read("elbow_stimulation")["variants"]
    other = copy.deepcopy(golden)
    other["healthy"]["evaluations"]["test"]["return"][0] *= 1.01
    assert said(golden, other, False).startswith("healthy: test return: ")


def test_another_version_or_processor_is_another_machine():
    golden = shipped_traces.read("point_mass")
    here = {**golden, "machine": shipped_traces.machine(), "versions": shipped_traces.versions()}
    assert shipped_traces.is_exact(here)
    assert not shipped_traces.is_exact({**here, "versions": {**here["versions"], "numpy": "1.0"}})
    assert not shipped_traces.is_exact({**here, "machine": {**here["machine"], "processor": "another"}})


def test_renewing_needs_a_reason_and_keeps_those_before(tmp_path, monkeypatch, capsys, point_mass):
    monkeypatch.setattr(shipped_traces, "traces", lambda name: copy.deepcopy(point_mass))
    monkeypatch.setattr(shipped_traces, "read", lambda name, folder=tmp_path, read=shipped_traces.read:
                        read(name, folder))
    monkeypatch.setattr(shipped_traces, "write", lambda name, found, because, folder=tmp_path,
                        write=shipped_traces.write: write(name, found, because, folder))
    for words in (["point_mass"], ["point_mass", "--because", "  "], ["nobody", "--because", "why not"]):
        with pytest.raises(SystemExit) as refused:
            renew.main(words)
        assert refused.value.code == 2
    with pytest.raises(ValueError, match="for a reason"):
        shipped_traces.write("point_mass", {}, " ")
    assert not list(tmp_path.iterdir())

    assert renew.main(["point_mass", "--because", "it is new"]) == 0
    assert renew.main(["point_mass", "--because", "nothing happened"]) == 0
    assert "nothing is renewed" in capsys.readouterr().out
    file = tmp_path / "point_mass.yaml"
    content = yaml.safe_load(file.read_text())
    content["variants"]["base"]["ports"]["body.reward"]["mean"] = 7.0
    content["variants"]["base"]["hash"] = "0" * 64
    file.write_text(yaml.safe_dump(content))
    assert renew.main(["point_mass", "--because", "rewards are others now"]) == 0
    assert "body.reward mean" in capsys.readouterr().out
    reasons = [reason["because"] for reason in yaml.safe_load(file.read_text())["reasons"]]
    assert reasons == ["it is new", "rewards are others now"]
