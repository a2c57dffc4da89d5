"""The shipped studies of MoPAC in their small form: every number is there, and what is expected of it holds."""

import pytest

from stimloop.assemblies.study import load, shipped

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")
NAMES = [name for name in shipped() if name.startswith("mopac_")]
LEAST = {"mopac_benchmark": 10, "mopac_ablation_pendulum": 6}  # rows of a table


def test_there_are_studies():
    assert set(LEAST) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_in_small_ends_with_its_table(name, tmp_path):
    result = load(name, small=True, folder=tmp_path).run()
    assert len(result.rows) >= LEAST.get(name, 2)
    for row in result.rows:
        assert row.values["return"], row
        assert not any(row.odd.values()), row
    assert result.passed, result.verdicts


@pytest.mark.parametrize("name", NAMES)
def test_a_study_in_full_could_begin(name, tmp_path):
    """Each of its variants is built, and each number it names is one that a run will have."""
    load(name, folder=tmp_path).checks.check()
