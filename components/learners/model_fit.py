"""Fitting a model of the world to what happens in the loop, whoever acts there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, Positive
from ...loops.component import Component, Inputs, Use
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ..parts import devices, model_fitting, torch_memory, torch_threads
from ..parts.devices import Device
from ..parts.roles import Model
from ..parts.transitions import Transitions, Unfinished


class ModelFit(Component):
    """Learns what the body does, from every step that anybody makes with it.

    Where a planner acts by that model (`brains.mppi`), the two are PETS (Chua et al. 2018, arXiv:1805.12114, algorithm
    1): act by planning, remember, fit the model to all that is remembered, and again. It teaches nobody to act. An
    ensemble of probabilistic networks is fitted as by `learners.mbpo` (`parts/ensemble_fit.py`).

    Args:
        learning_starts: steps before the first fit.
        model_train_freq: steps (of all lanes together) between two fits.
        buffer_size: number of steps that are remembered.
        max_model_t: seconds that a fit may take; left out, as long as it takes. No two such runs are alike.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it fits: `cpu`, or `cuda`, a GPU, where then lie the steps, the optimiser and a copy of the model.
            The model predicts on the processor, with what was learned copied to it each time.
    """

    random = True
    uses = {"model": Use(Model, changes=True)}
    example_uses = {"model": ("world_models.gaussian_ensemble", {"hidden": [8], "members": 2, "elites": 1})}

    def __init__(self, *, learning_starts: Amount = 250, model_train_freq: Count = 250, buffer_size: Count = 1_000_000,
                 max_model_t: Positive | None = None, unfinished: Unfinished = "error", threads: Count = 1,
                 device: Device = "cpu") -> None:
        model_fitting.check_memory(buffer_size)
        self.learning_starts, self.model_train_freq = learning_starts, model_train_freq
        self.buffer_size, self.max_model_t, self.unfinished = buffer_size, max_model_t, unfinished
        self.threads, self.device = threads, device
        self.warnings = [*torch_threads.too_many(threads), *model_fitting.by_the_clock(max_model_t)]
        self.inputs = {
            "observation": Port("what is seen of the body", ("observation",), wakes=True),
            "reward": Port("reward of the step that just ended", (), wakes=True),
            "status": status_input(wakes=True),
            "action": Port("what is done to it", ("action",), low=-1, high=1, reads="hold", also=("now",)),
        }
        self.outputs = {"updates": Port("fits so far", (), per_lane=False, dtype="int64", low=0),
                        **{name: Port(about, (), per_lane=False, dtype="float64")
                           for name, about in model_fitting.MEASURES.items()}}

    @classmethod
    def example(cls) -> ModelFit:
        return cls(learning_starts=6, model_train_freq=5, buffer_size=100)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what fits."""
        import torch

        from ..parts.ensemble_fit import EnsembleFit, network_of
        from ..parts.replay_buffer import ReplayBuffer, transition_columns

        super().build(lanes, seed)
        seen, done = self.inputs["observation"], self.inputs["action"]
        columns = transition_columns(seen.shape, done.shape, done.dtype, seen.dtype)  # type: ignore[arg-type]
        self.workplace = devices.Workplace(self.used, devices.find(self.device))
        with torch_memory.refused("buffer_size"):
            self.buffer = ReplayBuffer(self.buffer_size, {**columns, "reached": ((), torch.bool)},
                                       self.workplace.device)
        self.fit = EnsembleFit(network_of(self.workplace.parts["model"]))
        self._transitions = Transitions(lanes, self.unfinished)
        self._generator = devices.generator(self.workplace.device)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every step and every moment of the optimiser; what was learned stays."""
        self._transitions.forget()
        self.buffer.forget()
        self.fit.forget()
        self._generator.manual_seed(derive(seed, "fitting"))
        self._due = self._fits = 0  # how often fitting fell due, and was done

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what happened, and fit the model when it is time."""
        rows = self._transitions.take(inputs)
        if rows is None:
            return {}
        self.buffer.add(model_fitting.as_columns(rows))
        due = model_fitting.times_due(self._transitions.steps, self.learning_starts, self.model_train_freq)
        if due <= self._due or not model_fitting.enough(self.buffer):
            return {}
        self._due, self._fits = due, self._fits + 1
        with torch_threads.threads(self.threads), torch_memory.told("buffer_size"), self.workplace.learning("model"):
            measured = model_fitting.fit_to(self.buffer, self.fit, self._generator, self.max_model_t)
        return {"updates": np.asarray(self._fits, np.int64),
                **{name: np.asarray(value, np.float64) for name, value in measured.items()}}

    def state_dict(self) -> dict[str, Any]:
        return {"transitions": self._transitions.state_dict(), "buffer": self.buffer.state_dict(),
                "fit": self.fit.state_dict(), "generator": devices.keep(self._generator), "due": self._due,
                "fits": self._fits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "transitions" not in state:
            return
        self._transitions.load_state_dict(state["transitions"])
        self.buffer.load_state_dict(state["buffer"])
        self.fit.load_state_dict(state["fit"])
        devices.restore(self._generator, state["generator"])
        self._due, self._fits = int(state["due"]), int(state["fits"])
