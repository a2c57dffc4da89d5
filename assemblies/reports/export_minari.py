"""The steps of a run as a Minari data set: what learners.cql learns from without a body, and others elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import numpy as np

from ...components.parts import data_sets
from ...components.parts.data_sets import Episode
from ...loops.errors import RunError, counted, reason
from ...loops.port import Port
from ...loops.storage.runs import Run
from ..replaying import make_body
from ..settings import Settings
from .sinks import failing, package

_ID = re.compile(r"[-_\w]+-v\d+")  # as Minari has them
_KEPT = ("id", "name", "hash", "variant", "seed")  # of the run's attributes
_REQUIRED = {"bodies.gymnasium_env": ("gymnasium", "mujoco"),  # by body: what its environment needs, where it is named
             "bodies.myosuite": ("gymnasium", "mujoco", "myosuite")}


@dataclass(frozen=True)
class _Steps:
    """The steps of a run, one row each, lane after lane in the order of time."""

    observation: np.ndarray  # [steps, ...]
    action: np.ndarray
    reward: np.ndarray
    successor: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lane: np.ndarray

    def episodes(self) -> Iterator[Episode]:
        """Cut them at the ends of episodes; one that still ran when the record ended was truncated by that."""
        ended = self.terminated | self.truncated
        last = ended | np.append(np.diff(self.lane) != 0, True)
        start = 0
        for end in np.flatnonzero(last) + 1:
            rows = slice(start, end)
            truncated = self.truncated[rows].copy()
            truncated[-1] |= not ended[end - 1]
            yield Episode(np.concatenate([self.observation[rows], self.successor[end - 1:end]]), self.action[rows],
                          self.reward[rows], self.terminated[rows], truncated)
            start = end


def export_minari(path: Path, out: Path | None, allowed: Settings, body: str | None = None) -> tuple[dict[str, Any],
                                                                                                     str]:
    """Write what a body lived through as a Minari data set; returns what was written, and its text.

    Actions are those of the wire, in [-1, 1] (or choices). The environment's own scale is part of the recorded
    environment: where it differs, `env_spec` says so by Gymnasium's wrapper RescaleAction.
    """
    package("minari", "minari")
    package("minari", "h5py")
    run = Run(path)
    if run.bodies and body not in run.bodies and (body or len(run.bodies) > 1):
        raise RunError(f"say which body is meant: --body {' or --body '.join(run.bodies)}")
    name = run.body(body)
    where = out or run.path.absolute().parent / f"{run.path.absolute().stem}.minari"
    if where.exists():
        raise RunError(f"{where} is there already; name another folder with --out")
    made, _ = make_body(run, name, allowed)
    try:
        spaces = {"observation_space": _space(made.outputs["observation"]),
                  "action_space": _space(made.inputs["action"])}
        spec, why = _env_spec(made)
    finally:
        made.close()
    episodes = list(_steps(run, name).episodes())
    if not episodes:
        raise RunError(f"{path} holds no step of {name}; let it run for longer")
    _write(where, episodes, spaces, spec, _metadata(run, name, where))
    steps = sum(len(each.reward) for each in episodes)
    facts = {"run": str(path), "to": str(where), "episodes": len(episodes), "steps": steps, "damage": run.damage,
             "terminated": sum(bool(each.terminated[-1]) for each in episodes),
             "environment": spec.id if spec is not None else None, "environment_missing": why}
    text = f"{counted(len(episodes), 'episode')} of {counted(steps, 'step')}\n{where}"
    return facts, f"{text}\n{why}" if why else text


def _steps(run: Run, body: str) -> _Steps:
    table = run.transitions(body)
    return _Steps(*(table[key].to_numpy() for key in ("observation", "action", "reward", "next_observation",
                                                      "terminated", "truncated", "lane")))


def _space(port: Port) -> Any:
    """Return the space of what a port carries."""
    from gymnasium import spaces

    if port.choices:
        return spaces.Discrete(port.choices)
    shape: Any = port.shape
    low, high = (np.broadcast_to(np.asarray(bound), shape) for bound in (port.low, port.high))
    return spaces.Box(low.astype(port.dtype), high.astype(port.dtype), dtype=np.dtype(port.dtype).type)


def _env_spec(body: Any) -> tuple[Any, str]:
    """Return how to make the environment in which actions of [-1, 1] mean what they meant, or why nobody can say."""
    from gymnasium import spaces, wrappers

    from ...components.parts import environments

    if not hasattr(body, "env_params"):
        return None, "no env_spec: this body is no environment of Gymnasium's registry"
    try:
        env = environments.make(body.env, body.env_params, body.max_steps)
        space = env.action_space
        try:
            if isinstance(space, spaces.Box) and not ((space.low == -1).all() and (space.high == 1).all()):
                with catch_warnings(action="ignore"):  # of single precision
                    env = wrappers.RescaleAction(env, -1.0, 1.0)  # floats, which can be written down
            spec = env.spec
            spec.to_json()
        finally:
            env.close()
    except Exception as error:  # whatever an environment of somebody else's raises; the steps are what matters
        return None, f"no env_spec: {body.env} cannot be written down ({reason(error)})"
    return spec, ""


def _metadata(run: Run, body: str, where: Path) -> dict[str, Any]:
    attributes = run.attributes
    versions = {str(key): str(value) for key, value in dict(attributes.get("versions", {})).items()}
    form = attributes["assembly"]["components"][body]
    name = str(attributes.get("name", "run"))
    return {
        "dataset_id": where.name if _ID.fullmatch(where.name) else f"{name}/{attributes.get('variant') or 'base'}-v0",
        "description": f"Steps of {body} in the run {run.name} of the assembly {name}, exported by stimloop.",
        "requirements": [f"{key}=={versions[key]}" for key in _REQUIRED.get(str(form["type"]), ()) if key in versions],
        "body": str(form["type"]), "body_params": form.get("params", {}),
        "stimloop": {**{key: attributes.get(key) for key in _KEPT}, "versions": versions}}


def _write(where: Path, episodes: list[Episode], spaces: dict[str, Any], spec: Any, metadata: dict[str, Any]) -> None:
    """Write it aside, so that a folder of its name is always a whole data set."""
    aside = where.with_name(f"{where.name}.part")
    with failing(where, "Make room there, or name another folder with --out"):
        shutil.rmtree(aside, ignore_errors=True)
        data_sets.write(aside, episodes, spaces, spec, metadata)
        aside.rename(where)
