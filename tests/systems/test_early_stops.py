"""Stops that are counts: totals since t = 0, whatever is recorded, and nothing lost where they lie before its end."""

from __future__ import annotations

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import resuming
from stimloop.loops.errors import RunError
from stimloop.loops.storage import runs

from .interrupted import refused, unfinished

GUARDED = """
name: t
until: 400 ms
record: none
checkpoint: {every: 100 ms, keep: 5}
components:
  body: {type: bodies.point_mass, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
  command: {type: basics.constant, params: {value: [2, 2], period: 20 ms}}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [{command: command.output}, body.status]}
"""
EVALUATED = """
name: t
until: 400 ms
record: none
checkpoint: {every: 100 ms, keep: 5}
components:
  body: {type: bodies.point_mass, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
evaluate: {test: {every: 2 steps, episodes: 1}}
"""
TWO = """
name: two
until: 200 ms
components:
  body: {type: bodies.point_mass, inputs: [{action: noise.output}]}
  other: {type: bodies.point_mass, params: {period: 10 ms}, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
"""


@pytest.mark.parametrize("text", [GUARDED, EVALUATED], ids=["guarded", "evaluated"])
@pytest.mark.parametrize("until", ["12 steps", "1 episodes", "200 ms"])
def test_an_early_stop_is_refused_though_no_status_is_recorded(text, until, tmp_path):
    """What guards say and what evaluations found is recorded always, and would be lost."""
    path = unfinished(tmp_path, text)
    before = runs.open(path)
    assert "body.status" not in before
    refused(path, "recorded", until=until)
    outcome = resuming.resume(path)  # to the stop it was made for: nothing can lie behind that
    assert outcome.reason == "finished"
    whole = runs.open(next((tmp_path / "made" / "t").iterdir()))
    assert runs.log_hash(runs.open(path)) == runs.log_hash(whole)


@pytest.mark.parametrize("text", [GUARDED, EVALUATED], ids=["guarded", "evaluated"])
def test_a_stop_before_the_checkpoint_is_refused_and_leaves_what_is_recorded(text, tmp_path):
    path = unfinished(tmp_path, text)
    rows, evaluations = runs.open(path).stored.rows, runs.open(path).stored.evaluations
    with pytest.raises(RunError, match="could lose it"):
        resuming.resume(path, "3 steps")
    assert runs.open(path).stored.rows == rows
    assert runs.open(path).stored.evaluations == evaluations


@pytest.mark.parametrize("record", ["all", "none", ["noise"]])
@pytest.mark.parametrize(("first", "then"), [("5 steps", "12 steps"), ("5 steps", "300 ms"), ("100 ms", "12 steps"),
                                             ("7 steps", "1 episodes")])
def test_a_run_that_stopped_early_goes_on_as_one_that_did_not(record, first, then, tmp_path):
    a = sl.Assembly.from_yaml(EVALUATED).set({"record": record, "body.params.max_steps": 13})
    early = a.run(first, folder=tmp_path / "early")
    outcome = resuming.resume(early.path, then)
    whole = a.run(then, folder=tmp_path / "whole")
    assert outcome.reason == "finished"
    assert runs.log_hash(runs.open(early.path)) == runs.log_hash(whole)
    assert len(whole.evaluations("test")) > 4
    assert resuming.resume(early.path, then).reason == "already there"


def test_counts_are_totals_of_the_run_whichever_body_they_are_of(tmp_path):
    """With two bodies nobody counts while a run goes to a time; a later stop counts from t = 0 all the same."""
    a = sl.Assembly.from_yaml(TWO)
    run = a.run(folder=tmp_path / "early")
    resuming.resume(run.path, "30 steps of body")
    whole = a.run("30 steps of body", folder=tmp_path / "whole")
    status = np.asarray(whole["body.status"])
    assert (status != 1).sum() == 30
    assert runs.log_hash(runs.open(run.path)) == runs.log_hash(whole)


def test_without_a_stop_it_goes_on_to_the_one_it_was_given_and_then_to_the_assembly_s(tmp_path):
    a = sl.Assembly.from_yaml(EVALUATED).set("until", "400 ms")
    early = a.run("100 ms", folder=tmp_path / "early")
    assert resuming.resume(early.path, "200 ms").reason == "finished"
    assert resuming.resume(early.path).reason == "finished"
    whole = a.run(folder=tmp_path / "whole")
    assert runs.log_hash(runs.open(early.path)) == runs.log_hash(whole)
    assert resuming.resume(early.path).reason == "already there"
    late = a.run("500 ms", folder=tmp_path / "late")
    assert resuming.resume(late.path).reason == "already there", "the assembly's own stop lies behind it"
