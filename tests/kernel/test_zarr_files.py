"""Zarr documents and small arrays: foreign values in attributes, empty tables, and files that were not written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stimloop.loops.errors import RunError
from stimloop.loops.storage import zarr_files as files


def put(folder: Path, values: np.ndarray, dimensions: list[str]) -> Path:
    folder.mkdir()
    for path, content in files.array_files(folder, values, dimensions, files.Compressor()):
        path.write_bytes(content)
    return folder


def test_attributes_of_every_kind_become_json():
    found = json.loads(files.encode({"array": np.arange(2), "number": np.float32(0.5), "flag": np.bool_(True),
                                     "names": {"b", "a"}, "path": Path("a/b")}))
    assert found == {"array": [0, 1], "number": 0.5, "flag": True, "names": ["a", "b"], "path": "a/b"}


@pytest.mark.parametrize("values", [np.arange(3), np.array([[1.5, np.nan]]), np.array(["a", "µ", ""], object),
                                    np.zeros((0, 2)), np.array([], np.int64)])
def test_small_arrays_come_back(tmp_path, values):
    dimensions = ["row", "place"][:values.ndim]
    axes, found = files.read_coordinate(put(tmp_path / "a", values, dimensions))
    assert axes == tuple(dimensions)
    assert found.shape == values.shape
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("change", [{"shape": "long"}, {"shape": None}, {"data_type": "quaternion"},
                                    {"dimension_names": 3}, {"shape": [1 << 40]}])
def test_a_document_that_was_not_written_here_is_refused(tmp_path, change: dict[str, Any]):
    folder = put(tmp_path / "a", np.arange(3), ["row"])
    document = json.loads((folder / files.DOCUMENT).read_text())
    (folder / files.DOCUMENT).write_text(json.dumps({**document, **change}))
    with pytest.raises(RunError, match="not written here"):
        files.read_coordinate(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"zarr_format": 2}'])
def test_other_json_is_no_zarr_document(tmp_path, text):
    (tmp_path / files.DOCUMENT).write_text(text)
    with pytest.raises(RunError, match="is not a Zarr version 3 document"):
        files.read_document(tmp_path)
