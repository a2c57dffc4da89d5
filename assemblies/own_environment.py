"""Learning in an environment of one's own: the files to begin with, and the check of its termination function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..loops.errors import AssemblyError, Problem, RunError, left
from ..loops.status import FIRST, TERMINATED
from ..loops.storage.runs import Run
from .listing import new_module, write_new
from .reports.reading import entry

if TYPE_CHECKING:
    from ..components.parts.termination_check import Agreement, Batch
    from .settings import Settings

_ASSEMBLY = '''# Learning in {env}: the policy practises in a model of it that is learned beside it (learners.mbpo).
#
#     stimloop run {name}.yaml --small{allow}     # seconds
#     stimloop run {name}.yaml{allow}             # hours
#
# The learner asks `ended` in {name}_rules.py when an imagined episode is over; --allow lets the run load that file.
# Schedules are [first epoch, last epoch, value at the first, value at the last]; an epoch is `epoch_length` steps.
name: {name}
about: A brain learns in {env}, and in a model of it.
until: 20000 steps
components:
  body: {{type: bodies.gymnasium_env, params: {{env: "{env}"}}, inputs: [brain.action]}}
  brain:
    type: brains.mlp
    params: {{hidden: [256, 256], explore: true, random_steps: 500}}
    inputs: [body.observation, body.status]
  critic: {{type: critics.q_ensemble, params: {{hidden: [256, 256]}}, inputs: [body.observation, brain.action]}}
  model:
    type: world_models.gaussian_ensemble
    params: {{hidden: [200, 200, 200, 200]}}
    inputs: [body.observation, brain.action, body.reward, body.status]
  learner:
    type: learners.mbpo
    params:
      termination: {name}_rules:ended
      learning_starts: 500
      min_buffer: 500
      epoch_length: 1000
      gradient_steps: 20                    # updates for each real step
      model_train_freq: 250                 # real steps between two fits of the model
      rollout_batch_size: 10000             # imagined lives each time
      rollout_schedule: [0, 20, 1, 5]       # how long they are
      ratio_schedule: [0, 1, 0.05, 0.05]    # share of real steps in what is learned from
    inputs: [body.observation, body.reward, body.status, brain.action]
    uses: {{policy: brain, value: critic, model: model}}
  metrics: {{type: learners.metrics, inputs: [body.status, body.reward]}}
evaluate:
  test:
    every: 1000 steps
    episodes: 10
    seeds: 1000
    without: [learner, critic, model, metrics]
    set: {{brain.params.explore: false}}
checkpoint: {{every: 10 min wall, keep: 3}}
variants:
  mopac:                                    # lives in the model begin with plans, judged by a value of states
    learner.type: learners.mopac
    learner.uses.state_value: state_value
    learner.params.rollout_schedule: [0, 1, 5, 5]
    state_value:
      type: critics.value_mlp
      params: {{hidden: [256, 256], activation: relu}}
      inputs: [body.observation]
    evaluate.test.without: [learner, critic, state_value, model, metrics]
  sac: {{learner.params.ratio_schedule: [0, 1, 1, 1]}}   # real steps alone, as many updates for each
small:
  until: 60 steps
  brain.params.random_steps: 30
  brain.params.hidden: [16, 16]
  critic.params.hidden: [16, 16]
  model.params.hidden: [16, 16]
  learner.params.learning_starts: 30
  learner.params.min_buffer: 30
  learner.params.epoch_length: 20
  learner.params.gradient_steps: 2
  learner.params.batch_size: 32
  learner.params.model_train_freq: 20
  learner.params.rollout_batch_size: 20
  evaluate.test.every: 60 steps
  evaluate.test.episodes: 1
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

_TEST = '''"""The termination function of {env} judges as the environment does.

    python -m pytest -p no:nengo test_{name}_rules.py      (the plugin that nengo brings stops pytest from version 8 on)
"""

{imports}from {name}_rules import ended
from stimloop.components.parts import termination_check


def test_the_rule_agrees_with_the_environment():
    found = termination_check.compare("{plain}", ended, transitions=5000)
    assert found.passed, found.text()
'''


def new_environment(name: str, env: str, allowed: Settings) -> tuple[list[str], str]:
    """Write assembly, rules and their test into the working directory; returns their paths and what to do next.

    The environment is made once, to see that it can be learned in; naming it is consent to import its module.
    """
    if not re.fullmatch(r"[\w.:/-]{1,120}", env):
        raise AssemblyError([Problem(f"{env[:80]!r} is no id of a Gymnasium environment", "",
                                     "Write it as registered, such as Hopper-v5, or my_package:Reach-v0.")])
    rules = f"{name}_rules"
    new_module(name)
    module, _, _ = env.rpartition(":")
    allow = "".join(f" --allow {each}" for each in (module, rules) if each)
    texts = {Path(f"{name}.yaml"): _ASSEMBLY, new_module(rules): _RULES, Path(f"test_{rules}.py"): _TEST}
    for path in texts:
        if path.exists():
            raise AssemblyError([Problem(f"{path} exists already", "", "Choose another name.")])
    with _comparing(allowed, env) as termination_check:
        termination_check.opened(env, {}).close()
    for path, text in texts.items():
        write_new(path, text.format(name=name, env=env, plain=env.rpartition(":")[2], allow=allow,
                                    imports=f"import {module}  # registers the environment\n" if module else ""))
    files = [str(path) for path in texts]
    return files, (f"wrote {', '.join(files)}\n1. write when an episode ends: {rules}.py\n"
                   f"2. compare:  stimloop check-termination {env} --function {rules}:ended\n"
                   f"3. test:     python -m pytest -p no:nengo test_{rules}.py\n"
                   f"4. learn:    stimloop run {name}.yaml{allow}  (--small: seconds)")


def check_rule(env: str, function: str, transitions: int, seed: int, allowed: Settings, run: Path | None = None
               ) -> Agreement:
    """Compare a termination function with its environment; naming both on the command line is consent to import them.

    Without a function it is the one that is known for the environment. With a run, the transitions are all that it
    recorded, none is played.
    """
    from ..components.parts import terminations

    with _comparing(allowed, env, function) as termination_check:
        name = function or terminations.name_for_env(env)
        rule = terminations.find(name)
        if run is not None:
            return termination_check.judge(env, rule, lived(run, env), called=name)
        return termination_check.compare(env, rule, called=name, transitions=transitions, seed=seed)


@contextmanager
def _comparing(allowed: Settings, *names: str) -> Iterator[Any]:
    """Permit the modules of these names, and give what compares; what it cannot do is told as a problem."""
    from ..catalogue.lookup import foreign
    from ..components.parts import allowed as permitted

    try:
        from ..components.parts import termination_check
    except ModuleNotFoundError as missing:
        raise AssemblyError([Problem(f"comparing with an environment needs the library {missing.name!r}", "",
                                     'Run: pip install "stimloop[bodies]"')]) from missing
    folders = (Path.cwd(), allowed.folder)
    modules = (*allowed.allow, *(name.partition(":")[0] for name in names if ":" in name))
    permitted.allow_only(modules, lambda where, what: foreign(where, what, modules, folders))
    try:
        yield termination_check
    except ValueError as error:
        raise AssemblyError([Problem(str(error), "", "")]) from error
    except SystemExit as leaving:
        raise left(names[0], leaving) from leaving


def lived(path: Path, env: str) -> Iterator[Batch]:
    """Give the transitions that a run recorded in an environment, 1000 at a time: those of a policy, as it learned.

    Raises RunError where it is a run in another environment, or one that does not say how episodes ended.
    """
    run = Run(path)
    name = run.body()
    body = entry(run, name)
    made_in = str(body.get("params", {}).get("env", str(body.get("type")).rpartition(".")[2]))
    if made_in != env:
        raise RunError(f"{run.name} is a run in {made_in}, not in {env}")
    flags = run.columns(f"{name}.status")["value"].read()
    if ((flags & FIRST != 0) & (flags & TERMINATED != 0)).any():
        raise RunError(f"{name} of {run.name} begins anew at once, so that the ends of its episodes were not observed; "
                       "compare a run of restart: next_tick")
    rows = run.transitions(name, drop_truncated=True)
    columns = [rows[key].values for key in ("observation", "action", "next_observation", "terminated")]
    for first in range(0, len(columns[0]), 1000):
        seen, action, then, over = (column[first:first + 1000] for column in columns)
        yield np.float32(seen), np.float32(action), np.float32(then), over
