"""CopAC with every option beside every other lives and says all it has to: `python tests/systems/smoke_copac.py`.

Every coprocessor (method, data, search, model, rehearsal) that makes sense meets a patient (brain, lesion, electrodes),
chosen so that every option of the one meets every option of the other; with --all, every coprocessor meets every
patient. A life is two episodes of a pendulum with the weights that are shipped; one line each. What makes no sense has
to be refused, with the remedy. Exit code 1 if a number is missing or not finite, or if nonsense is not refused.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))
import stimloop as sl
from systems.saying import live, unsaid, untested

NEURONS = {"mlp": 32, "modular": 60}
BRAINS: dict[str, dict[str, Any]] = {
    "mlp": {"brain.params.lesion": None},
    "modular": {"brain": {"type": "brains.modular_rnn",
                          "params": {"sizes": [20, 20, 20], "summary": 16, "hidden": [16]},
                          "inputs": ["body.observation", "body.status", "stimulator.current"]}}}
LESIONS: dict[str, Callable[[str], dict[str, Any] | None]] = {
    "none": lambda brain: None,
    "weights": lambda brain: {"kind": "weights", "fraction": 0.9},
    "connections": lambda brain: {"kind": "connections", "fraction": 0.5,
                                  **({"source": "AIP", "target": "F5"} if brain == "modular" else {})},
    "neurons": lambda brain: {"kind": "neurons", "fraction": 0.5},
    "mask": lambda brain: {"kind": "mask", "mask": [0, 1] * (NEURONS[brain] // 2)},
    "region": lambda brain: {"kind": "region", "region": "M1", "fraction": 0.5}}  # of a brain that has regions
PLACEMENTS: dict[str, dict[str, Any]] = {"even": {}, "list": {"centres": [5.0, 14.0]}, "surviving": {"dead": [0, 2, 4]},
                                         "permutation": {}}
SEARCHES = {"grid": {"points": 5}, "gradient": {"starts": 4, "iterations": 3}, "cem": {"starts": 8, "iterations": 3}}
MODELS = {"plain": (1, 0), "ensemble": (3, 0), "remembering": (1, 8), "both": (3, 8)}  # members and cells of memory
LIFE = {"budget.params.episodes": 2, "body.params.max_steps": 15, "world.params.max_steps": 15,
        "learner.params.train_freq": 5, "learner.params.f_passes": 11, "learner.params.f_ticks": 4,
        "learner.params.q_passes": 3, "learner.params.q_learning_starts": 10, "learner.params.q_train_freq": 10,
        "learner.params.update_start": 0, "evaluate.test.episodes": 2, "evaluate.test.set": {}}


EXPERT = {"type": "brains.mlp", "params": {"weights": "healthy_pendulum", "hidden": [32, 32]},
          "inputs": ["body.observation", "body.status"]}
ORACLE = {"critic": "critic", "brain": "brain", "stimulator": "stimulator"}


class Coprocessor(NamedTuple):
    """What a coprocessor is made of."""

    method: str  # qmax, pmax, inverse; oracle: qmax with the brain itself
    collect: str
    search: str  # - where nothing is searched
    model: str  # - where there is none
    rehearsed: int


class Patient(NamedTuple):
    """What a patient is made of."""

    brain: str
    lesion: str
    placement: str


Life = tuple[Coprocessor, Patient]


def coprocessors() -> list[Coprocessor]:
    """Return every combination that makes sense."""
    found = []
    for method, collect in product(("qmax", "pmax", "inverse", "oracle"), ("greedy", "random")):
        searches = ["-"] if method == "inverse" else list(SEARCHES)
        models = {"oracle": ["-"], "inverse": ["plain", "ensemble"]}.get(method, list(MODELS))
        found += [Coprocessor(method, collect, *rest)
                  for rest in product(searches, models, (0, 2) if method == "qmax" else (0,))]
    return found


def patients() -> list[Patient]:
    """Return every combination that makes sense."""
    return [Patient(*each) for each in product(BRAINS, LESIONS, PLACEMENTS)
            if each[:2] != ("mlp", "region")]


def met(life: Life) -> set[tuple[Any, ...]]:
    """Return every option of the coprocessor beside every option of the patient."""
    return set(product(life[0]._asdict().items(), life[1]._asdict().items()))


def lives(every: bool = False) -> list[Life]:
    """Return each coprocessor with each patient, or with one until every option of theirs has met every other."""
    together = list(product(coprocessors(), patients()))
    if every:
        return together
    found: list[Life] = []
    missing, chosen = set[tuple[Any, ...]]().union(*map(met, together)), Counter[Patient]()
    of_each = [[(coprocessor, patient) for patient in patients()] for coprocessor in coprocessors()]
    while of_each or missing:  # of patients that are as good, the one that was met least
        found.append(max(of_each.pop(0) if of_each else together,
                         key=lambda life: (len(met(life) & missing), -chosen[life[1]])))
        missing -= met(found[-1])
        chosen[found[-1][1]] += 1
    return found


def assembly(coprocessor: Coprocessor, patient: Patient) -> sl.Assembly:
    """Return copac_pendulum, made of these."""
    made = sl.load("copac_pendulum").set(BRAINS[patient.brain])
    made = made.set({"brain.params.lesion": LESIONS[patient.lesion](patient.brain), **LIFE, "stimulator.params": {
        "channels": 2, "spread": 1.75, "placement": patient.placement, "may_be_dead": True,
        **({"span": [0, 20]} if patient.brain == "modular" else {}), **PLACEMENTS[patient.placement]}})
    return made.set(choices(coprocessor))


def choices(coprocessor: Coprocessor) -> dict[str, Any]:
    """Return what a coprocessor sets."""
    method, collect, search, model, rehearsed = coprocessor
    members, memory = MODELS.get(model, (1, 0))
    params: dict[str, Any] = {"method": "qmax" if method == "oracle" else method, "collect": collect,
                              **({} if search == "-" else {"search": search, **SEARCHES[search]})}
    found: dict[str, Any] = {"coprocessor.params": params}
    if collect == "random":
        found["evaluate.test.set"] = {"coprocessor.params.collect": "greedy"}
    if method == "oracle":
        return found | {"coprocessor.uses": ORACLE, "learner": None, "action_model": None, "world": None}
    found |= {"action_model.params": {"members": members, "memory": memory},
              "learner.params.imagined_episodes": rehearsed}
    if memory:
        params |= {"low": -1.499, "high": 1.499}
        found["stimulator.params.decay"] = 0.3
    if members > 1 and method != "inverse":
        params["bonus"] = 1.0
    if not rehearsed:
        found |= {"learner.uses": {"action_model": "action_model"}, "world": None}
    if method in ("pmax", "inverse"):
        found |= {"expert": EXPERT, "critic": None,
                  "coprocessor.uses": {"expert": "expert", "action_model": "action_model"}}
    if method == "inverse":
        found |= {"coprocessor.uses": {"expert": "expert", "inverse_model": "action_model"},
                  "learner.uses": {"inverse_model": "action_model"},
                  "action_model.inputs": ["body.observation", "body.status", {"condition": "brain.action"},
                                          {"target": "limiter.command"}]}
    return found


def complaints(made: sl.Assembly, run: Any) -> Iterator[str]:
    """Name each number that a life did not say, or that is not finite."""
    yield from unsaid(run, expected(made))
    yield from untested(run, ("return", "length", "steps", "episodes", "wall"))


def expected(made: sl.Assembly) -> list[str]:
    """Return which numbers an assembly has to say."""
    found = ["coprocessor.command", "coprocessor.promise", "limiter.command", "stimulator.current", "brain.action",
             *(f"metrics.{name}" for name in ("episodes", "steps", "return", "length"))]
    if "action_model" in made.components:
        found += [f"action_model.{name}" for name in ("prediction", "error", "disagreement")]
    if "learner" in made.components:
        found += [f"learner.{name}" for name in ("updates", "f_loss", "f_error")]
        if made.get("learner.params.imagined_episodes"):
            found += [f"learner.{name}" for name in ("q_loss", "imagined_return", "imagined_steps")]
    return found


QMAX = Coprocessor("qmax", "greedy", "grid", "plain", 0)
HURT = Patient("mlp", "weights", "even")
# What makes no sense: a coprocessor, a patient, what is set besides, and what the refusal says.
NONSENSE: dict[str, tuple[Coprocessor, Patient, Mapping[str, Any], str]] = {
    "an inverse model that remembers": (
        QMAX._replace(method="inverse", search="-"), HURT, {"action_model.params.memory": 8}, "memory: 0"),
    "an inverse model that is searched": (
        QMAX._replace(method="inverse", search="-"), HURT, {"coprocessor.params.search": "cem"}, "Leave search"),
    "a bonus for what one model disagrees with itself about": (
        QMAX, HURT, {"coprocessor.params.bonus": 1.0}, "members: 2 or more"),
    "a rehearsal for a critic that pmax does not ask": (
        QMAX._replace(rehearsed=2), HURT,
        {"coprocessor.params.method": "pmax", "coprocessor.uses": {"expert": "expert", "action_model": "action_model"},
         "expert": EXPERT}, "imagined_episodes: 0"),
    "a rehearsal with the brain itself": (
        QMAX._replace(rehearsed=2), HURT, {"coprocessor.uses": ORACLE}, "imagined_episodes: 0"),
    "the brain itself beside a model of it": (
        QMAX, HURT, {"coprocessor.uses": {**ORACLE, "action_model": "action_model"}},
        "Leave brain and stimulator out"),
    "a rehearsal without a world": (
        QMAX, HURT, {"learner.params.imagined_episodes": 2}, "imagined_episodes: 0"),
    "episodes that the world's lanes cannot share": (
        QMAX._replace(rehearsed=2), HURT, {"world.lanes": 3}, "lanes:"),
    "a search that nobody could wait for": (
        QMAX, HURT, {"stimulator.params.channels": 16, "coprocessor.params.points": 100}, "search: gradient"),
    "a lesion of a region in a brain that has none": (
        QMAX, HURT, {"brain.params.lesion": {"kind": "region", "region": "M1"}}, "region"),
    "a lesion that leaves no electrode anything to stimulate": (
        QMAX, HURT, {"brain.params.lesion": {"kind": "neurons"}, "stimulator.params.may_be_dead": False},
        "may_be_dead: true"),
    "electrodes at places that nobody gave": (
        QMAX, HURT, {"stimulator.params.placement": "list"}, "centres"),
    "electrodes that lose nothing ever": (
        QMAX, HURT, {"stimulator.params.decay": 0.0}, "share above 0"),
}


def refusal(name: str) -> list[str]:
    """Build what makes no sense; return a complaint if it is not refused in the words that help."""
    coprocessor, patient, besides, told = NONSENSE[name]
    try:
        assembly(coprocessor, patient).set(dict(besides)).build().close()
    except sl.AssemblyError as error:
        return [] if told in str(error) else [f"the refusal does not say {told!r}: {error}"]
    return ["is not refused"]


def lived(life: Life, folder: Path) -> list[str]:
    """Live, and return what was not said."""
    made = assembly(*life)
    return list(complaints(made, made.run(folder=folder)))


def name_of(life: Life) -> str:
    """Return a life in words."""
    coprocessor, patient = life
    return (f"{coprocessor.method} {coprocessor.collect} {coprocessor.search} {coprocessor.model} "
            f"K={coprocessor.rehearsed} | {patient.brain} {patient.lesion} {patient.placement}")


def main() -> int:
    """Live, print, and say by the exit code whether all said all and nonsense was refused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="every coprocessor with every patient: some hours")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th life")
    options = parser.parse_args()
    chosen = lives(options.all)[::options.every]
    wrong = live((f"refused: {name}", lambda folder, name=name: refusal(name)) for name in NONSENSE)
    wrong += live((name_of(life), lambda folder, life=life: lived(life, folder)) for life in chosen)
    print(f"{len(chosen)} lives and {len(NONSENSE)} refusals, {wrong} of them wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
