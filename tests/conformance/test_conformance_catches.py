"""The conformance suite passes sound components and catches each broken one by the property that it breaks."""

from __future__ import annotations

import pytest

from conformance import broken, broken_bodies, broken_states, players
from stimloop.loops.conformance import PROPERTIES, check, guess_folder

SOUND = [(broken.Leaky, ""), (broken.Counter, "learners"), (broken.Learner, "learners"), (broken.Body, "bodies"),
         (broken.Brain, "brains"), (broken.Spiker, ""), (broken.Model, "world_models"),
         (broken_states.RestartsNoise, ""), (broken_states.EndsItsThreadLate, ""), (broken_states.Ticker, ""),
         (broken_states.OneLane, ""), (broken_states.Paced, ""), (broken_states.StopsSoon, "protocols"),
         (broken_bodies.EndsUnevenly, "bodies"), (broken_bodies.NeverEnds, "bodies"),
         (broken_bodies.OnlyLane, "bodies"), (players.Stimulator, "stimulators"), (players.AlwaysExplores, "brains"),
         (players.KeepsItsChances, "brains"), (players.SeesImages, "critics"), (players.Distribution, "world_models"),
         (players.Pair, "world_models"), (players.Recurrent, "brains"), (players.Critic, "critics"),
         (players.Plastic, "brains"), (players.Search, "coprocessors"), (players.Rehearses, "learners")]

BROKEN = [
    (broken.NoAbout, "", "1 example and ports"),
    (broken.Untyped, "", "1 example and ports"),
    (broken.Shared, "", "1 example and ports"),
    (broken.CannotBeMade, "", "1 example and ports"),
    (broken_states.TakesAnything, "", "1 example and ports"),
    (broken_states.NoComponent, "", "1 example and ports"),
    (broken_bodies.CannotBegin, "bodies", "1 example and ports"),
    (broken_bodies.BeginsBySignal, "bodies", "1 example and ports"),
    (broken_bodies.StatusFromZero, "bodies", "1 example and ports"),
    (players.TakesCommandsFromAnyone, "stimulators", "1 example and ports"),
    (players.AsksAnOracle, "learners", "1 example and ports"),
    (broken.Unguarded, "brains", "1 example and ports"),
    (broken.RenamesItsAction, "brains", "1 example and ports"),
    (broken.Brain, "stimulators", "1 example and ports"),
    (broken.WrongShape, "", "2 outputs match ports"),
    (broken.WrongAtSeven, "", "2 outputs match ports"),
    (broken.OutOfBounds, "", "2 outputs match ports"),
    (broken_states.AnswersNothing, "", "2 outputs match ports"),
    (broken.UnknownOutput, "", "2 outputs match ports"),
    (broken.NoNumber, "", "2 outputs match ports"),
    (broken.SpikesTooEarly, "", "2 outputs match ports"),
    (broken.SpikesElsewhere, "", "2 outputs match ports"),
    (broken.OutsideItsBounds, "bodies", "2 outputs match ports"),
    (broken.GlobalRandom, "", "3 seeds"),
    (broken.NotRandomAtAll, "", "3 seeds"),
    (broken.DrawsInSecret, "", "3 seeds"),
    (broken.DrawsItsWeightsInSecret, "", "3 seeds"),
    (broken.ForgetsToSave, "", "4 save and load"),
    (broken.HalfLoaded, "", "4 save and load"),
    (broken.HandsOutItsMemory, "", "4 save and load"),
    (broken.SavesAnObject, "", "4 save and load"),
    (broken.ForgetsWhatItLearned, "", "4 save and load"),
    (broken.LearnsPerLane, "", "4 save and load"),
    (broken.LearnedTouchesMore, "", "4 save and load"),
    (broken.DirtyReset, "", "4 save and load"),
    (broken_states.ResumesSomehow, "", "4 save and load"),
    (broken_states.LosesItsTrend, "", "4 save and load"),
    (broken_states.CountsItsResets, "", "4 save and load"),
    (broken_states.GrowsAKey, "", "4 save and load"),
    (broken_states.SavesByNumber, "", "4 save and load"),
    (broken_states.LearnsANumber, "", "4 save and load"),
    (broken_states.KeepsItsOwnGain, "", "4 save and load"),
    (broken_states.LearnedTouchesTheClock, "", "4 save and load"),
    (broken_states.TicksUnevenlyUnsaved, "", "4 save and load"),
    (broken_states.TiresUnsaved, "", "4 save and load"),
    (broken.MixesLanes, "", "5 lanes are strangers"),
    (broken.DrawsByPosition, "", "5 lanes are strangers"),
    (broken.WritesInput, "", "6 publish and forget"),
    (broken_states.UnfreezesItsInput, "", "6 publish and forget"),
    (broken.ReusesBuffer, "", "6 publish and forget"),
    (broken.ReusesBehindAView, "", "6 publish and forget"),
    (broken.WakesInThePast, "", "7 time and news"),
    (broken.WakesAtANumpyInt, "", "7 time and news"),
    (broken.ChokesOnShortGaps, "", "7 time and news"),
    (broken.CountsAgain, "learners", "7 time and news"),
    (broken.Overflows, "", "8 extremes"),
    (broken.FirstClearsEveryone, "", "9 FIRST and memory"),
    (broken.NeverForgets, "", "9 FIRST and memory"),
    (broken.ForgetsAnyway, "", "9 FIRST and memory"),
    (broken.LeavesThread, "", "10 close"),
    (broken.ClosesOnce, "", "10 close"),
    (broken.StartsWithoutFirst, "bodies", "body: status"),
    (broken.FirstTooLate, "bodies", "body: status"),
    (broken.RewardAtFirst, "bodies", "body: status"),
    (broken.OutsideItsBounds, "bodies", "body: status"),
    (broken_bodies.EndsWhileItWaits, "bodies", "body: status"),
    (broken_bodies.RestsUnasked, "bodies", "body: status"),
    (broken_bodies.ForgetsItsReward, "bodies", "body: status"),
    (broken.AtOnceForgotten, "bodies", "body: restart"),
    (broken.DeafToBegin, "bodies", "body: begin"),
    (broken.BeginsTwice, "bodies", "body: begin"),
    (broken.SeedlessBegin, "bodies", "body: begin"),
    (broken.NeverEndsOnceBegun, "bodies", "body: begin"),
    (broken.TalksWhileAllWait, "bodies", "body: begin"),
    (broken_bodies.RunsOnAfterItsEnd, "bodies", "body: begin"),
    (broken_bodies.FidgetsWhileItWaits, "bodies", "body: begin"),
    (broken_bodies.BeginsEveryone, "bodies", "body: begin"),
    (broken_bodies.MissesTheFirstBegin, "bodies", "body: begin"),
    (broken_bodies.TalksAfterTheEnd, "bodies", "body: begin"),
    (broken.ActsAtFirst, "bodies", "body: ignored actions"),
    (players.NormalisesItself, "brains", "role: only changers"),
    (players.EvaluatesByItsPast, "brains", "role: only changers"),
    (players.TeachesItself, "critics", "role: only changers"),
    (players.LearnsUnasked, "brains", "role: only changers"),
    (players.GrowsBolder, "coprocessors", "role: only changers"),
    (players.ChoosesByChance, "coprocessors", "role: only changers"),
    (players.CountsQuestions, "coprocessors", "role: only changers"),
    (players.LosesACell, "brains", "policy: respond"),
    (players.AnswersWithoutAction, "brains", "policy: respond"),
    (broken.StepIsNotRespond, "brains", "policy: respond"),
    (broken.AnotherMemory, "brains", "policy: respond"),
    (players.NeverWoken, "brains", "policy: respond"),
    (broken.EvaluatesOtherwise, "brains", "policy: evaluate"),
    (broken.ActsWhileItWaits, "brains", "idle lanes rest"),
    (broken.ChangesAlways, "learners", "learner: updates"),
    (players.RewiresAlways, "learners", "learner: updates"),
    (broken.LooksAtTheBatch, "world_models", "model: rows"),
    (broken.Detached, "world_models", "model: gradient"),
    (players.WithoutGradient, "world_models", "model: gradient"),
    (players.Saturated, "world_models", "model: gradient"),
]

NEEDS_TORCH = {broken.Model, broken.LooksAtTheBatch, broken.Detached, players.Distribution, players.Pair,
               players.WithoutGradient, players.Saturated}


@pytest.mark.parametrize(("cls", "folder"), SOUND, ids=lambda value: getattr(value, "__name__", None))
def test_a_sound_component_conforms(cls, folder):
    if cls in NEEDS_TORCH:
        pytest.importorskip("torch")
    report = check(cls, folder=folder)
    assert report.ok, report.text()


@pytest.mark.parametrize(("cls", "folder", "expected"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_component_is_caught_by_the_right_property(cls, folder, expected):
    if cls in NEEDS_TORCH:
        pytest.importorskip("torch")
    report = check(cls, folder=folder, only=(expected,))
    assert report.failed == (expected,), report.text()
    assert report.results[-1].message


def test_every_property_is_seen_to_fail():
    assert {expected for _, _, expected in BROKEN} == set(PROPERTIES)


def test_the_report_names_what_failed_and_the_life_that_led_there():
    report = check(broken.MixesLanes, folder="", only=("5 lanes are strangers",))
    assert "FAIL 5 lanes are strangers" in report.text()
    assert "Plan(seed=" in report.text()
    assert "MixesLanes" in report.text()


def test_what_does_not_apply_says_why():
    report = check(broken.Leaky, only=("body: begin", "policy: respond"))
    assert report.ok
    assert [(r.applies, bool(r.message)) for r in report.results[1:]] == [(False, True), (False, True)]


@pytest.mark.parametrize(("cls", "folder"), [(broken.Body, "bodies"), (broken.Brain, "brains"), (broken.Leaky, ""),
                                             (players.Stimulator, "stimulators"), (players.Search, "coprocessors")])
def test_a_foreign_class_finds_its_folder_by_its_ports(cls, folder):
    assert guess_folder(cls.example()) == folder


def test_a_function_that_makes_components_is_checked_like_a_class():
    report = check(lambda: broken.Leaky(noise=0.3), only=("3 seeds",))
    assert report.ok, report.text()
