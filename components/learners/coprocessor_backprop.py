"""Learning to stimulate by back-propagation through an emulator of the stimulated brain."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ..parts import devices, torch_threads
from ..parts.patients import patient_inputs, rows_of_patient
from ..parts.roles import Policy, Sequential, Value
from ..parts.transitions import Transitions
from ..parts.whole_episodes import WholeEpisodes

_PERCEIVED = (("observation", "observation"), ("recording", "recording"))


class CoprocessorBackprop(Component):
    """Fits an emulator to what the patient did, and sends the task's gradient through it into the coprocessor.

    The co-processor and emulator networks (CPN, EN) of Bryan, Jiang and Rao 2022 (arXiv:2210.11478). After every
    `train_freq` episodes of the patient, on whole episodes: (a) EN(o, s) is fitted to the actions that the brain made;
    (b) EN is frozen, and the weights of CPN descend the mean of L(o, a) with a = EN(o, CPN(o)) over what was seen.
    Where there L was a distance to known movements, here it is what a critic of the world thinks, L = -min(Q1,
    Q2)(o, a) (`uses: critic`), or how far the action is from that of an expert, L = mean (a - pi(o))^2 (`uses:
    expert`). Nothing in this costs the patient a step but its own episodes.

    Args:
        loss: `critic` or `expert`.
        train_freq: episodes of the patient (all lanes together) between two times of learning.
        emulator_learning_rate: of Adam, which begins anew at each time.
        emulator_passes: through all episodes, at most, in a fit of the emulator.
        tolerance: such a fit stops where ten passes lowered the loss of a pass by less.
        learning_rate: of the coprocessor.
        passes: through all episodes, in a descent of the coprocessor.
        batch_size: episodes of a minibatch, of both.
        refit_above: the emulator is fitted again only where its error on the episodes it has not seen is above this;
            0: always. The first time it is always fitted.
        keep_episodes: so many, the latest, are learned from; 0: all.
        effort: what a squared unit of command costs (mean over channels), in the units of the loss.
        device: where to learn, `cpu` or `cuda`.
    """

    random = True
    uses = {"coprocessor": Use(Sequential, changes=True, alike=(*_PERCEIVED, ("command", "stimulation"))),
            "emulator": Use(Sequential, changes=True,
                            alike=(*_PERCEIVED, ("condition", "stimulation"), ("target", "action"))),
            "critic": Use(Value, optional=True, alike=(("observation", "observation"), ("action", "action"))),
            "expert": Use(Policy, optional=True, alike=(("observation", "observation"), ("action", "action")))}
    example_uses = {"coprocessor": ("coprocessors.network", {"units": 4, "hidden": [5], "amplitude": 2}),
                    "emulator": ("world_models.emulator", {"units": 4, "hidden": [5]}),
                    "critic": ("critics.q_ensemble", {"hidden": [8]})}

    def __init__(self, *, loss: Literal["critic", "expert"] = "critic", train_freq: Count = 1,
                 emulator_learning_rate: Positive = 5e-3, emulator_passes: Count = 200, tolerance: float = 1e-4,
                 learning_rate: Positive = 3e-3, passes: Count = 100, batch_size: Count = 8,
                 refit_above: NonNegative = 0.0, keep_episodes: Amount = 0, effort: NonNegative = 0.0,
                 device: devices.Device = "cpu") -> None:
        self.loss, self.train_freq, self.refit_above = loss, train_freq, refit_above
        self.keep_episodes, self.effort, self.device = keep_episodes, effort, device
        self._of_emulator: dict[str, Any] = {"learning_rate": emulator_learning_rate, "most": emulator_passes,
                                             "tolerance": tolerance, "batch_size": batch_size}
        self._of_coprocessor: dict[str, Any] = {"learning_rate": learning_rate, "most": passes,
                                                "tolerance": float("-inf"), "batch_size": batch_size}
        self.inputs = patient_inputs()
        number: dict[str, Any] = {"per_lane": False, "dtype": "float64"}
        count: dict[str, Any] = {"per_lane": False, "dtype": "int64", "low": 0}
        self.outputs = {
            "updates": Port("steps of fitting so far", (), **count),
            "fits": Port("times that the emulator was fitted so far", (), **count),
            "emulator_loss": Port("loss of the emulator in the last pass of a fit", (), **number),
            "emulator_error": Port("mean squared error of the emulator on the episodes since it last learned, which it "
                                   "had not seen", (), **number),
            "task_loss": Port("loss of the coprocessor in the last pass of a descent", (), **number),
        }

    @classmethod
    def example(cls) -> CoprocessorBackprop:
        return cls(emulator_passes=3, passes=3)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what learns."""
        import torch

        from ..parts.emulated_descent import EmulatedDescent
        from ..parts.repeated_passes import RepeatedPasses

        super().build(lanes, seed)
        self._check()
        self.workplace = devices.Workplace(self.used, devices.find(self.device))
        self._heard = ["observation", *(["recording"] if "recording" in self.peers_in else [])]
        sizes = {name: int(self.inputs[name].shape[0])  # type: ignore[arg-type]
                 for name in (*self._heard, "stimulation", "action")}
        self._parts = [sum(sizes[name] for name in self._heard), sizes["stimulation"], sizes["action"]]
        self._transitions, self._generator = Transitions(lanes, "drop"), torch.Generator()
        self.episodes = WholeEpisodes(lanes.count, sum(self._parts), self.keep_episodes)
        self.descent = EmulatedDescent(self.workplace.parts, self.loss, sizes["observation"], self.effort)
        self._emulator_passes = RepeatedPasses(**self._of_emulator)
        self._passes = RepeatedPasses(**self._of_coprocessor)
        self.reset(seed)

    def _check(self) -> None:
        """Refuse to learn without somebody who judges actions, or from an expert that cannot be asked."""
        expert = self.used.get("expert")
        if expert is not None and expert.memory() is not None and not hasattr(expert, "respond_sequence"):
            raise AssemblyError([Problem("the expert remembers, and cannot be asked about whole episodes: it has no "
                                         "method respond_sequence", "uses.expert",
                                         "Use brains.modular_rnn, or an expert without memory.")])
        size, told = self.inputs["action"].shape, getattr(expert, "outputs", {}).get("action")
        if told is not None and told.shape != size:
            raise AssemblyError([Problem(f"the expert's actions have the shape {told.shape}, those of the brain {size}",
                                         "uses.expert", "Use an expert that acts in the same body.")])
        if self.loss not in self.used:
            raise AssemblyError([Problem(f"loss {self.loss} asks for a reference `{self.loss}`, and there is none",
                                         "uses", f"Write uses: {{{self.loss}: a component}}, or another loss.")])

    def reset(self, seed: int) -> None:
        """Forget every step; what was learned stays."""
        self._transitions.forget()
        self.episodes.forget()
        self._generator.manual_seed(derive(seed, "minibatches"))
        self._ended = self._learned = self._updates = self._fits = 0  # episodes; of them, those known; counts

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what the brain did, and learn when so many episodes have ended."""
        rows = rows_of_patient(self._transitions, self._heard, inputs)
        if rows is None:
            return {}
        self._ended += self.episodes.add(rows, np.concatenate([rows.observation, rows.action], axis=1))
        if self._ended // self.train_freq == self._learned // self.train_freq:
            return {}
        with torch_threads.threads(1), self.workplace.learning("coprocessor", "emulator"):
            self.workplace.tell("critic", "expert")
            return self._learn()

    def _learn(self) -> dict[str, Any]:
        """Fit the emulator where it is wrong, then improve the coprocessor through it."""
        import torch

        with torch.no_grad():
            error = float(self.descent.missed(self._course(self._ended - self._learned)).mean())
        self._learned, course, said = self._ended, self._course(), {}
        if not self._fits or error > self.refit_above:
            loss, steps = self.descent.fit_emulator(course, self._emulator_passes, self._generator)
            self._updates, self._fits = self._updates + steps, self._fits + 1
            said["emulator_loss"] = np.asarray(loss, np.float64)
        loss, steps = self.descent.descend(course, self._passes, self._generator)
        self._updates += steps
        return {**said, "updates": np.asarray(self._updates, np.int64), "fits": np.asarray(self._fits, np.int64),
                "emulator_error": np.asarray(error, np.float64), "task_loss": np.asarray(loss, np.float64)}

    def _course(self, latest: int = 0) -> Any:
        """Return the episodes (the latest so many; 0: all that are kept) where it is learned."""
        import torch

        from ..parts.emulated_descent import Course

        values, there = self.episodes.padded(latest)
        rows = torch.from_numpy(values).to(self.workplace.device)
        return Course(*rows.split(self._parts, dim=2), torch.from_numpy(there).to(rows))

    def state_dict(self) -> dict[str, Any]:
        return {"transitions": self._transitions.state_dict(), "generator": devices.keep(self._generator),
                "episodes": self.episodes.state_dict(), "ended": self._ended, "learned_from": self._learned,
                "updates": self._updates, "fits": self._fits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "transitions" not in state:
            return
        self._transitions.load_state_dict(state["transitions"])
        devices.restore(self._generator, state["generator"])
        self.episodes.load_state_dict(state["episodes"])
        self._ended, self._learned = int(state["ended"]), int(state["learned_from"])
        self._updates, self._fits = int(state["updates"]), int(state["fits"])
