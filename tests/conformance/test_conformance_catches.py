"""The conformance suite passes sound components and catches each broken one by the property that it breaks."""

from __future__ import annotations

import pytest

from conformance import bodies, events, learners, models, players, policies, states, steps
from stimloop.loops.conformance import PROPERTIES, check, guess_folder

SOUND = [(steps.Leaky, ""), (learners.Counter, "learners"), (learners.Learner, "learners"), (bodies.Body, "bodies"),
         (policies.Brain, "brains"), (policies.Stimulated, "brains"), (events.Spiker, ""),
         (models.Model, "world_models"),
         (states.RestartsNoise, ""), (states.EndsItsThreadLate, ""), (states.Ticker, ""),
         (states.OneLane, ""), (states.Paced, ""), (learners.StopsSoon, "protocols"),
         (bodies.EndsUnevenly, "bodies"), (bodies.NeverEnds, "bodies"),
         (bodies.OnlyLane, "bodies"), (players.Stimulator, "stimulators"), (policies.AlwaysExplores, "brains"),
         (policies.KeepsItsChances, "brains"), (players.SeesImages, "critics"), (models.Distribution, "world_models"),
         (models.Pair, "world_models"), (policies.Recurrent, "brains"), (players.Critic, "critics"),
         (players.Plastic, "brains"), (players.Search, "coprocessors"), (learners.Rehearses, "learners")]

BROKEN = [  # (class, folder, property that it breaks, words in which that is said where it could break otherwise)
    (steps.NoAbout, "", "1 example and ports", ""),
    (steps.Untyped, "", "1 example and ports", ""),
    (steps.Shared, "", "1 example and ports", ""),
    (steps.CannotBeMade, "", "1 example and ports", ""),
    (states.TakesAnything, "", "1 example and ports", "name every parameter"),
    (states.NoComponent, "", "1 example and ports", "NoComponent is not a Component"),
    (bodies.CannotBegin, "bodies", "1 example and ports", "optional event input begin"),
    (bodies.BeginsBySignal, "bodies", "1 example and ports", "reads all"),
    (bodies.StatusFromZero, "bodies", "1 example and ports", "status_input()"),
    (players.TakesCommandsFromAnyone, "stimulators", "1 example and ports", "only a safety limiter may feed it"),
    (learners.AsksAnOracle, "learners", "1 example and ports", "no stand-in for the role Oracle"),
    (policies.Unguarded, "brains", "1 example and ports", ""),
    (policies.RenamesItsAction, "brains", "1 example and ports", ""),
    (policies.Brain, "stimulators", "1 example and ports", ""),
    (steps.Leaky, "world_models", "1 example and ports", "world_models have an output prediction"),
    (steps.WrongShape, "", "2 outputs match ports", ""),
    (steps.WrongAtSeven, "", "2 outputs match ports", ""),
    (steps.OutOfBounds, "", "2 outputs match ports", ""),
    (states.AnswersNothing, "", "2 outputs match ports", "step returned NoneType"),
    (steps.UnknownOutput, "", "2 outputs match ports", ""),
    (steps.NoNumber, "", "2 outputs match ports", ""),
    (events.SpikesTooEarly, "", "2 outputs match ports", ""),
    (events.SpikesElsewhere, "", "2 outputs match ports", ""),
    (bodies.OutsideItsBounds, "bodies", "2 outputs match ports", ""),
    (steps.GlobalRandom, "", "3 seeds", ""),
    (steps.NotRandomAtAll, "", "3 seeds", ""),
    (states.DrawsInSecret, "", "3 seeds", "declare it with `random = True`"),
    (states.DrawsItsWeightsInSecret, "", "3 seeds", "declare it with `random = True`"),
    (steps.ForgetsToSave, "", "4 save and load", ""),
    (steps.HalfLoaded, "", "4 save and load", ""),
    (steps.HandsOutItsMemory, "", "4 save and load", ""),
    (steps.SavesAnObject, "", "4 save and load", ""),
    (steps.ForgetsWhatItLearned, "", "4 save and load", ""),
    (steps.LearnsPerLane, "", "4 save and load", ""),
    (steps.LearnedTouchesMore, "", "4 save and load", ""),
    (steps.DirtyReset, "", "4 save and load", ""),
    (states.ResumesSomehow, "", "4 save and load", "resumes = 'mostly'"),
    (states.LosesItsTrend, "", "4 save and load", "state_dict() differs at trace"),
    (states.CountsItsResets, "", "4 save and load", "end in another state, at trace"),
    (states.GrowsAKey, "", "4 save and load", "returns another one from state_dict(), at extra"),
    (states.SavesByNumber, "", "4 save and load", "the key 1 at top"),
    (states.LearnsANumber, "", "4 save and load", "a float at rate"),
    (states.KeepsItsOwnGain, "", "4 save and load", "is not what an instance with 7 lanes loaded, at gain"),
    (states.LearnedTouchesTheClock, "", "4 save and load", "alone touched last"),
    (states.TicksUnevenlyUnsaved, "", "4 save and load", "one stepped at"),
    (states.TiresUnsaved, "", "4 save and load", "the other 1"),
    (steps.MixesLanes, "", "5 lanes are strangers", ""),
    (steps.DrawsByPosition, "", "5 lanes are strangers", ""),
    (steps.WritesInput, "", "6 publish and forget", ""),
    (states.UnfreezesItsInput, "", "6 publish and forget", "wrote to its input observation"),
    (steps.ReusesBuffer, "", "6 publish and forget", ""),
    (steps.ReusesBehindAView, "", "6 publish and forget", ""),
    (steps.WakesInThePast, "", "7 time and news", ""),
    (steps.WakesAtANumpyInt, "", "7 time and news", ""),
    (steps.ChokesOnShortGaps, "", "7 time and news", ""),
    (learners.CountsAgain, "learners", "7 time and news", ""),
    (steps.Overflows, "", "8 extremes", ""),
    (steps.FirstClearsEveryone, "", "9 FIRST and memory", ""),
    (steps.NeverForgets, "", "9 FIRST and memory", ""),
    (steps.ForgetsAnyway, "", "9 FIRST and memory", ""),
    (steps.LeavesThread, "", "10 close", ""),
    (steps.ClosesOnce, "", "10 close", ""),
    (bodies.StartsWithoutFirst, "bodies", "body: status", ""),
    (bodies.FirstTooLate, "bodies", "body: status", ""),
    (bodies.RewardAtFirst, "bodies", "body: status", ""),
    (bodies.OutsideItsBounds, "bodies", "body: status", ""),
    (bodies.EndsWhileItWaits, "bodies", "body: status", "no legal combination of flags"),
    (bodies.RestsUnasked, "bodies", "body: status", "but its episode had not ended"),
    (bodies.ForgetsItsReward, "bodies", "body: status", "published no reward"),
    (bodies.AtOnceForgotten, "bodies", "body: restart", ""),
    (bodies.DeafToBegin, "bodies", "body: begin", ""),
    (bodies.BeginsTwice, "bodies", "body: begin", ""),
    (bodies.SeedlessBegin, "bodies", "body: begin", ""),
    (bodies.NeverEndsOnceBegun, "bodies", "body: begin", ""),
    (bodies.TalksWhileAllWait, "bodies", "body: begin", ""),
    (bodies.RunsOnAfterItsEnd, "bodies", "body: begin", "at the next tick, not WAITING"),
    (bodies.FidgetsWhileItWaits, "bodies", "body: begin", "does not repeat its observation"),
    (bodies.BeginsEveryone, "bodies", "body: begin", "after begin for lane 0 alone the status is [1, 1, 1]"),
    (bodies.MissesTheFirstBegin, "bodies", "body: begin", "for every lane before, the status is None"),
    (bodies.TalksAfterTheEnd, "bodies", "body: begin", "though every lane waits for begin"),
    (bodies.ActsAtFirst, "bodies", "body: ignored actions", ""),
    (policies.NormalisesItself, "brains", "role: only changers", "at respond.0.action"),
    (policies.EvaluatesByItsPast, "brains", "role: only changers", ""),
    (players.TeachesItself, "critics", "role: only changers", ""),
    (players.LearnsUnasked, "brains", "role: only changers", ""),
    (players.GrowsBolder, "coprocessors", "role: only changers", ""),
    (players.ChoosesByChance, "coprocessors", "role: only changers", "asked the same twice, choose differs"),
    (players.CountsQuestions, "coprocessors", "role: only changers", "changed the state at asked"),
    (policies.LosesACell, "brains", "policy: respond", "another memory"),
    (policies.AnswersWithoutAction, "brains", "policy: respond", "respond answers move, but no action"),
    (policies.StepIsNotRespond, "brains", "policy: respond", ""),
    (policies.AnotherMemory, "brains", "policy: respond", ""),
    (policies.NeverWoken, "brains", "policy: respond", "nothing wakes it"),
    (policies.RespondsUnstimulated, "brains", "policy: respond", ""),
    (policies.EvaluatesOtherwise, "brains", "policy: evaluate", ""),
    (policies.EvaluatesUnstimulated, "brains", "policy: evaluate", "evaluate says"),
    (policies.ActsWhileItWaits, "brains", "idle lanes rest", ""),
    (learners.ChangesAlways, "learners", "learner: updates", ""),
    (learners.RewiresAlways, "learners", "learner: updates", ""),
    (learners.TeachesAsItFits, "learners", "learner: updates", "changed the policy it uses"),
    (models.LooksAtTheBatch, "world_models", "model: rows", ""),
    (models.Detached, "world_models", "model: gradient", ""),
    (models.WithoutGradient, "world_models", "model: gradient", "does not depend on the input by any gradient"),
    (models.Saturated, "world_models", "model: gradient", "no gradient reaches the input"),
    (models.LosesInTheMean, "world_models", "model: loss", "[5]"),
    (models.LosesByItsNeighbours, "world_models", "model: loss", "one row alone"),
    (models.LosesWithoutGradient, "world_models", "model: loss", "no gradient of the loss"),
    (players.ForgetsASynapse, "brains", "plastic: synapses", "(5, 2)"),
    (players.NamesNoSynapse, "brains", "plastic: synapses", "which neurons they join"),
    (players.WritesEveryLane, "brains", "plastic: synapses", "others than the lanes of the mask"),
    (players.SharesItsWeights, "brains", "plastic: synapses", "2 lanes"),
]

NEEDS_TORCH = {models.Model, models.LooksAtTheBatch, models.Detached, models.Distribution, models.Pair,
               models.WithoutGradient, models.Saturated, models.LosesInTheMean, models.LosesByItsNeighbours,
              models.LosesWithoutGradient}


@pytest.mark.parametrize(("cls", "folder"), SOUND, ids=lambda value: getattr(value, "__name__", None))
def test_a_sound_component_conforms(cls, folder):
    if cls in NEEDS_TORCH:
        pytest.importorskip("torch")
    report = check(cls, folder=folder)
    assert report.ok, report.text()


@pytest.mark.parametrize(("cls", "folder", "expected", "words"), BROKEN,
                         ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_component_is_caught_by_the_right_property(cls, folder, expected, words):
    if cls in NEEDS_TORCH:
        pytest.importorskip("torch")
    report = check(cls, folder=folder, only=(expected,))
    assert report.failed == (expected,), report.text()
    assert report.results[-1].message
    assert words in report.results[-1].message, report.text()


def test_every_property_is_seen_to_fail():
    assert {expected for _, _, expected, _ in BROKEN} == set(PROPERTIES)


def test_the_report_names_what_failed_and_the_life_that_led_there():
    report = check(steps.MixesLanes, folder="", only=("5 lanes are strangers",))
    assert "FAIL 5 lanes are strangers" in report.text()
    assert "Plan(seed=" in report.text()
    assert "MixesLanes" in report.text()


def test_what_does_not_apply_says_why():
    report = check(steps.Leaky, only=("body: begin", "policy: respond"))
    assert report.ok
    assert [(r.applies, bool(r.message)) for r in report.results[1:]] == [(False, True), (False, True)]


@pytest.mark.parametrize(("cls", "folder"), [(bodies.Body, "bodies"), (policies.Brain, "brains"), (steps.Leaky, ""),
                                             (players.Stimulator, "stimulators"), (players.Search, "coprocessors")])
def test_a_foreign_class_finds_its_folder_by_its_ports(cls, folder):
    assert guess_folder(cls.example()) == folder


def test_a_function_that_makes_components_is_checked_like_a_class():
    report = check(lambda: steps.Leaky(noise=0.3), only=("3 seeds",))
    assert report.ok, report.text()
