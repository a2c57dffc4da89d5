"""What learners share that let a policy practise in a learned model: when to fit, when to imagine, what to mix.

Janner et al. 2019 (arXiv:1906.08253, algorithm 2): between real steps the model is fitted to all of them, short lives
are branched from some of them, and an actor-critic learns from both. What happens in these lives is the learner's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs, Use
from ...loops.errors import AssemblyError, Diverged, Problem
from ...loops.lanes import Lanes
from ...loops.seeds import derive
from . import devices
from .devices import Device
from .hidden_weights import Cost
from .policy_learner import PolicyLearner
from .roles import Model
from .schedules import Ramp
from .transitions import Rows, Unfinished

_FEWEST = 5  # real steps from which on a model can be fitted: one of them is held out


@dataclass(frozen=True)
class Practice:
    """When a model is fitted, how much is imagined in it, and how much of that is learned from.

    Args:
        learning_starts: real steps before anything is learned; epochs are counted from there.
        min_buffer: real steps that must be remembered before the first update.
        epoch_length: real steps of an epoch, in which schedules count.
        gradient_steps: updates after each `train_freq` real steps.
        train_freq: see there.
        batch_size: rows of a minibatch, real and imagined ones together.
        model_train_freq: real steps between two times of fitting and imagining.
        model_train_end_epoch: epoch from which the model is not fitted any more; None: never.
        max_model_t: seconds that fitting may take each time; None: as long as it takes.
        rollout_batch_size: starts of imagined lives each time.
        rollout_schedule: their length in steps [first epoch, last epoch, length at the first, length at the last].
        ratio_schedule: share of real rows in a minibatch, in the same form; where it is 1, nothing is fitted.
        model_retain_epochs: epochs whose imagined steps are remembered.
        insert: are real steps remembered at each `step`, or at the `episode_end`?
    """

    learning_starts: int
    min_buffer: int
    epoch_length: int
    gradient_steps: int
    train_freq: int
    batch_size: int
    model_train_freq: int
    model_train_end_epoch: int | None
    max_model_t: float | None
    rollout_batch_size: int
    rollout_schedule: list[float]
    ratio_schedule: list[float]
    model_retain_epochs: int
    insert: Literal["step", "episode_end"]


class ModelLearner(PolicyLearner):
    """Learns a model of the world beside a policy, and lets the policy practise in it.

    A learner of this kind writes `imagine`. What it counts as updates are those of the actor-critic and, one each, the
    times that the model was fitted.
    """

    uses = {**PolicyLearner.uses, "model": Use(Model, changes=True)}
    measures = {
        "q_loss": "half the mean squared error of the critics, summed over them",
        "policy_loss": "what the policy is to lessen: weighted log-probability minus promised reward",
        "ent_coef": "weight of the entropy",
        "entropy": "entropy of the policy in the minibatch",
        "q_mean": "mean promised reward of the actions in the minibatch",
        "grad_norm": "length of the policy's gradient",
        "real_ratio": "share of real rows in a minibatch",
        "model_loss": "mean squared error of the elites on steps held out",
        "model_steps": "steps of fitting this time",
        "rollout_length": "steps that an imagined life may have",
        "mean_rollout_length": "steps that the imagined lives had, on average",
        "model_rows": "imagined steps that are remembered",
    }
    example_uses = {"policy": ("brains.mlp", {"hidden": [8, 8], "explore": True}),
                    "value": ("critics.q_ensemble", {"hidden": [8, 8]}),
                    "model": ("world_models.gaussian_ensemble", {"hidden": [8], "members": 2, "elites": 1})}

    def __init__(self, practice: Practice, termination: str, core: Mapping[str, Any], buffer_size: int,
                 unfinished: Unfinished, cost: Cost, threads: int, device: Device) -> None:
        super().__init__(unfinished, cost, threads, device)
        self.practice, self.termination, self._core_settings = practice, termination, dict(core)
        self.buffer_size = buffer_size
        self.rollout_length = Ramp(practice.rollout_schedule, "rollout_schedule", "epoch")
        self.real_ratio = Ramp(practice.ratio_schedule, "ratio_schedule", "epoch")
        self._check_schedules()
        if practice.min_buffer > buffer_size:
            raise AssemblyError([Problem("no update would ever be made: the first waits for min_buffer: "
                                         f"{practice.min_buffer} steps, and buffer_size: {buffer_size} are remembered",
                                         "min_buffer", "Write at most the buffer_size.")])

    def _check_schedules(self) -> None:
        ratio, length = self.real_ratio, self.rollout_length
        if max(ratio.start, ratio.end) > 1:
            raise AssemblyError([Problem(f"no minibatch is real by more than the whole: {self.practice.ratio_schedule}",
                                         "ratio_schedule", "Write shares of real rows from 0 to 1.")])
        if min(length.start, length.end) < 1:
            raise AssemblyError([Problem(f"imagined lives of no step teach nothing: {self.practice.rollout_schedule}",
                                         "rollout_schedule", "Write lengths of at least 1; to imagine nothing, write "
                                         "ratio_schedule: [0, 1, 1, 1].")])

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        super().infer()
        self.refuse_choices()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make both buffers, what fits the model, and the actor-critic."""
        import torch

        from . import terminations
        from .ensemble_fit import EnsembleFit, network_of
        from .imagination import Actor, ImaginedWorld
        from .replay_buffer import ReplayBuffer, transition_columns
        from .soft_actor_critic import SoftActorCritic, check_action, check_partners

        super().build(lanes, seed)
        seen, done = self.inputs["observation"], self.inputs["action"]
        actions = check_action(done.shape)
        self.warnings = [*self.warnings, *check_partners(self.used["policy"], self.used["value"])]
        columns = transition_columns(seen.shape, done.shape, done.dtype, seen.dtype)  # type: ignore[arg-type]
        self.check_sampled(actions)
        device, parts = self.workplace.device, self.workplace.parts
        policy, critic, model = (parts[name] for name in ("policy", "value", "model"))
        self.imagined = ReplayBuffer(1, columns, device)
        self.buffer = ReplayBuffer(self.buffer_size, {**columns, "reached": ((), torch.bool)}, device)
        self._imagining, self._fitting = devices.generator(device), devices.generator(device)
        self.world = ImaginedWorld(model, terminations.find(self.termination), self._imagining)
        self.actor = Actor(policy, actions, self._imagining)
        self.fit = EnsembleFit(network_of(model))
        self.core = SoftActorCritic(policy, critic, actions, **self._core_settings,
                                    state_value=parts.get("state_value"))
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every step, real and imagined; what was learned stays."""
        super().reset(seed)
        self._imagining.manual_seed(derive(seed, "imagination"))
        self._fitting.manual_seed(derive(seed, "fitting"))
        for part in (self.core, self.fit, self.buffer, self.imagined):
            part.forget()
        self.imagined.resize(1)  # as after build: its room is the schedule's
        self._pending: list[Rows] = []  # real steps of episodes that still run, where these are remembered at their end
        self._counted = self._owed = self._refreshed = self._fits = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what happened, and learn when it is time; whatever goes wrong says in which epoch."""
        try:
            return super().step(now, inputs)
        except Exception as error:
            error.add_note(f"in epoch {self.epoch}, after {self.steps} real steps and {self.core.updates} updates")
            raise

    @property
    def epoch(self) -> int:
        """Epochs that are over, counted from `learning_starts`."""
        return max(0, self.steps - self.practice.learning_starts) // self.practice.epoch_length

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        """Keep real steps; where episodes count as a whole, until their end."""
        if self.practice.insert == "step":
            self.buffer.add(_columns(rows))
            return
        self._pending.append(rows)
        for lane in rows.lane[rows.ended]:
            self._remember_episode(int(lane))

    def _remember_episode(self, lane: int) -> None:
        for rows in self._pending:
            self.buffer.add(_columns(rows.of(rows.lane == lane)))
        kept = [rows.of(rows.lane != lane) for rows in self._pending]
        self._pending = [rows for rows in kept if len(rows)]

    def due(self) -> int:
        """Return 1 where updates are owed or the model is to be looked after."""
        begun = self.steps - self.practice.learning_starts
        if begun > 0 and len(self.buffer) >= max(1, self.practice.min_buffer):
            self._owed += min(self.steps - self._counted, begun)
        self._counted = self.steps
        return int(self._updates_due() > 0 or self._refresh_due())

    def _updates_due(self) -> int:
        return self._owed // self.practice.train_freq * self.practice.gradient_steps

    def _refresh_due(self) -> bool:
        begun = self.steps - self.practice.learning_starts
        return (begun >= 0 and begun // self.practice.model_train_freq >= self._refreshed
                and int(self.buffer.columns["reached"][:len(self.buffer)].sum()) >= _FEWEST)

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        """Update for the steps that were made; then, when it is time, fit the model and imagine for those to come."""
        measured = self._update(self._updates_due())
        self._check(self.core.updates, measured)  # or the model would be blamed for what the policy imagines in it
        if self._refresh_due():
            begun = self.steps - self.practice.learning_starts
            self._refreshed = begun // self.practice.model_train_freq + 1
            if self.real_ratio.at(self.epoch) < 1:
                with self.workplace.learning("model"):
                    measured |= self._refresh()
        return self.core.updates + self._fits, measured

    def _update(self, times: int) -> dict[str, float]:
        told: Any = None
        before = max(0, self.steps - 1 - self.practice.learning_starts) // self.practice.epoch_length
        ratio = self.real_ratio.at(before) if len(self.imagined) else 1.0
        for _ in range(times):
            told = self.core.advance(self._batch(ratio), self._generator)
        if told is None:
            return {}
        self._owed %= self.practice.train_freq
        return {**self.core.told(told), "real_ratio": ratio}

    def _batch(self, ratio: float) -> dict[str, Any]:
        """Draw real and imagined rows, int(ratio * batch_size) of them real."""
        import torch

        real = int(ratio * self.practice.batch_size)
        parts = [buffer.sample(count, self._generator) for buffer, count in
                 ((self.buffer, real), (self.imagined, self.practice.batch_size - real)) if count]
        return parts[0] if len(parts) == 1 else {
            name: torch.cat([part[name] for part in parts]) for name in self.imagined.columns}

    def _refresh(self) -> dict[str, float]:
        measured, how = self._fit_model(), self.practice
        length = int(self.rollout_length.at(self.epoch))
        room = length * how.rollout_batch_size * how.epoch_length // how.model_train_freq
        self.imagined.resize(max(1, how.model_retain_epochs * room))
        start = self.buffer.sample(how.rollout_batch_size, self._imagining)["observation"]
        lived, told = 0, dict[str, Any]()
        for rows, latest in self.imagine(start, length):
            self._check_imagined(rows)
            self.imagined.add(rows)
            lived, told = lived + len(rows["reward"]), latest
        return {**measured, **{name: float(value) for name, value in told.items()}, "rollout_length": length,
                "mean_rollout_length": lived / len(start), "model_rows": len(self.imagined)}

    def _check_imagined(self, rows: Mapping[str, Any]) -> None:
        """Refuse what is no number before it is remembered: an end would hide it, and critics would learn from it."""
        import torch

        finite = torch.stack([column.isfinite().all() for column in rows.values()]).tolist()  # one host read
        if wrong := [name for name, is_finite in zip(rows, finite, strict=True) if not is_finite]:
            raise Diverged(f"what was imagined in epoch {self.epoch} is not finite ({', '.join(wrong)}): the model "
                           "predicts too far from what it has seen. Shorten rollout_schedule, or fit it on more steps")

    def _fit_model(self) -> dict[str, float]:
        end = self.practice.model_train_end_epoch
        if end is not None and self.epoch >= end:
            return {}
        import torch

        kept = {name: column[:len(self.buffer)] for name, column in self.buffer.columns.items()}
        if not kept["reached"].all():  # where it began anew at once, nobody saw how the episode ended
            kept = {name: column[kept["reached"]] for name, column in kept.items()}
        inputs = torch.cat([kept["observation"], kept["action"]], dim=1)
        targets = torch.cat([kept["reward"][:, None], kept["successor"] - kept["observation"]], dim=1)
        report = self.fit.fit(inputs, targets, self._fitting, self.practice.max_model_t)
        self._fits += 1
        return {"model_loss": report.val_loss, "model_steps": report.steps}

    @abstractmethod
    def imagine(self, start: Any, length: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield imagined steps as columns of a replay buffer, and measures of how all so far came about.

        Measures are numbers, or tensors that nobody waits for before the end.
        """

    def keep(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "imagined": self.imagined.state_dict(), "room": self.imagined.size,
                "core": self.core.state_dict(), "fit": self.fit.state_dict(), "counted": self._counted,
                "owed": self._owed, "refreshed": self._refreshed, "fits": self._fits,
                "generators": {name: devices.keep(generator) for name, generator in self._generators()},
                "pending": {str(i): rows.state_dict() for i, rows in enumerate(self._pending)}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.imagined.resize(int(state["room"]))
        for name in ("buffer", "imagined", "core", "fit"):
            getattr(self, name).load_state_dict(state[name])
        self._counted, self._owed = int(state["counted"]), int(state["owed"])
        self._refreshed, self._fits = int(state["refreshed"]), int(state["fits"])
        for name, generator in self._generators():
            devices.restore(generator, state["generators"][name])
        self._pending = [Rows.from_state(state["pending"][str(i)]) for i in range(len(state["pending"]))]

    def _generators(self) -> list[tuple[str, Any]]:
        return [("imagining", self._imagining), ("fitting", self._fitting)]


def _columns(rows: Rows) -> dict[str, np.ndarray]:
    """Return real steps as columns of their buffer."""
    from .replay_buffer import as_columns

    return {**as_columns(rows), "reached": rows.reached}
