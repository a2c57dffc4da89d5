"""Learning in an environment of one's own: the files to begin with, and the check of its termination function."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..loops.errors import AssemblyError, Problem
from .listing import new_module, write_new

if TYPE_CHECKING:
    from ..components.parts.termination_check import Agreement
    from .settings import Settings

_ASSEMBLY = '''# Learning in {env}. Run it:  stimloop run {name}.yaml{allow}
name: {name}
about: A brain learns in {env}.
until: 20000 steps
components:
  body: {{type: bodies.gymnasium_env, params: {{env: "{env}"}}, inputs: [brain.action]}}
  brain:
    type: brains.mlp
    params: {{hidden: [256, 256], explore: true, random_steps: 500}}
    inputs: [body.observation, body.status]
  critic: {{type: critics.q_ensemble, params: {{hidden: [256, 256]}}, inputs: [body.observation, brain.action]}}
  # A learner that imagines (it also uses a model of the world) is told when imagined episodes are over by the function
  # in {name}_rules.py, which it gets as its param  termination: {name}_rules:ended  and which is loaded only if you
  # allow it: --allow {name}_rules
  learner:
    type: learners.sac
    inputs: [body.observation, body.reward, body.status, brain.action]
    uses: {{policy: brain, value: critic}}
  metrics: {{type: learners.metrics, inputs: [body.status, body.reward]}}
evaluate:
  test:
    every: 2000 steps
    episodes: 10
    seeds: 1000
    without: [learner, critic, metrics]
    set: {{brain.params.explore: false}}
small: {{until: 150 steps, evaluate.test.every: 100 steps, evaluate.test.episodes: 1, learner.params.batch_size: 32}}
'''

_RULES = '''"""When an episode of {env} is over: asked about transitions that a model imagines."""


def ended(observation, action, successor):
    """Return which transitions end an episode, bool [batch].

    Observations, actions and the observations that followed are [batch, ...], torch tensors on any device or NumPy
    arrays. Index the last axis, and use what both have: | & ~, abs(x), x.any(-1), comparisons. Compare with
    what the environment does:  stimloop check-termination {env} --function {name}_rules:ended
    """
    return abs(successor[..., 1]) > 0.2  # the pole of InvertedPendulum has fallen: write your own rule here
'''

_TEST = '''"""The termination function of {env} judges as the environment does. Run it with pytest."""

{imports}from {name}_rules import ended
from stimloop.components.parts import termination_check


def test_the_rule_agrees_with_the_environment():
    found = termination_check.compare("{plain}", ended, transitions=5000)
    assert found.passed, found.text()
    assert found.ends > 0, "no episode ended: nothing was tested (never, if none ever ends)"
'''


def new_environment(name: str, env: str) -> tuple[list[str], str]:
    """Write assembly, rules and their test into the working directory; returns their paths and what to do next."""
    if not re.fullmatch(r"[\w.:/-]{1,120}", env):
        raise AssemblyError([Problem(f"{env[:80]!r} is no id of a Gymnasium environment", "",
                                     "Write it as registered, such as Hopper-v5, or my_package:Reach-v0.")])
    rules = f"{name}_rules"
    new_module(name)
    module, _, _ = env.rpartition(":")
    allow = f" --allow {module}" if module else ""
    texts = {Path(f"{name}.yaml"): _ASSEMBLY, new_module(rules): _RULES, Path(f"test_{rules}.py"): _TEST}
    for path in texts:
        if path.exists():
            raise AssemblyError([Problem(f"{path} exists already", "", "Choose another name.")])
    for path, text in texts.items():
        write_new(path, text.format(name=name, env=env, plain=env.rpartition(":")[2], allow=allow,
                                    imports=f"import {module}  # registers the environment\n" if module else ""))
    files = [str(path) for path in texts]
    return files, (f"wrote {', '.join(files)}\n1. write when an episode ends: {rules}.py\n"
                   f"2. compare:  stimloop check-termination {env} --function {rules}:ended\n"
                   f"3. learn:    stimloop run {name}.yaml{allow}")


def check_rule(env: str, function: str, transitions: int, seed: int, allowed: Settings) -> Agreement:
    """Compare a termination function with its environment; naming both on the command line is consent to import them.

    Without a function it is the one that is known for the environment.
    """
    from ..catalogue.lookup import foreign
    from ..components.parts import allowed as permitted
    from ..components.parts import terminations

    try:
        from ..components.parts import termination_check
    except ModuleNotFoundError as missing:
        raise AssemblyError([Problem(f"comparing with an environment needs the library {missing.name!r}", "",
                                     'Run: pip install "stimloop[bodies]"')]) from missing
    folders = (Path.cwd(), allowed.folder)
    modules = (*allowed.allow, *(name.partition(":")[0] for name in (function, env) if ":" in name))
    permitted.allow_only(modules, lambda where, what: foreign(where, what, modules, folders))
    try:
        name = function or terminations.name_for_env(env)
        return termination_check.compare(env, terminations.find(name), called=name, transitions=transitions, seed=seed)
    except ValueError as error:
        raise AssemblyError([Problem(str(error), "", "")]) from error
