"""Termination functions against the environments they speak of: `python tests/systems/terminations.py --json`.

One line per environment, and exit code 1 if one of them agrees on less than 99.99 % of its transitions.
"""

from __future__ import annotations

import argparse
import json
import sys

from stimloop.components.parts import termination_check, terminations

ENVS = ("InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
        "HalfCheetah-v5", "Pendulum-v1")


def judged(env: str, transitions: int, seed: int = 0) -> termination_check.Agreement:
    """Hold the function that is chosen for an environment against it."""
    name = terminations.name_for_env(env)
    return termination_check.compare(env, terminations.find(name), called=name, transitions=transitions, seed=seed)


def main() -> int:
    """Compare, print, and say by the exit code whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--env", action="append", choices=ENVS, help="only this one; repeatable")
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for env in options.env or ENVS:
        found.append(judged(env, options.transitions, options.seed))
        if not options.json:
            print(found[-1].text(), flush=True)
    if options.json:
        print(json.dumps([each.facts() for each in found], indent=1))
    return int(not all(each.passed for each in found))


if __name__ == "__main__":
    sys.exit(main())
