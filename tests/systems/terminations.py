"""Termination functions against the environments they speak of: `python tests/systems/terminations.py --json`.

One line per environment, and exit code 1 if one of them agrees on less than 99.99 % of its transitions. With
`--run RUN` (repeatable) it is asked about all transitions of runs, which a policy made as it learned.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import stimloop as sl
from stimloop.assemblies.own_environment import lived
from stimloop.components.parts import termination_check, terminations

ENVS = ("InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
        "HalfCheetah-v5", "Pendulum-v1")


def judged(env: str, transitions: int, seed: int = 0) -> termination_check.Agreement:
    """Hold the function that is chosen for an environment against it."""
    name = terminations.name_for_env(env)
    return termination_check.compare(env, terminations.find(name), called=name, transitions=transitions, seed=seed)


def of_policy(run: Path) -> termination_check.Agreement:
    """Hold the function of a run's environment against what the run recorded."""
    env = sl.open(run).attributes["assembly"]["components"]["body"]["params"]["env"]
    name = terminations.name_for_env(env)
    return termination_check.judge(env, terminations.find(name), lived(run, env), called=name)


def main() -> int:
    """Compare, print, and say by the exit code whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--env", action="append", choices=ENVS, help="only this one; repeatable")
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", action="append", type=Path, default=[], help="what a policy did; repeatable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for asked in options.run or options.env or ENVS:
        found.append(of_policy(asked) if options.run else judged(asked, options.transitions, options.seed))
        if not options.json:
            print(found[-1].text(), flush=True)
    if options.json:
        print(json.dumps([each.facts() for each in found], indent=1))
    return int(not all(each.passed for each in found))


if __name__ == "__main__":
    sys.exit(main())
