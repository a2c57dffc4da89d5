"""A few of the lives of `smoke_copac.py`, all of its refusals, and that every option meets every other."""

import pytest

pytest.importorskip("torch", reason="the coprocessor searches with torch")
pytest.importorskip("gymnasium", reason="its body is Gymnasium's")

import stimloop as sl
from stimloop.assemblies.differences import diff
from systems import smoke_copac as smoke

LIVES = smoke.lives()
# One switch each, beside what hangs on it: commands within what electrodes that keep something may have, and tests
# without exploring; for an expert in place of the critic, its own weights, and nobody who would improve that critic.
SWITCHES = {
    "grid": ["evaluate.test.set."], "cem": ["coprocessor.params.search"],
    "temporal": ["stimulator.params.decay", "action_model.params.memory", "coprocessor.params.low",
                 "coprocessor.params.high"],
    "ensemble": ["action_model.params.members", "coprocessor.params.bonus", "evaluate.test.set."],
    "pmax": ["coprocessor.params.method", "coprocessor.uses.", "expert.", "critic.", "learner.", "world."],
    "inverse": ["coprocessor.params.method", "coprocessor.params.collect", "evaluate.test.set.", "coprocessor.uses.",
                "expert.", "critic.", "learner.", "world.", "action_model.inputs."]}


@pytest.mark.parametrize("life", LIVES[::14], ids=smoke.name_of)
def test_a_short_life_says_all_its_numbers(life, tmp_path):
    assert not smoke.lived(life, tmp_path)


@pytest.mark.parametrize("name", smoke.NONSENSE)
def test_what_makes_no_sense_is_refused_with_the_remedy(name):
    assert not smoke.refusal(name)


def test_every_option_of_a_coprocessor_meets_every_option_of_a_patient():
    wanted = set().union(*map(smoke.met, smoke.lives(every=True)))
    assert set().union(*map(smoke.met, LIVES)) == wanted
    assert {coprocessor for coprocessor, _ in LIVES} == set(smoke.coprocessors())


def test_a_number_that_is_missing_is_found(tmp_path):
    made = smoke.assembly(smoke.QMAX, smoke.HURT).set({"learner.params.learning_starts": 1000})
    assert "learner.f_loss was never said" in list(smoke.complaints(made, made.run(folder=tmp_path)))


@pytest.mark.parametrize("name", ["copac_pendulum", "copac_reacher", "copac_elbow"])
@pytest.mark.parametrize("variant", SWITCHES)
def test_a_variant_differs_in_nothing_but_its_switch(name, variant):
    assembly = sl.load(name)
    apart = diff(assembly.resolve(), assembly.resolve(variant=variant))
    assert apart
    assert not [key for key in apart if not key.startswith(tuple(SWITCHES[variant]))]
