"""A few of the documents of `prove_config`, and proof that the proof would see what it looks for."""

import gc
import sys
import time

import pytest

import stimloop as sl
from crash import prove_config as proof
from stimloop.assemblies.checking import check
from stimloop.loops.errors import AssemblyError


def test_documents_end_in_assembly_error_or_success():
    found = proof.prove_config(150)
    assert found["holds"], found
    assert found["documents"] >= 150
    assert 0 < found["accepted"] < found["documents"]


@pytest.mark.parametrize(("limit", "does", "words"), [
    ("SECONDS", lambda: sum(range(3_000_000)), "processor time"), ("WALL_SECONDS", lambda: time.sleep(0.02), "wall")])
def test_a_slow_document_is_noticed(monkeypatch, limit, does, words):
    monkeypatch.setattr(proof, limit, 0.01)
    told = {"slowest_s": 0.0, "slowest_wall_s": 0.0}
    with pytest.raises(AssertionError, match=words), proof.timed(told):
        does()
    assert told["slowest_wall_s"] >= 0.01


def test_what_is_older_than_a_document_is_left_out_of_its_collections():
    older = [[] for _ in range(1000)]
    with proof.timed({"slowest_s": 0.0, "slowest_wall_s": 0.0}):
        young = [object() for _ in range(10)]
        assert not any(each is older[0] for each in gc.get_objects())
        assert any(each is young for each in gc.get_objects())
    assert any(each is older[0] for each in gc.get_objects()), "and comes back afterwards"
    assert gc.get_freeze_count() == 0


def test_the_watch_sees_what_it_looks_for(tmp_path, monkeypatch):
    sys.modules.pop("sched", None)
    with proof.watch() as acts:
        __import__("sched")
        (tmp_path / "x").write_text("y")
        (tmp_path / "x").unlink()
    assert any("import sched" in act for act in acts)
    assert any("to write" in act for act in acts)
    assert any("os.remove" in act for act in acts)
    monkeypatch.setattr("stimloop.catalogue.lookup.allowed", lambda module, allow: True)
    sys.modules.pop("sched", None)
    with proof.watch() as acts:
        proof.read_and_check("components: {x: {type: 'sched:scheduler'}}")
    assert any("sched.py" in act for act in acts), "a lookup that lets everything in is noticed"


@pytest.mark.parametrize("kind", ["os:system", "subprocess:Popen", "builtins:eval", "antigravity:x", "sched:scheduler"])
def test_no_name_in_a_file_loads_code(kind):
    sys.modules.pop(kind.partition(":")[0] if kind.startswith(("antigravity", "sched")) else "", None)
    with proof.watch() as acts:
        problems = check(sl.Assembly.from_yaml(f"components: {{x: {{type: '{kind}'}}, "
                                               f"y: {{type: bodies.gymnasium_env, params: {{env: '{kind}-v0'}}}}}}"))
    assert acts == []
    assert [problem.where.split(" ")[0] for problem in problems.errors if "not allowed" in problem.what] == [
        "x.type", "y.params.env"]


def test_traps_of_numbers():
    a = sl.Assembly.from_yaml("components: {x: {type: basics.constant, params: {value: [1e-3, 5e3], period: 50 Hz}}}")
    assert a.get("x.params.value") == [0.001, 5000.0]
    for trap in ("012", "1:30", "on", "2026-11-20", "1_000", "0b1"):
        with pytest.raises(AssemblyError, match="valid"):
            sl.Assembly.from_yaml(f"components: {{x: {{type: basics.constant, params: {{value: {trap}}}}}}}").build()
