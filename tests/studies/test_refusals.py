"""What a study refuses before anything runs, and in which words."""

import pytest

from stimloop.assemblies.loading import load as load_assembly
from stimloop.assemblies.settings import Settings
from stimloop.assemblies.study import Study, load
from stimloop.assemblies.study_command import Options, command
from stimloop.assemblies.studying.records import DONE
from stimloop.loops.errors import AssemblyError, RunError


@pytest.mark.parametrize("share", ["0/4", "5/4", "a/b", "1/0", "²/4", "1/4/2", "-1/4"])
@pytest.mark.parametrize("look", ["plan", "status"])
def test_a_share_that_is_none_is_refused_though_nothing_runs(tiny, share, look):
    with pytest.raises(AssemblyError, match=r"--shard: .* is no share of the work(.|\n)*I counts from 1 to N"):
        command("tiny.yaml", Options(shard=share, **{look: True}), Settings(), quiet=True)


@pytest.mark.parametrize("bound", [".nan", ".inf", "-.inf", "true", "'2'", "[2]", "null"])
def test_a_bound_is_a_finite_number(tiny, bound):
    tiny.write_text(tiny.read_text().replace("at_least: 2", f"at_least: {bound}"))
    with pytest.raises(AssemblyError, match=r"expect.0.at_least: .* is no bound"):
        Study(tiny)


def test_a_folder_that_cannot_be_written_is_told(tiny):
    (tiny.parent / "file").write_text("")
    for folder in ("/proc/x", str(tiny.parent / "file")):
        with pytest.raises(RunError, match=f"{folder} cannot be written(.|\n)*--out"):
            Study(tiny, folder=folder).run()


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"a": 1}', "\xff"])
def test_a_damaged_record_is_told(tiny, text):
    study = Study(tiny)
    cells = study.cells(study.description.stages["train"])
    file = cells.path(cells.cells[0]) / DONE
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(RunError, match=f"{file} cannot be read as the record of a study(.|\n)*Remove the file"):
        study.status()


def test_a_study_and_an_assembly_are_not_mistaken_for_each_other(tiny):
    with pytest.raises(AssemblyError, match=r"tiny.yaml: this is a study(.|\n)*stimloop study .*tiny.yaml"):
        load_assembly(tiny)
    with pytest.raises(AssemblyError, match=r"It is a study. Use stimloop study first_coprocessor"):
        load_assembly("first_coprocessor")
    with pytest.raises(AssemblyError, match=r"act.yaml: this is an assembly(.|\n)*stimloop run act.yaml"):
        load("act.yaml")
    with pytest.raises(AssemblyError, match=r"point_mass: this is an assembly(.|\n)*stimloop run point_mass"):
        load("point_mass")
