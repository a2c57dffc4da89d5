"""The table of proofs: what `make prove` runs in full, and tests run in small.

A proof is a function that takes counts and returns `{"holds": bool, ...}` with the figures that were found; one that
asserts what it shows may leave `holds` out. Its module is named from the folder tests. If it has a parameter
`progress`, it gets the path of a file where it may keep what it has finished, so that an interrupted proof goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Proof:
    """One proof: what it shows, the function, and its counts."""

    about: str
    target: str  # module:function
    full: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)


PROOFS: dict[str, Proof] = {
    "kills": Proof("a recorder killed at any moment opens, holds what was committed, and goes on",
                   "crash.prove_recorder:prove_kills", full={"n": 300}, small={"n": 5, "longest": 1.4}),
    "run_kills": Proof("a whole run killed at any moment, saving and resuming too, ends as one that was never killed",
                       "crash.prove_run_kills:prove_run_kills", full={"n": 300},
                       small={"n": 4, "until": "20 s", "longest": 0.4, "seeds": 1}),
    "store_failures": Proof("a disk that fails at any write is told, and loses nothing committed",
                            "crash.prove_recorder:prove_faults", full={"n": 100}, small={"n": 12}),
    "resume": Proof("a loop stopped anywhere, saved and loaded afresh, goes on to the last bit",
                    "crash.prove_resume:prove_resume", full={"stops": 20}, small={"stops": 1, "ticks": 110}),
    "repetition": Proof("order, names, hash seed and threads change nothing",
                        "crash.prove_resume:prove_repetition", full={"ticks": 1000}, small={"ticks": 60}),
    "study": Proof("a study killed at any moment, or shared by processes half of which are killed, ends alike",
                   "crash.prove_study:prove_study", full={"kills": 20}, small={"kills": 2, "shards": 2}),
    "seat": Proof("Stable-Baselines3 learns to help the pendulum's patient from the coprocessor's seat",
                  "crash.prove_seat:prove_seat", full={"seeds": 3, "steps": 7500, "at_least": -300.0},
                  small={"seeds": 1, "steps": 300, "at_least": -2000.0}),
    "soak": Proof("a long run at full logging takes no more memory, files and threads as it goes on",
                  "crash.prove_soak:prove_soak", full={"seconds": 1800, "names": ["toy", "elbow"]},
                  small={"seconds": 4, "mb_per_hour": 36_000}),
    "config": Proof("no document does more than raise AssemblyError", "crash.prove_config:prove_config",
                    full={"n": 100_000}, small={"n": 300}),
    "timing": Proof("impulses, delays and charge arrive when the page says, to the nanosecond", "crash.suites:suite",
                    full={"paths": ["tests/golden/test_stress_latency.py"], "profile": "prove"},
                    small={"paths": ["tests/golden/test_stress_latency.py"], "profile": "ci"}),
    "limiter": Proof("no adversarial pulse gets past the safety limiter; balanced pulses leave no charge",
                     "crash.prove_limiter:prove", full={"pulses": 1_000_000}, small={"pulses": 4000, "tick_us": 100.0}),
    "conformance": Proof("every component has every property, with many lives drawn", "crash.suites:suite",
                         full={"paths": ["tests/conformance"], "profile": "prove"},
                         small={"paths": ["tests/conformance/test_conformance_catches.py"], "profile": "ci"}),
    "myosuite_all": Proof("one task of every kind that MyoSuite has runs here to the last bit and resumes",
                          "crash.suites:suite",
                          full={"paths": ["tests/systems/test_bodies_myosuite_all.py"], "profile": "prove"},
                          small={"paths": ["tests/systems/test_bodies_myosuite.py"], "profile": "ci"}),
    "properties": Proof("random graphs and the other Hypothesis properties, with many examples", "crash.suites:suite",
                        full={"paths": ["tests/properties", "tests/kernel", "tests/golden"], "profile": "prove"},
                        small={"paths": ["tests/properties"], "profile": "ci"}),
    "branch_coverage": Proof("branch coverage of loops/", "crash.suites:branch_coverage",
                             full={"at_least": 95.0}, small={"at_least": 95.0, "paths": ["tests/kernel"]}),
}
