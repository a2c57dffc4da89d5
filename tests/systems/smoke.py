"""Every assembly of MoPAC, in every variant, lives for a while and says all it has to: `python tests/systems/smoke.py`.

300 real steps with networks of full size, 100 starts of imagined lives and 10 variants of a plan; one line each, and
exit code 1 if a number is missing or not finite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import stimloop as sl
from stimloop.assemblies.loading import shipped
from stimloop.catalogue.lookup import find

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))
from systems.saying import live, unsaid, untested

NAMES = [name for name in shipped() if name.startswith("mopac_")]
OF_STATES = {"v_loss", "v_mean"}  # said where a value of states is learned
OF_PLANS = {"effective_size", "cut_share"}  # where plans are made
OF_MODELS = {"model_loss", "model_steps", "fits", "rollout_length", "mean_rollout_length",
             "model_rows"}  # where one is fitted
OF_EPISODES = ("episodes", "steps", "return", "length")
LIFE = {"until": "300 steps", "body.params.max_steps": 100, "brain.params.random_steps": 100,
        "learner.params.learning_starts": 100, "evaluate.test.every": "300 steps",
        "evaluate.test.episodes": 2}
PRACTICE = {"learner.params.min_buffer": 100, "learner.params.model_train_freq": 100,
            "learner.params.epoch_length": 100, "learner.params.rollout_batch_size": 100}  # of learners that imagine

def expected(assembly: sl.Assembly) -> set[str]:
    """Return what the learner of an assembly has to have said by the end."""
    kind: Any = find(assembly.get("learner.type"))
    params = assembly.get("learner.params")
    names = {"updates", *kind.measures}
    if "state_value" not in assembly.get("learner.uses"):
        names -= OF_STATES
    if not params.get("planning", True):
        names -= OF_PLANS
    if params.get("ratio_schedule", [0, 1, 0, 0])[2:] == [1, 1]:
        names -= OF_MODELS | OF_PLANS
    return names


def complaints(assembly: sl.Assembly, run: Any) -> Iterator[str]:
    """Name each number that the learner or the evaluation of a run never said, or that is not finite."""
    metrics = OF_EPISODES if "metrics" in assembly.components else ()
    yield from unsaid(run, [*(f"learner.{name}" for name in sorted(expected(assembly))),
                            *(f"metrics.{name}" for name in metrics)])
    yield from untested(run)


def for_a_while(name: str, variant: str) -> sl.Assembly:
    """Return an assembly that lives for 300 steps with networks of full size."""
    made = sl.load(name).resolve(variant=variant)
    kind = made.get("learner.type")
    plans = {"learner.params.particles": 10} if kind == "learners.mopac" else {}
    return made.set({**LIFE, **({} if kind == "learners.sac" else PRACTICE), **plans})


def lives(names: list[str]) -> Iterator[tuple[str, Callable[[Path], list[str]]]]:
    """Return each life by its name, and what it did not say."""
    for name in names:
        for variant in ("base", *sl.load(name).variants):
            made = for_a_while(name, variant)
            yield f"{name} {variant}", lambda folder, made=made: list(complaints(made, made.run(folder=folder)))


def main() -> int:
    """Run, print, and say by the exit code whether all said all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--name", action="append", choices=NAMES, help="only this one; repeatable")
    return int(live(lives(parser.parse_args().name or NAMES)) > 0)


if __name__ == "__main__":
    sys.exit(main())
