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
    for name in ("lab_thing", "lab_other", "lab_helper", "lab_more", "lab_more.deep"):
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


OWN = "import lab_helper\nfrom lab_more import deep\n\n\nclass Thing:\n    pass\n"


def test_what_a_source_imports_beside_it_counts_one_through_another(folder):
    (folder / "lab_more").mkdir()
    for name, text in (("lab_thing.py", OWN), ("lab_helper.py", "a = 1\n"), ("lab_other.py", "b = 1\n"),
                       ("lab_more/__init__.py", ""), ("lab_more/deep.py", "def f():\n    from . import deeper\n"),
                       ("lab_more/deeper.py", "c = 1\n"), ("lab_more/aside.py", "d = 1\n")):
        (folder / name).write_text(text)
    cls = importlib.import_module("lab_thing").Thing
    told = [identity.code_of_class(cls)]
    for name, counts in (("lab_helper.py", True), ("lab_more/deeper.py", True), ("lab_more/aside.py", False),
                         ("lab_other.py", False), ("lab_more/__init__.py", True)):
        (folder / name).write_text("e = 22\n")
        told.append(identity.code_of_class(cls))
        assert (told[-1] != told[-2]) == counts, name
    assert identity.code_of_class(cls) == told[-1]


def test_parts_that_a_shipped_component_imports_count(tmp_path):
    """Of a copy of the package, for what is imported here is not to be changed."""
    import shutil
    from pathlib import Path

    import stimloop
    from stimloop.assemblies import sources

    copied = tmp_path / "stimlike"
    for room in ("components", "loops"):
        shutil.copytree(Path(stimloop.__path__[0]) / room, copied / room,
                        ignore=shutil.ignore_patterns("__pycache__"))
    module = "stimlike.components.learners.sac"

    def told():
        return sources.digest(module, copied / "components" / "learners" / "sac.py")

    before = told()
    for name, counts in (("components/parts/soft_actor_critic.py", True), ("components/parts/adam.py", True),
                         ("components/parts/episodes.py", False), ("loops/seeds.py", True),
                         ("components/bodies/cartpole.py", False)):
        with (copied / name).open("a") as file:
            file.write("\n# another\n")
        assert (told() != before) == counts, name
        before = told()


def test_what_only_a_type_checker_imports_does_not_count(folder):
    (folder / "lab_thing.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lab_other\n"
                                         "class Thing: pass\n")
    (folder / "lab_other.py").write_text("a = 1\n")
    cls = importlib.import_module("lab_thing").Thing
    before = identity.code_of_class(cls)
    (folder / "lab_other.py").write_text("a = 22\n")
    assert identity.code_of_class(cls) == before


def test_a_module_that_a_parameter_names_counts_and_is_not_imported_for_it(folder, tmp_path_factory):
    from stimloop.components.brains.torch_module import TorchModule

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "lab_other.py").write_text("def net(): pass\n")
    params = {"module": "lab_other:net", "module_params": {"deep": [{"again": "no_such_module:net"}], "at": "12:30"}}
    alone, first = identity.code_of_class(TorchModule), identity.code_of_class(TorchModule, params, (elsewhere,))
    assert first.startswith(f"{alone}; lab_other:net: source sha256 ")
    assert "no_such_module" not in first
    assert "lab_other:Arm-v0: source" in identity.code_of_class(TorchModule, {"env": "lab_other:Arm-v0"}, (elsewhere,))
    assert "lab_other" not in sys.modules
    (elsewhere / "lab_other.py").write_text("def net(): return 1\n")
    assert identity.code_of_class(TorchModule, params, (elsewhere,)) != first
    assert identity.code_of_class(TorchModule, {"module": "lab_thing:Thing"}) == alone
    install(folder, "lab_thing", "lab-thing")
    identity._release.cache_clear()
    told = identity.code_of_class(TorchModule, {"module": "lab_thing:Thing"})
    assert told == f"{alone}; lab_thing:Thing: lab-thing 1.2"


def test_a_run_and_a_study_say_the_same_of_a_module_of_ones_own(folder, monkeypatch):
    pytest.importorskip("torch")
    from stimloop.assemblies import settings
    from stimloop.assemblies.loading import load
    from stimloop.assemblies.studying import states

    (folder / "lab_other.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(4, 2)\n")
    (folder / "a.yaml").write_text("""
name: own
until: 40 ms
components:
  body:  {type: bodies.cartpole, inputs: [brain.action]}
  brain: {type: brains.torch_module, params: {module: 'lab_other:net'}, inputs: [body.observation, body.status]}
""")
    (folder / "stimloop.toml").write_text('allow = ["lab_other"]')
    monkeypatch.chdir(folder)
    before = states.code_of(load("a.yaml"), settings.read())
    run = load("a.yaml").run(show=False)
    assert run.attributes["code"] == before == states.code_of(load("a.yaml"), settings.read())
    assert "lab_other:net" in before["brain"]
    (folder / "lab_other.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(4, 2, False)\n")
    assert states.code_of(load("a.yaml"), settings.read()) != before
