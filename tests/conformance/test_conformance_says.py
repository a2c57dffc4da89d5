"""Conformance says in words what it found, and what it could look at in part only or not at all."""

from __future__ import annotations

import pytest

from conformance import broken, broken_bodies, broken_states, players
from stimloop.components.parts import roles
from stimloop.loops.component import Use
from stimloop.loops.conformance import check
from stimloop.loops.conformance_fakes import FAKES, fake
from stimloop.loops.lanes import Lanes

FINDINGS = [  # what is said of broken components whose property also breaks in other ways
    (broken_states.TakesAnything, "", "1 example and ports", "name every parameter"),
    (broken_states.NoComponent, "", "1 example and ports", "NoComponent is not a Component"),
    (broken_bodies.CannotBegin, "bodies", "1 example and ports", "optional event input begin"),
    (broken_bodies.BeginsBySignal, "bodies", "1 example and ports", "reads all"),
    (broken_bodies.StatusFromZero, "bodies", "1 example and ports", "status_input()"),
    (players.TakesCommandsFromAnyone, "stimulators", "1 example and ports", "only a safety limiter may feed it"),
    (players.AsksAnOracle, "learners", "1 example and ports", "no stand-in for the role Oracle"),
    (broken_states.AnswersNothing, "", "2 outputs match ports", "step returned NoneType"),
    (broken.DrawsInSecret, "", "3 seeds", "declare it with `random = True`"),
    (broken.DrawsItsWeightsInSecret, "", "3 seeds", "declare it with `random = True`"),
    (broken_states.ResumesSomehow, "", "4 save and load", "resumes = 'mostly'"),
    (broken_states.LosesItsTrend, "", "4 save and load", "state_dict() differs at trace"),
    (broken_states.CountsItsResets, "", "4 save and load", "end in another state, at trace"),
    (broken_states.GrowsAKey, "", "4 save and load", "returns another one from state_dict(), at extra"),
    (broken_states.SavesByNumber, "", "4 save and load", "the key 1 at top"),
    (broken_states.LearnsANumber, "", "4 save and load", "a float at rate"),
    (broken_states.KeepsItsOwnGain, "", "4 save and load", "is not what an instance with 7 lanes loaded, at gain"),
    (broken_states.LearnedTouchesTheClock, "", "4 save and load", "alone touched last"),
    (broken_states.TicksUnevenlyUnsaved, "", "4 save and load", "one stepped at"),
    (broken_states.TiresUnsaved, "", "4 save and load", "the other 1"),
    (broken_states.UnfreezesItsInput, "", "6 publish and forget", "wrote to its input observation"),
    (broken_bodies.EndsWhileItWaits, "bodies", "body: status", "no legal combination of flags"),
    (broken_bodies.RestsUnasked, "bodies", "body: status", "but its episode had not ended"),
    (broken_bodies.ForgetsItsReward, "bodies", "body: status", "published no reward"),
    (broken_bodies.RunsOnAfterItsEnd, "bodies", "body: begin", "at the next tick, not WAITING"),
    (broken_bodies.FidgetsWhileItWaits, "bodies", "body: begin", "does not repeat its observation"),
    (broken_bodies.BeginsEveryone, "bodies", "body: begin", "after begin for lane 0 alone the status is [1, 1, 1]"),
    (broken_bodies.MissesTheFirstBegin, "bodies", "body: begin", "for every lane before, the status is None"),
    (broken_bodies.TalksAfterTheEnd, "bodies", "body: begin", "though every lane waits for begin"),
    (players.ChoosesByChance, "coprocessors", "role: only changers", "asked the same twice, choose differs"),
    (players.CountsQuestions, "coprocessors", "role: only changers", "changed the state at asked"),
    (players.NormalisesItself, "brains", "role: only changers", "at respond.0.action"),
    (players.NeverWoken, "brains", "policy: respond", "nothing wakes it"),
    (players.LosesACell, "brains", "policy: respond", "another memory"),
    (players.AnswersWithoutAction, "brains", "policy: respond", "respond answers move, but no action"),
    (players.WithoutGradient, "world_models", "model: gradient", "does not depend on the input by any gradient"),
    (players.Saturated, "world_models", "model: gradient", "no gradient reaches the input"),
]

PARTS = [  # what is said where a property holds as far as it goes, or has nothing to look at
    (broken.Leaky, "", "body: status", False, "is no body"),
    (broken_states.RestartsNoise, "", "4 save and load", True, "resumes: restarts noise"),
    (broken_states.OneLane, "", "5 lanes are strangers", False, "serves one lane only"),
    (broken_states.OneLane, "", "9 FIRST and memory", False, "serves one lane only"),
    (broken_states.Ticker, "", "9 FIRST and memory", False, "hears no status"),
    (broken.Model, "world_models", "3 seeds", False, "has no step of its own"),
    (broken_bodies.NeverEnds, "bodies", "body: status", True, "starts only"),
    (broken_bodies.NeverEnds, "bodies", "body: restart", False, "has no parameter restart"),
    (broken_bodies.NeverEnds, "bodies", "body: begin", True, "beginnings only"),
    (broken_bodies.NeverEnds, "bodies", "body: ignored actions", True, "the first tick only"),
    (broken_bodies.OnlyLane, "bodies", "body: begin", True, "waits after its end"),
    (players.HearsEveryFlag, "brains", "idle lanes rest", False, "its status reads all"),
    (players.AlwaysExplores, "brains", "policy: respond", False, "no parameter `explore`"),
    (players.AlwaysExplores, "brains", "policy: evaluate", True, ""),
    (players.KeepsItsChances, "brains", "policy: evaluate", False, "publishes no log_prob"),
    (players.SaysNoChances, "brains", "policy: evaluate", False, "published no log_prob with its action"),
    (players.SeesImages, "critics", "model: rows", False, "no observation vector"),
    (players.SeesImages, "critics", "role: only changers", False, "no observation vector"),
    (players.Rehearses, "learners", "5 lanes are strangers", False, "meet in what is learned"),
    (players.Rehearses, "learners", "learner: updates", True, "updates"),
    (players.Search, "coprocessors", "role: only changers", True, "choose"),
    (broken.Brain, "brains", "role: only changers", True, "respond, evaluate"),
    (broken.Counter, "learners", "learner: updates", False, "uses nothing with parameters or synapses"),
]


def torch_for(cls: type) -> None:
    if issubclass(cls, broken.Model):
        pytest.importorskip("torch")


@pytest.mark.parametrize(("cls", "folder", "name", "words"), FINDINGS,
                         ids=lambda value: getattr(value, "__name__", None))
def test_what_is_wrong_is_said_in_the_words_of_its_own_check(cls, folder, name, words):
    torch_for(cls)
    report = check(cls, folder=folder, only=(name,))
    assert report.failed == (name,), report.text()
    assert words in report.results[-1].message, report.text()


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

    report = check(players.AsksAnOracle, folder="learners", uses={"oracle": Oracle}, only=("2 outputs match ports",))
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
