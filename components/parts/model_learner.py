"""What learners share that let a policy practise in a learned model: when to fit, when to imagine, what to mix.

Janner et al. 2019 (arXiv:1906.08253, algorithm 2): between real steps the model is fitted to all of them, short lives
are branched from some of them, and an actor-critic learns from both. What happens in these lives is the learner's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Diverged, Problem
from ...loops.lanes import Lanes
from ...loops.seeds import derive
from . import devices, model_fitting, terminations, torch_memory
from .off_policy import OffPolicyLearner
from .policy_learner import checked
from .practice import Practice
from .roles import Model
from .schedules import Ramp
from .transitions import Rows


class ModelLearner(OffPolicyLearner):
    """Learns a model of the world beside a policy, and lets the policy practise in it.

    A learner of this kind writes `imagine`. Its updates are those of the actor-critic; fits of the model count apart.
    """

    uses = {**OffPolicyLearner.uses, "model": Use(Model, changes=True)}
    sizes = "rollout_batch_size, rollout_schedule, model_retain_epochs or batch_size"
    core_settings = (*OffPolicyLearner.core_settings, "reward_scale")
    measures = {
        **OffPolicyLearner.measures,
        "real_ratio": "share of real rows in a minibatch",
        **model_fitting.MEASURES,
        "fits": "times that the model was fitted so far",
        "rollout_length": "steps that an imagined life may have",
        "mean_rollout_length": "steps that the imagined lives had, on average",
        "model_rows": "imagined steps that are remembered",
    }
    example_uses = {**OffPolicyLearner.example_uses,
                    "model": ("world_models.gaussian_ensemble", {"hidden": [8], "members": 2, "elites": 1})}

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.practice = practice = Practice.among(given)
        self.termination, self.assign = given["termination"], given["assign"]
        self.rollout_length = Ramp(practice.rollout_schedule, "rollout_schedule", "epoch")
        self.real_ratio = Ramp(practice.ratio_schedule, "ratio_schedule", "epoch")
        self.warnings += model_fitting.by_the_clock(practice.max_model_t)
        self._check_schedules()
        if practice.min_buffer > self.buffer_size:
            raise AssemblyError([Problem("no update would ever be made: the first waits for min_buffer: "
                                         f"{practice.min_buffer} steps, and buffer_size: {self.buffer_size} are "
                                         "remembered",
                                         "min_buffer", "Write at most the buffer_size.")])
        if self._imagines:
            model_fitting.check_memory(self.buffer_size)

    def _check_schedules(self) -> None:
        ratio, length = self.real_ratio, self.rollout_length
        if max(ratio.start, ratio.end) > 1:
            raise AssemblyError([Problem(f"no minibatch is real by more than the whole: {self.practice.ratio_schedule}",
                                         "ratio_schedule", "Write shares of real rows from 0 to 1.")])
        if min(length.start, length.end) < 1:
            raise AssemblyError([Problem(f"imagined lives of no step teach nothing: {self.practice.rollout_schedule}",
                                         "rollout_schedule", "Write lengths of at least 1; to imagine nothing, write "
                                         "ratio_schedule: [0, 1, 1, 1].")])

    def check_source(self, key: str, source: Component) -> list[Problem]:
        """Return why the termination is not that of the body it hears; where nothing is imagined, none is asked."""
        heard = self._imagines and key == "observation"
        return terminations.check_body(self.termination, source) if heard else []

    @property
    def _imagines(self) -> bool:
        """Is a share of some minibatch to be imagined?"""
        return min(self.real_ratio.start, self.real_ratio.end) < 1

    def _check_fitted(self) -> None:
        """Refuse a model that is not fitted, and is never going to be: all that is imagined in it were chance."""
        if self._imagines and self.practice.model_train_end_epoch == 0 and not self.network.fitted:
            raise AssemblyError([Problem("the model would never be fitted, and what is imagined in it would be drawn "
                                         "by chance", "params.model_train_end_epoch", "Write at least 1, or give the "
                                         "model what was learned elsewhere: its params.weights.")])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what fits the model, the world that it imagines, and a memory of what was lived there."""
        from . import assignment, imagined_ends
        from .ensemble_fit import EnsembleFit, network_of
        from .imagination import Actor, ImaginedWorld
        from .replay_buffer import ReplayBuffer

        super().build(lanes, seed)
        device, parts = self.workplace.device, self.workplace.parts
        self.imagined = ReplayBuffer(1, super().columns(), device)
        self._check_room()
        self._imagining, self._fitting = devices.generator(device), devices.generator(device)
        ends = imagined_ends.find(self.termination, self.inputs["observation"].shape, self.core.actions, device)
        self.world = ImaginedWorld(parts["model"], ends, self._imagining, assignment.HOW[self.assign])
        self.actor = Actor(parts["policy"], self.core.actions, self._imagining)
        self.network = network_of(parts["model"])
        self._check_fitted()
        self.fit = EnsembleFit(self.network)
        self.reset(seed)

    def _check_room(self) -> None:
        """Refuse more imagined steps than the memory holds; say so where only later epochs have so many."""
        if not self._imagines:
            return
        how, row, ramp = self.practice, torch_memory.row(super().columns()), self.rollout_length
        least, most = (int(choose(ramp.start, ramp.end)) for choose in (min, max))
        torch_memory.check("imagined steps take",
                           {"rollout_batch_size": how.rollout_batch_size, "rollout_schedule": least,
                            "model_retain_epochs": how.model_retain_epochs, "epoch_length": how.epoch_length},
                           how.room(least) * row, self.workplace.device)
        if lacking := torch_memory.too_much(how.room(most) * row, self.workplace.device):
            self.warnings = [*self.warnings, f"where imagined lives have {most} steps, those remembered take "
                             f"{lacking}: the run will fail then. Lower {self.sizes}"]

    def columns(self) -> dict[str, Any]:
        """Return those of all transitions, and whether their successor was seen: real ones alone may lack it."""
        import torch

        return {**super().columns(), "reached": ((), torch.bool)}

    def reset(self, seed: int) -> None:
        """Forget every step, real and imagined; what was learned stays."""
        super().reset(seed)
        self._imagining.manual_seed(derive(seed, "imagination"))
        self._fitting.manual_seed(derive(seed, "fitting"))
        self.fit.forget()
        self.imagined.forget()
        self.imagined.resize(1)  # as after build: its room is the schedule's
        self._pending: list[Rows] = []  # real steps of episodes that still run, where these are remembered at their end
        self._refreshed = self._fits = 0

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
            self.buffer.add(model_fitting.as_columns(rows))
            return
        self._pending.append(rows)
        for lane in rows.lane[rows.ended]:
            self._remember_episode(int(lane))

    def _remember_episode(self, lane: int) -> None:
        for rows in self._pending:
            self.buffer.add(model_fitting.as_columns(rows.of(rows.lane == lane)))
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
        return self._refreshes() > self._refreshed and model_fitting.enough(self.buffer)

    def _refreshes(self) -> int:
        return model_fitting.times_due(self.steps, self.practice.learning_starts, self.practice.model_train_freq)

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        """Update for the steps that were made; then, when it is time, fit the model and imagine for those to come."""
        measured = self._update(self._updates_due())
        checked(self.core.updates, measured)  # or the model would be blamed for what the policy imagines in it
        if self._refresh_due():
            self._refreshed = self._refreshes()
            if self.real_ratio.at(self.epoch) < 1:
                with self.workplace.learning("model"):
                    measured |= self._refresh()
        return self.core.updates, measured

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
        if not self.network.fitted:  # the epoch in which fitting ends came before there were steps enough
            return measured
        length = int(self.rollout_length.at(self.epoch))
        self.imagined.resize(how.room(length))
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
        measured = model_fitting.fit_to(self.buffer, self.fit, self._fitting, self.practice.max_model_t)
        self._fits += 1
        return {**measured, "fits": self._fits}

    @abstractmethod
    def imagine(self, start: Any, length: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield imagined steps as columns of a replay buffer, and measures of how all so far came about.

        Measures are numbers, or tensors that nobody waits for before the end.
        """

    def keep(self) -> dict[str, Any]:
        return {**super().keep(), "imagined": self.imagined.state_dict(), "room": self.imagined.size,
                "fit": self.fit.state_dict(), "refreshed": self._refreshed, "fits": self._fits,
                "generators": {name: devices.keep(generator) for name, generator in self._generators()},
                "pending": {str(i): rows.state_dict() for i, rows in enumerate(self._pending)}}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.imagined.resize(int(state["room"]))
        self.imagined.load_state_dict(state["imagined"])
        self.fit.load_state_dict(state["fit"])
        self._refreshed, self._fits = int(state["refreshed"]), int(state["fits"])
        for name, generator in self._generators():
            devices.restore(generator, state["generators"][name])
        self._pending = [Rows.from_state(state["pending"][str(i)]) for i in range(len(state["pending"]))]

    def _generators(self) -> list[tuple[str, Any]]:
        return [("imagining", self._imagining), ("fitting", self._fitting)]
