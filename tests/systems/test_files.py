"""Files that parameters name: found from the assembly's folder, whatever the parameter is called."""

from dataclasses import dataclass

import pytest

import stimloop as sl
from stimloop.catalogue import files
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError
from stimloop.loops.files import NamesFile, Weights
from stimloop.loops.port import Port


@dataclass(frozen=True)
class Clip:
    """A recording and how it is named."""

    source: sl.File = ""
    title: str = ""


class Player(Component):
    """Opens recordings under many names."""

    def __init__(self, recording: sl.File | None = None, others: list[sl.File] = [], clip: Clip | None = None,  # noqa: B006
                 named: dict[str, sl.File] | None = None, start: float | Weights = 0.0, title: str = "") -> None:
        self.inputs, self.outputs = {}, {"value": Port("a number")}
        self.given = {"recording": recording, "others": others, "clip": clip, "named": named, "start": start,
                      "title": title}

    @classmethod
    def example(cls):
        return cls()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of an assembly with a file in it; the working directory above has another of the same name."""
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "data.txt").write_text("mine")
    (tmp_path / "data.txt").write_text("another")
    monkeypatch.chdir(tmp_path)
    return folder


def made(home, **params):
    """Return what a player of an assembly in `home` is given."""
    empty = sl.Assembly.from_yaml("{name: t, components: {}}", folder=home)
    return empty.add("player", Player, **params).system().parts["player"].create().given


@pytest.mark.parametrize("wrap", [
    lambda text: {"recording": text}, lambda text: {"others": [text]}, lambda text: {"named": {"one": text}},
    lambda text: {"start": text}, lambda text: {"clip": {"source": text}}])
def test_a_marked_file_is_found_from_the_assembly_s_folder(home, wrap):
    given = made(home, **wrap("data.txt"))
    expected = wrap(str(home / "data.txt"))
    expected = {"clip": Clip(**expected["clip"])} if "clip" in expected else expected
    assert {name: given[name] for name in expected} == expected
    for outside in ("../data.txt", str(home.parent / "data.txt")):
        with pytest.raises(AssemblyError, match="leads outside"):
            made(home, **wrap(outside))
    with pytest.raises(AssemblyError, match="there is no file"):
        made(home, **wrap("absent.txt"))


def test_only_weights_of_the_library_have_plain_names(home):
    with pytest.raises(AssemblyError, match="no shipped weights 'elbow'"):
        made(home, start="elbow")
    with pytest.raises(AssemblyError, match="there is no file 'elbow'"):
        made(home, recording="elbow")
    assert made(home, start="hand_tuned_elbow")["start"].endswith("hand_tuned_elbow.safetensors")


def test_other_text_is_no_file(home):
    given = made(home, title="data.txt", clip={"title": "data.txt"}, start=1.5)
    assert (given["title"], given["clip"], given["start"]) == ("data.txt", Clip(title="data.txt"), 1.5)


def test_annotations_say_what_an_item_is():
    assert files.mark(files.inside(tuple[int, sl.File], 1)) == NamesFile()
    assert files.mark(files.inside(tuple[int, sl.File], 0)) is None
    assert files.mark(files.inside(tuple[sl.File, ...], 7)) == NamesFile()
    assert files.inside(tuple[int, sl.File], 2) is None
    assert files.mark(files.inside(list[list[sl.File]] | None, 0)) is None
    assert files.mark(files.inside(files.inside(list[list[sl.File]] | None, 0), 3)) == NamesFile()
    assert files.inside(int, 0) is files.inside(list, 0) is files.inside(None, "x") is None
