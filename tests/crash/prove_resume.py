"""Exact resume and exact repetition of shipped assemblies: state and log equal to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import stimloop as sl
from stimloop.loops.events import Events
from stimloop.loops.loop import Loop
from stimloop.loops.seeds import derive
from stimloop.loops.storage import checkpoint

ASSEMBLIES = {"elbow_stimulation": 20_000_000, "pendulum_first": 50_000_000, "cartpole_first": 20_000_000,
              "healthy_elbow": 20_000_000, "taught_elbow": 20_000_000}
LEARNING = ("healthy_elbow", "taught_elbow")  # with soft actor-critic in the loop
TICKS = 230  # of the body: more than two episodes of the elbow


def assembly(name: str, lanes: int = 2) -> sl.Assembly:
    """A shipped assembly with stimulation that is never the same twice, and without evaluation."""
    chosen = sl.load(name).set("lanes", lanes)
    if name == "elbow_stimulation":
        chosen = chosen.variant("random")
    if name in LEARNING:  # it begins early, so that most stops fall into learning
        chosen = chosen.set({"learner.params.learning_starts": 20, "learner.params.batch_size": 32,
                             "learner.params.buffer_size": 300})
    return chosen.set("brain.params.explore", True)


class Log:
    """Hashes every value published, by port (named `rename[component].port`)."""

    def __init__(self, loop: Loop, rename: Mapping[str, str] | None = None) -> None:
        self.hashes = {}
        names = rename or {}
        for key in loop.cells:
            component, _, port = key.partition(".")
            self.hashes[f"{names.get(component, component)}.{port}"] = digest = hashlib.sha256()
            loop.tap(key, lambda now, value, digest=digest: digest.update(_bytes(now, value)))

    def text(self) -> str:
        """One hash over all ports."""
        whole = "".join(f"{key} {digest.hexdigest()}\n" for key, digest in sorted(self.hashes.items()))
        return hashlib.sha256(whole.encode()).hexdigest()


def _bytes(now: int, value: Any) -> bytes:
    columns = [value.time, value.lane, value.index, value.value] if isinstance(value, Events) else [value]
    return b"".join([now.to_bytes(8, "little"), *(np.ascontiguousarray(c).tobytes() for c in columns)])


def state_hash(loop: Loop) -> str:
    """Hash the whole state of a loop between two instants."""
    arrays, tree = checkpoint.flatten(loop.save())
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def prove_resume(stops: int, ticks: int = TICKS, seed: int = 0) -> dict[str, Any]:
    """Stop at random instants in mid-episode, save to disk, load into a fresh loop, and compare state and log."""
    chance = random.Random(seed)
    compared = 0
    for name, period in ASSEMBLIES.items():
        for _ in range(stops):
            stop = chance.randrange(1, ticks * period)
            with bare(name).build() as whole, bare(name).build() as fresh, \
                    tempfile.TemporaryDirectory() as folder:
                whole.run(stop)
                checkpoint.write(whole.save(), Path(folder))
                fresh.load(checkpoint.newest(Path(folder)))
                assert state_hash(fresh) == state_hash(whole), f"{name}: state differs at {stop} ns"
                logs = Log(whole), Log(fresh)
                for loop in (whole, fresh):
                    loop.run(ticks * period)
                assert logs[0].text() == logs[1].text(), f"{name}: the log differs after a stop at {stop} ns"
                assert state_hash(fresh) == state_hash(whole), f"{name}: the last state differs after {stop} ns"
                compared += 1
    return {"holds": True, "stops": compared, "assemblies": sorted(ASSEMBLIES)}


def run_hash(chosen: sl.Assembly, period: int, ticks: int, rename: Mapping[str, str] | None = None) -> str:
    """Run a whole assembly and hash its log."""
    with chosen.build() as loop:
        log = Log(loop, rename)
        loop.run(ticks * period)
        return log.text()


def renamed(chosen: sl.Assembly) -> tuple[sl.Assembly, dict[str, str]]:
    """The same assembly under other names, in reverse order, its components' seeds written out."""
    document = chosen.document()
    names = {name: f"z{len(name)}_{name[::-1]}" for name in document["components"]}
    text = {name: derive(chosen.seed, name) for name in names}

    def move(address: str) -> str:
        component, _, port = address.partition(".")
        return f"{names[component]}.{port}"

    parts = {}
    for name in reversed(list(names)):
        entry = dict(document["components"][name])
        entry["seed"] = text[name]
        entry["inputs"] = {key: {**wire, "from": move(wire["from"])} for key, wire in reversed(entry["inputs"].items())}
        entry["uses"] = {role: names[target] for role, target in reversed(entry.get("uses", {}).items())}
        parts[names[name]] = entry
    other = {"name": document["name"], "seed": chosen.seed, "lanes": chosen.lanes, "components": parts}
    return sl.Assembly.of(other, chosen.origin), {new: old for old, new in names.items()}


def prove_repetition(ticks: int = TICKS) -> dict[str, Any]:
    """Same seed twice, other order and names, other PYTHONHASHSEED, other thread count: the same log."""
    hashes: dict[str, dict[str, str]] = {}
    for name, period in ASSEMBLIES.items():
        chosen = bare(name)
        other, back = renamed(chosen)
        found = {"first": run_hash(chosen, period, ticks), "second": run_hash(chosen, period, ticks),
                 "renamed and reordered": run_hash(other, period, ticks, back),
                 "hash seed 1": _elsewhere(name, ticks, PYTHONHASHSEED="1"),
                 "hash seed 7, 2 threads": _elsewhere(name, ticks, PYTHONHASHSEED="7", OMP_NUM_THREADS="2",
                                                      OPENBLAS_NUM_THREADS="2")}
        if name == "elbow_stimulation":
            for threads in (1, 2):
                found[f"physics on {threads} threads"] = run_hash(chosen.set("body.params.threads", threads), period,
                                                                 ticks)
        assert len(set(found.values())) == 1, f"{name}: {found}"
        hashes[name] = found
    return {"holds": True, "ticks": ticks, "variants": {name: len(found) for name, found in hashes.items()},
            "log_hash": {name: found["first"] for name, found in hashes.items()}}


def _elsewhere(name: str, ticks: int, **environment: str) -> str:
    code = (f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from crash import prove_resume as p; "
            f"print(p.run_hash(p.bare({name!r}), p.ASSEMBLIES[{name!r}], {ticks}))")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
                          text=True, check=True)
    return done.stdout.split()[-1]


def bare(name: str) -> sl.Assembly:
    """The assembly without evaluation."""
    chosen = assembly(name)
    return chosen.remove("evaluate") if "evaluate" in chosen.document() else chosen
