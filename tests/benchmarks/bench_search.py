"""Searching for a command at each step of a patient: how long it takes, and how much a grid of 100 points finds more.

What is searched through is what a coprocessor has after three episodes of the patient: the shipped critic, and a model
fitted to that patient, on three tasks; states are those the patient was in, shifted a little. Sixteen electrodes are
searched through a model that has learned nothing: its sizes, not its weights, make the time.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from .common import check

TASKS = {"pendulum": "30 s", "reacher": "3 s", "elbow": "6 s"}  # and how long the patient is watched
STATES, ROUNDS, MANY = 500, 200, 16


def _gaps(task: str, until: str, kinds: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return by how much each search falls short of the grid [states], as a share of the range of the grid's scores."""
    import torch

    from stimloop.assemblies.loading import load
    from stimloop.components.coprocessors.copac import Copac
    from stimloop.components.parts import stimulus_search

    assembly = load(f"copac_{task}").variant("no_rehearsal").set({"coprocessor.params.points": 31, "evaluate": None,
                                                                  "until": until, "record": "none"})
    with assembly.build() as loop:
        loop.run(assembly.get("until"))
        coprocessor, seen = loop.components["coprocessor"], loop.components["learner"]._seen
    rng = np.random.default_rng(0)
    states = seen[rng.integers(0, len(seen), STATES)] + 0.05 * rng.standard_normal((STATES, seen.shape[1]))
    question = coprocessor.scores.question(torch.from_numpy(states.astype(np.float32)), None)
    low, high, all_of = np.full(2, -5.0), np.full(2, 5.0), torch.arange(STATES)
    with torch.no_grad():
        grid = stimulus_search.make("grid", low, high, 100, 0, 0, 0).commands
        scores = torch.stack([question.score(torch.full((len(grid),), row), grid) for row in range(STATES)])
        most, span = scores.amax(1), scores.amax(1) - scores.amin(1)
    found = {}
    for kind in kinds:
        usual = Copac(search=kind)
        search = stimulus_search.make(kind, low, high, 0, usual.starts, usual.iterations, 1)
        with torch.no_grad():
            told = question.score(all_of, search.best(question.score, STATES, question.climb))
        found[kind] = ((most - told) / span).numpy()
    return found


def _times(kind: str, channels: int) -> list[float]:
    """Return milliseconds of single questions, of one patient."""
    from stimloop.assemblies.loading import load

    made = load("copac_elbow").variant("no_rehearsal").set({
        "coprocessor.params.search": kind, "stimulator.params.channels": channels, "evaluate": None, "record": "none"})
    with made.build() as loop:
        coprocessor, rng, found = loop.components["coprocessor"], np.random.default_rng(0), []
        for _ in range(ROUNDS):
            seen, began = rng.standard_normal((1, 9)).astype(np.float32), perf_counter()
            coprocessor.choose(seen)
            found.append((perf_counter() - began) * 1e3)
    return found


def measure() -> dict[str, Any]:
    """Judge gaps (the 99th percentile over states) and times."""
    import torch

    torch.set_num_threads(1)
    checks = []
    for task, until in TASKS.items():
        for kind, gaps in _gaps(task, until, ("gradient", "cem")).items():
            share = float((gaps <= 0.01).mean())
            checks += [check(f"{task}_{kind}_gap", [float(np.mean(gaps))], "of the range", at_most=0.01),
                       check(f"{task}_{kind}_states_within_1_percent", [share], "share")]
    for kind, channels, bound in (("grid", 2, None), ("gradient", 2, None), ("cem", 2, None), ("gradient", MANY, 20.0),
                                  ("cem", MANY, 20.0)):
        checks.append(check(f"{kind}_{channels}_channels_ms", _times(kind, channels), "ms", at_most=bound))
    return {"name": "search", "checks": checks, "settings": {"states": STATES, "rounds": ROUNDS, "points": 100}}
