"""Steps that were collected before, on disk: Minari data sets (https://minari.farama.org), written and read.

Of an episode of T steps a data set holds T + 1 observations and T actions, rewards, terminations and truncations. What
was truncated goes on behind the last step, and nobody looked: only what terminated has nothing to come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem, RunError, reason

WHERE = "params.data"  # of the learner that reads one
COLUMNS = ("observation", "action", "reward", "successor", "terminated")
_SPACES = ("observation_space", "action_space")
_SLACK = 1e-5  # by which an action may lie beyond its bounds: single precision, scaled


@dataclass(frozen=True)
class Episode:
    """Steps from a beginning to an end."""

    observation: np.ndarray  # [steps + 1, ...]
    action: np.ndarray  # [steps, ...]
    reward: np.ndarray  # [steps]
    terminated: np.ndarray  # [steps] bool
    truncated: np.ndarray  # [steps] bool


@dataclass(frozen=True)
class Transitions:
    """All steps of a data set, episode after episode; actions are scaled to [-1, 1] by the bounds it declares."""

    observation: np.ndarray  # [steps, ...] float32
    action: np.ndarray  # [steps, actions] float32
    reward: np.ndarray  # [steps] float32
    successor: np.ndarray  # [steps, ...] float32
    terminated: np.ndarray  # [steps] float32: 1 where nothing comes after
    episodes: int
    environment: str  # where they were collected: a registered id, or a body of an assembly; empty where it says none

    def __len__(self) -> int:
        return len(self.reward)

    def columns(self) -> dict[str, np.ndarray]:
        """Return them as the columns that a minibatch has."""
        return {name: getattr(self, name) for name in COLUMNS}

    def digest(self) -> str:
        """Return what tells these steps from any others."""
        whole = hashlib.sha256()
        for name, column in self.columns().items():
            whole.update(f"{name} {column.shape} {column.dtype.str}".encode())
            whole.update(np.ascontiguousarray(column).tobytes())
        return whole.hexdigest()


def write(folder: Path, episodes: Iterable[Episode], spaces: Mapping[str, Any], spec: Any,
          metadata: Mapping[str, Any]) -> None:
    """Write a data set into a folder that does not exist yet.

    Args:
        folder: of the data set; the files lie in `data` within it, as Minari has them.
        episodes: what was collected.
        spaces: of Gymnasium, by the names `observation_space` and `action_space`.
        spec: of Gymnasium, how to make the environment again; None where there is none.
        metadata: what else is to be known of it, as JSON has it.
    """
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    data = folder.absolute() / "data"  # Minari looks for what it wrote from the working directory
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, **spaces, env_spec=spec, data_format="hdf5")
    storage.update_metadata({**metadata, "minari_version": minari.__version__})
    storage.update_episodes(EpisodeBuffer(
        observations=each.observation, actions=each.action, rewards=each.reward,  # type: ignore[arg-type]
        terminations=each.terminated, truncations=each.truncated) for each in episodes)  # type: ignore[arg-type]


def write_example(folder: Path, observations: int, actions: int) -> None:
    """Write a data set of two short episodes of random numbers, one truncated and one terminated."""
    from gymnasium import spaces

    rng, made = np.random.default_rng(0), []
    for steps, ends in ((9, False), (7, True)):
        last = np.arange(steps) == steps - 1
        made.append(Episode(rng.standard_normal((steps + 1, observations)).astype(np.float32),
                            rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
                            rng.standard_normal(steps).astype(np.float32), last & ends, last & (not ends)))
    boxes = {name: spaces.Box(-bound, bound, (size,), np.float32) for name, bound, size in
             (("observation_space", np.inf, observations), ("action_space", 1.0, actions))}
    write(folder, made, boxes, None, {"dataset_id": "example-v0"})


def read(path: str) -> Transitions:
    """Read a data set from its folder, or from `data` within it.

    Raises AssemblyError where it is none, where it holds other than vectors, and where a number is not finite or the
    parts of an episode do not belong together: the episode is named.
    """
    folder, metadata = _metadata(Path(path))
    storage, spaces = _open(folder), {}
    for name in _SPACES:
        space = getattr(storage, name)
        spaces[name] = _vector(space, name.partition("_")[0])
    scale = _Scale(*spaces["action_space"])
    kept: list[tuple[np.ndarray, ...]] = []
    try:
        for number, told in enumerate(storage.get_episodes(range(storage.total_episodes))):
            kept.append(_steps(_episode(number, told, spaces), number, scale))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _refused(f"{folder} cannot be read: {reason(error)}", "Is the file whole? Export or download it again."
                       ) from error
    if not sum(len(steps[2]) for steps in kept):
        raise _refused(f"{folder} holds no step", "Collect some episodes first.")
    columns = {name: np.concatenate(parts) for name, parts in zip(COLUMNS, zip(*kept, strict=True), strict=True)}
    return Transitions(**columns, episodes=len(kept), environment=_environment(metadata))


def _refused(what: str, remedy: str) -> AssemblyError:
    return AssemblyError([Problem(what, WHERE, remedy)])


def _metadata(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return where the files lie, and what is said of them; a data set that names code to be asked is refused."""
    folder = path / "data" if (path / "data" / "metadata.json").is_file() else path
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(f"{path} is no Minari data set: {reason(error)}", "Name the folder that stimloop export RUN "
                       "--to minari made, or that Minari downloaded: metadata.json lies in it or in its folder data."
                       ) from error
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(name), str) for name in _SPACES):
        raise _refused(f"{path} does not say of which spaces its observations and actions are, and the environment "
                       "that it names is not made to find out", "Write it again with a Minari of at least 0.5.")
    return folder, metadata


def _open(folder: Path) -> Any:
    try:
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise _refused(f"reading a data set needs the package minari ({error})", 'Install it: pip install '
                       '"stimloop[minari]".') from error
    try:
        return MinariStorage.read(folder)
    except (ImportError, OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise _refused(f"{folder} cannot be opened: {reason(error)}", "Look at its metadata.json.") from error


def _vector(space: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of a space of vectors."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise _refused(f"its {what}s are {type(space).__name__}{getattr(space, 'shape', None) or ''}, and vectors are "
                       "learned from", "Flatten them where they are collected (gymnasium.wrappers.FlattenObservation)."
                       if what == "observation" else "Choices are learned by learners.ppo, in the loop.")
    return space.low.astype(np.float64), space.high.astype(np.float64)


class _Scale:
    """Brings actions of a box to [-1, 1]."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
            raise _refused("its actions have no bounds, so they cannot be scaled to [-1, 1]", "Write it with an action "
                           "space that has bounds.")
        self._middle, self._half = (low + high) / 2, (high - low) / 2

    def __call__(self, action: np.ndarray, number: int) -> np.ndarray:
        scaled = (action.astype(np.float64) - self._middle) / self._half
        if (most := float(np.abs(scaled).max(initial=0))) > 1 + _SLACK:
            raise _refused(f"an action of episode {number} lies beyond the bounds that the data set declares "
                           f"({most:.3g} where 1 is the most)", "Clip the actions where they are collected.")
        return np.clip(scaled, -1, 1).astype(np.float32)


def _episode(number: int, told: Mapping[str, Any], spaces: Mapping[str, Any]) -> Episode:
    """Return one episode whose parts belong together."""
    made = Episode(*(np.asarray(told[name]) for name in ("observations", "actions", "rewards", "terminations",
                                                         "truncations")))
    steps = len(made.reward)
    lengths = {"observations": len(made.observation) - 1, "actions": len(made.action),
               "terminations": len(made.terminated), "truncations": len(made.truncated)}
    if wrong := [f"{length} {name}" for name, length in lengths.items() if length != steps]:
        raise _refused(f"episode {number} has {steps} rewards and {', '.join(wrong)} (but for the last observation)",
                       "One of each belongs to a step, and one observation more: write it again.")
    for name, column, size in (("observations", made.observation, len(spaces["observation_space"][0])),
                               ("actions", made.action, len(spaces["action_space"][0]))):
        if column.shape[1:] != (size,):
            raise _refused(f"the {name} of episode {number} are {column.shape[1:]}, and the data set declares "
                           f"{(size,)}", "Write it again.")
    for name, column in (("observation", made.observation), ("action", made.action), ("reward", made.reward)):
        if len(wrong_rows := np.flatnonzero(~np.isfinite(column).reshape(len(column), -1).all(axis=1))):
            raise _refused(f"the {name} of step {wrong_rows[0]} of episode {number} is not finite",
                           "Leave that episode out.")
    if (made.terminated[:-1] | made.truncated[:-1]).any():
        raise _refused(f"episode {number} goes on behind its end", "Write what follows as an episode of its own.")
    return made


def _steps(episode: Episode, number: int, scale: _Scale) -> tuple[np.ndarray, ...]:
    """Return an episode as COLUMNS."""
    seen = episode.observation.astype(np.float32)
    return (seen[:-1], scale(episode.action, number), episode.reward.astype(np.float32), seen[1:],
            episode.terminated.astype(np.float32))


def _environment(metadata: Mapping[str, Any]) -> str:
    """Return where it was collected, as it says."""
    try:
        spec = json.loads(metadata.get("env_spec") or "{}")
    except (TypeError, ValueError):
        spec = {}
    found = spec.get("id") if isinstance(spec, dict) else None
    return str(found or metadata.get("body") or "")


def check_sizes(found: Transitions, observation: tuple[Any, ...], action: tuple[Any, ...], environment: str | None
                ) -> None:
    """Refuse a data set of another body than the policy's: its sizes differ, or the name of its environment."""
    problems = [
        Problem(f"it holds {what}s of {theirs[0]} numbers, and the policy's have {mine}", WHERE,
                "It was collected with another body, or observed otherwise: take one of this body.")
        for what, theirs, mine in (("observation", found.observation.shape[1:], _number(observation)),
                                   ("action", found.action.shape[1:], _number(action))) if theirs != (mine,)]
    wanted = (environment or "").rpartition(":")[2]
    if wanted and wanted != found.environment:
        told = f"was collected in {found.environment}" if found.environment else "does not say where it was collected"
        problems.append(Problem(f"it {told}, and environment says {wanted}", WHERE,
                                "Take one of this body, or leave environment out if you know that they are the same."))
    if problems:
        raise AssemblyError(problems)


def _number(shape: tuple[Any, ...]) -> Any:
    return shape[0] if len(shape) == 1 else shape


def same(found: Transitions, digest: str) -> None:
    """Refuse to go on with other steps than those that were learned from before."""
    if found.digest() != digest:
        raise RunError("the data set is not the one that this run has learned from: bring it back, or begin a new run")
