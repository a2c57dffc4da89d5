"""Runs that keep pace with the wall clock: how late they were is in the record, and changes nothing else in it."""

from __future__ import annotations

import time

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import resuming
from stimloop.loops.storage import runs

TEXT = """
name: paced
until: 200 ms
components:
  body: {type: bodies.point_mass, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
"""


@pytest.fixture
def a():
    return sl.Assembly.from_yaml(TEXT)


@pytest.mark.parametrize("record", ["all", "none", ["body"], None])
def test_lateness_is_a_metric_of_every_real_time_run(a, record, tmp_path):
    chosen = a if record is None else a.set("record", record)
    run = chosen.run(folder=tmp_path, speed=20)
    late = run["loop.lateness"]
    assert run.streams["loop.lateness"].kind == "metric"
    np.testing.assert_array_equal(late["time"], np.arange(10) * 20_000_000)
    assert late.attrs["units"] == "ns"
    assert "loop.lateness" in run.metrics()
    assert run.attributes["facts"]["late_ms_worst"] == pytest.approx(float(late.max()) / 1e6)
    assert run.attributes["facts"]["late_ms_p50"] >= float(np.quantile(late, 0.5, method="inverted_cdf")) / 1e6

    import xarray as xr

    assert xr.open_zarr(run.path, group="metrics/loop/lateness")["value"].dtype == "int64"


def test_an_unhurried_run_has_no_lateness_and_the_same_log(a, tmp_path):
    paced, calm = a.run(folder=tmp_path / "a", speed=20), a.run(folder=tmp_path / "b")
    assert "loop.lateness" not in calm
    assert calm.attributes["speed"] is None
    assert runs.log_hash(paced) == runs.log_hash(calm)
    assert runs.first_difference(paced, calm) is None
    assert set(paced.streams) - set(calm.streams) == {"loop.lateness"}


def test_a_resumed_run_keeps_its_pace_and_goes_on_telling_its_lateness(a, tmp_path):
    run = a.run(folder=tmp_path / "a", speed=2)
    start = time.perf_counter()
    assert resuming.resume(run.path, "600 ms").reason == "finished"
    assert time.perf_counter() - start >= 0.19
    again = runs.open(run.path)
    np.testing.assert_array_equal(again["loop.lateness"]["time"], np.arange(30) * 20_000_000)
    assert runs.log_hash(again) == runs.log_hash(a.run("600 ms", folder=tmp_path / "b"))
    evaluation = {"evaluate.test": {"every": "1 episode", "episodes": 10}}
    rows = resuming.evaluate(run.path, changes=evaluation)["test"]  # in a loop that waits for nobody
    assert rows["return"].shape == (10,)
