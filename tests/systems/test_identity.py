"""What a run says of the code of its components: a release by name and version, anything else by its source."""

import importlib
import sys
from importlib import metadata

import pytest

from stimloop.assemblies import identity


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    identity._release.cache_clear()
    yield tmp_path
    identity._release.cache_clear()
    for name in ("lab_thing", "lab_other"):
        sys.modules.pop(name, None)


def install(folder, package, distribution, version="1.2", url=""):
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("class Thing: pass\n")
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(package + "\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n")
    if url:
        (info / "direct_url.json").write_text(url)
    importlib.invalidate_caches()
    return importlib.import_module(package).Thing


def nobody_looks_through_all():
    raise AssertionError("every distribution was read")


def test_a_release_is_found_by_its_name_alone(folder, monkeypatch):
    monkeypatch.setattr(metadata, "packages_distributions", nobody_looks_through_all)
    assert identity.code_of_class(install(folder, "lab_thing", "lab-thing")) == "lab-thing 1.2"


def test_a_release_of_another_name_is_found(folder):
    assert identity.code_of_class(install(folder, "lab_other", "lab-unlike")) == "lab-unlike 1.2"


def test_an_editable_one_is_its_source(folder):
    cls = install(folder, "lab_thing", "lab-thing", url='{"dir_info": {"editable": true}}')
    assert identity.code_of_class(cls).startswith("source sha256 ")


def test_what_lies_in_a_source_tree_is_its_source_and_looked_up_nowhere(folder, monkeypatch):
    monkeypatch.setattr(metadata, "packages_distributions", nobody_looks_through_all)
    (folder / "lab_thing.py").write_text("class Thing: pass\n")
    assert identity.code_of_class(importlib.import_module("lab_thing").Thing).startswith("source sha256 ")


def test_a_run_of_shipped_components_reads_no_distributions(folder, monkeypatch):
    import stimloop as sl

    monkeypatch.setattr(metadata, "packages_distributions", nobody_looks_through_all)
    run = sl.load("point_mass").small().run("40 ms", folder=folder, show=False)
    assert all(code.startswith(("source sha256 ", "stimloop ")) for code in run.attributes["code"].values())
