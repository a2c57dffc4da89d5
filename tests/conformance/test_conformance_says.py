"""Conformance says in words what it found, and what it could look at in part only or not at all."""

from __future__ import annotations

import pytest

from conformance import bodies, learners, models, players, policies, states, steps
from stimloop.components.parts import roles
from stimloop.loops.component import Use
from stimloop.loops.conformance import check
from stimloop.loops.conformance.fakes import FAKES, fake
from stimloop.loops.lanes import Lanes

PARTS = [  # what is said where a property holds as far as it goes, or has nothing to look at
    (steps.Leaky, "", "body: status", False, "is no body"),
    (states.RestartsNoise, "", "4 save and load", True, "resumes: restarts noise"),
    (states.OneLane, "", "5 lanes are strangers", False, "serves one lane only"),
    (states.OneLane, "", "9 FIRST and memory", False, "serves one lane only"),
    (states.Ticker, "", "9 FIRST and memory", False, "hears no status"),
    (models.Model, "world_models", "3 seeds", False, "has no step of its own"),
    (bodies.NeverEnds, "bodies", "body: status", True, "starts only"),
    (bodies.NeverEnds, "bodies", "body: restart", False, "has no parameter restart"),
    (bodies.NeverEnds, "bodies", "body: begin", True, "beginnings only"),
    (bodies.NeverEnds, "bodies", "body: ignored actions", True, "the first tick only"),
    (bodies.OnlyLane, "bodies", "body: begin", True, "waits after its end"),
    (policies.HearsEveryFlag, "brains", "idle lanes rest", False, "its status reads all"),
    (policies.AlwaysExplores, "brains", "policy: respond", False, "no parameter `explore`"),
    (policies.AlwaysExplores, "brains", "policy: evaluate", True, ""),
    (policies.KeepsItsChances, "brains", "policy: evaluate", False, "publishes no log_prob"),
    (policies.SaysNoChances, "brains", "policy: evaluate", False, "published no log_prob with its action"),
    (players.SeesImages, "critics", "model: rows", False, "no observation vector"),
    (players.SeesImages, "critics", "role: only changers", False, "no observation vector"),
    (learners.Rehearses, "learners", "5 lanes are strangers", False, "meet in what is learned"),
    (learners.Rehearses, "learners", "learner: updates", True, "updates"),
    (players.Search, "coprocessors", "role: only changers", True, "choose"),
    (policies.Brain, "brains", "role: only changers", True, "respond, evaluate"),
    (learners.Counter, "learners", "learner: updates", False, "uses nothing with parameters or synapses"),
]


def torch_for(cls: type) -> None:
    if issubclass(cls, models.Model):
        pytest.importorskip("torch")


@pytest.mark.parametrize(("cls", "folder", "name", "applies", "words"), PARTS,
                         ids=lambda value: getattr(value, "__name__", None))
def test_what_cannot_be_looked_at_is_said(cls, folder, name, applies, words):
    torch_for(cls)
    report = check(cls, folder=folder, only=(name,))
    found = report.results[-1]
    assert report.ok, report.text()
    assert (found.property, found.applies) == (name, applies), report.text()
    assert words in found.message, report.text()


def test_who_has_no_stand_in_can_be_given():
    class Oracle:
        answer = 41.0

    report = check(learners.AsksAnOracle, folder="learners", uses={"oracle": Oracle}, only=("2 outputs match ports",))
    assert report.ok, report.text()
    assert report.results[-1].applies


@pytest.mark.parametrize("name", sorted(FAKES))
def test_a_stand_in_plays_its_role(name):
    role = getattr(roles, name)
    assert isinstance(fake(Use(role), Lanes.of(3)), role)


@pytest.mark.parametrize("name", sorted(FAKES))
def test_a_stand_in_goes_on_from_a_saved_state(name):
    used, other = (fake(Use(getattr(roles, name)), Lanes.of(3)) for _ in range(2))
    kept = used.state_dict()
    for array in kept.values():
        array += 0.5
    other.load_state_dict(kept)
    again = other.state_dict()
    assert kept.keys() == again.keys()
    assert all((kept[key] == again[key]).all() for key in kept)
    assert bool(kept) == (name != "Search")
