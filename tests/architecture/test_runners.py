"""The runners of benchmarks and proofs: what they print, when they fail, what they skip."""

from __future__ import annotations

import inspect
import json
import sys
import types

import pytest

from benchmarks import run as bench
from crash import prove, suites
from crash.proofs import PROOFS


def check(what: str, ok: bool) -> dict:
    return {"what": what, "value": 1.0, "unit": "us", "bound": 2, "ok": ok, "spread": [0.9, 1.1], "better": "lower"}


@pytest.fixture
def benchmark(monkeypatch):
    """Stand a benchmark `toy` in the place of a file."""
    module = types.ModuleType("benchmarks.bench_toy")
    monkeypatch.setitem(sys.modules, "benchmarks.bench_toy", module)
    monkeypatch.setattr(bench, "names", lambda: ["toy"])
    return module


@pytest.mark.parametrize(("oks", "code"), [([True, True], 0), ([True, False], 1), ([], 1)])
def test_a_benchmark_prints_one_json_object_and_holds_only_if_all_checks_do(benchmark, capsys, oks, code):
    benchmark.measure = lambda: {"name": "toy", "checks": [check("tick", ok) for ok in oks]}
    assert bench.main(["toy", "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert {"name", "checks", "versions", "threads"} <= answer.keys()
    assert answer["name"] == "toy"
    assert answer["versions"]["numpy"]


def test_a_benchmark_has_a_table_for_people(benchmark, capsys):
    benchmark.measure = lambda: {"name": "toy", "checks": [check("tick", True), check("growth", False)]}
    bench.main(["toy"])
    told = capsys.readouterr().out
    assert "toy: does not hold" in told
    assert "ok   tick" in told
    assert "FAIL growth" in told


def test_every_benchmark_can_be_imported_and_measures():
    for name in bench.names():
        module = bench.import_module(f"benchmarks.bench_{name}")
        assert all(p.default is not p.empty for p in inspect.signature(module.measure).parameters.values())


def test_where_there_is_no_gpu_its_benchmark_says_so_and_claims_nothing(monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="what it measures needs torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.main(["device", "--json"]) == 0, "no bound is broken"
    answer = json.loads(capsys.readouterr().out)
    assert [(line["what"], line["value"], line["bound"]) for line in answer["checks"]] == [("gpus", 0, None)]
    assert "nothing was measured: torch finds no GPU here" in answer["notes"][0]


def test_what_the_benchmark_of_gpus_does_runs_on_another_device_than_the_processor():
    pytest.importorskip("torch", reason="what it measures needs torch")
    from benchmarks import bench_device
    from parts.second_device import second_device

    with second_device():
        pieces = {name: work() for name, work in bench_device.works("cuda", updates=2, starts=4).items()}
    assert pieces == {"sac_updates_per_s": 2, "mopac_updates_per_s": 2, "fit_steps_per_s": 79, "refresh_s": 1,
                      "hand_over_ms": 1}


@pytest.fixture
def proof(monkeypatch):
    """Stand a module `toy_proofs` in the place of a file; calls are counted."""
    module = types.ModuleType("toy_proofs")
    module.calls = []

    def tries(n: int) -> dict:
        module.calls.append(n)
        return {"holds": n > 2, "tried": n}

    module.tries = tries
    monkeypatch.setitem(sys.modules, "toy_proofs", module)
    return module


def test_a_proof_is_kept_and_skipped_until_code_or_counts_change(proof, tmp_path):
    result = prove.prove("toy", "toy_proofs:tries", {"n": 3}, "abc", tmp_path, tmp_path)
    assert result["holds"]
    assert result["result"] == {"tried": 3}
    assert {"command", "versions", "machine", "seconds", "counts"} <= result.keys()
    assert prove.is_done("toy", "abc", {"n": 3}, tmp_path)
    assert not prove.is_done("toy", "abd", {"n": 3}, tmp_path)
    assert not prove.is_done("toy", "abc", {"n": 4}, tmp_path)
    assert not prove.is_done("other", "abc", {"n": 3}, tmp_path)


def test_a_proof_that_fails_or_breaks_is_written_and_never_skipped(proof, tmp_path):
    prove.prove("toy", "toy_proofs:tries", {"n": 1}, "abc", tmp_path, tmp_path)
    assert not prove.is_done("toy", "abc", {"n": 1}, tmp_path)
    result = prove.prove("toy", "toy_proofs:tries", {"wrong": 1}, "abc", tmp_path, tmp_path)
    assert not result["holds"]
    assert "TypeError" in result["result"]["error"]
    assert json.loads((tmp_path / "toy.json").read_text()) == result


def test_a_proof_may_assert_what_it_shows(proof, tmp_path):
    def asserts(n: int) -> dict:
        assert n > 2, "too few"
        return {"tried": n}

    proof.asserts = asserts
    assert prove.prove("toy", "toy_proofs:asserts", {"n": 3}, "abc", tmp_path, tmp_path)["holds"]
    result = prove.prove("toy", "toy_proofs:asserts", {"n": 2}, "abc", tmp_path, tmp_path)
    assert not result["holds"]
    assert "too few" in result["result"]["error"]


def test_an_interrupted_proof_finds_what_it_had_finished(proof, tmp_path):
    def stops(n: int, progress) -> dict:
        done = json.loads(progress.read_text()) if progress.exists() else []
        for i in range(len(done), n):
            if i == 2 and len(done) == 0:
                raise KeyboardInterrupt
            progress.write_text(json.dumps([*range(i + 1)]))
        return {"holds": True, "resumed_at": len(done)}

    proof.stops = stops
    with pytest.raises(KeyboardInterrupt):
        prove.prove("toy", "toy_proofs:stops", {"n": 4}, "abc", tmp_path, tmp_path)
    result = prove.prove("toy", "toy_proofs:stops", {"n": 4}, "abc", tmp_path, tmp_path)
    assert result["result"] == {"resumed_at": 2}
    assert not list(tmp_path.glob("toy-*.json"))


def test_the_command_skips_what_holds_and_runs_it_again_on_demand(proof, tmp_path, monkeypatch, capsys):
    table = {"toy": type(next(iter(PROOFS.values())))("a toy", "toy_proofs:tries", {"n": 5}, {"n": 3})}
    monkeypatch.setattr("crash.proofs.PROOFS", table)
    monkeypatch.setattr(prove, "RESULTS", tmp_path)
    monkeypatch.setattr(prove, "PROGRESS", tmp_path / "progress")
    monkeypatch.setattr(prove, "code_hash", lambda: "abc")
    assert [prove.main([]), prove.main([]), prove.main(["--again"]), prove.main(["--small"])] == [0, 0, 0, 0]
    assert proof.calls == [5, 5, 3]
    assert "skip   toy" in capsys.readouterr().out


def test_the_code_hash_follows_the_code(tmp_path):
    for folder in prove.CODE:
        (tmp_path / folder).mkdir()
    (tmp_path / "constraints.txt").write_text("")
    empty = prove.code_hash(tmp_path)
    (tmp_path / "loops" / "new.py").write_text("x = 1\n")
    assert prove.code_hash(tmp_path) != empty


@pytest.mark.parametrize("name", sorted(PROOFS))
def test_every_proof_of_the_table_can_be_called(name):
    function = prove.find(PROOFS[name].target)
    for counts in (PROOFS[name].full, PROOFS[name].small):
        inspect.signature(function).bind_partial(**counts)


def test_pytests_last_line_is_read():
    assert suites.counts_in("3 failed, 12 passed, 2 skipped, 1 error in 4.2s") == {
        "passed": 12, "failed": 3, "errors": 1, "skipped": 2}


def test_a_suite_in_which_nothing_ran_proves_nothing(tmp_path):
    (tmp_path / "test_none.py").write_text("")
    assert not suites.suite([str(tmp_path)], "ci")["holds"]
