"""Learning what a stimulated brain does, and which of it is best: the learner of Coprocessor Actor Critic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, Positive, Share
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ..parts import devices, torch_threads
from ..parts.patients import patient_inputs, rows_of_patient
from ..parts.roles import Body, Model, Search, Value, remembers
from ..parts.transitions import Transitions

_PERCEIVED = (("observation", "observation"), ("recording", "recording"))


class Copac(Component):
    """Fits a model of the stimulated brain as the patient acts, and between episodes improves the critic without it.

    Coprocessor Actor Critic (Pan et al. 2024, arXiv:2406.06714). Every `train_freq` steps of the patient the model f is
    fitted to all (observation, stimulation delivered, action) so far; an inverse model, if one is used, to the same
    rows the other way round. After each patient episode beyond `update_start` it rehearses `imagined_episodes` whole
    episodes in a `world` of its own, where the actions are those that f expects of this brain, and fits the critic to
    them (`parts/rehearsal.py`): none of that costs the patient a step.

    A model that remembers what was done to the brain is fitted to pieces of `f_ticks` steps, each from what it
    remembers at their beginning (`parts/histories.py`), and remembers in a rehearsal what would have been done there.

    Args:
        train_freq: steps of the patient (all lanes together) between two fits of the model.
        learning_starts: steps before the first.
        f_learning_rate: of the model.
        f_passes: through all steps, at most, in a fit of the model.
        f_ticks: steps through which gradients of a model that remembers reach back, at most: a minibatch has as many
            pieces of so many steps as `batch_size` holds, one at least.
        batch_size: rows of a minibatch, of model and critic.
        tolerance: a fit stops where ten passes lowered the loss of a pass by less.
        imagined_episodes: whole episodes after each episode of the patient; 0 leaves the critic as it is.
        update_start: episodes of the patient after which that begins: the first time after the next one.
        q_learning_rate: of the critic.
        q_passes: through all that was rehearsed since the episode, at most, in a fit of the critic.
        q_train_freq: imagined steps between two fits of the critic.
        q_learning_starts: imagined steps that are lived first, once, without fitting.
        gamma: discount of a step.
        tau: share by which the slow copy of the critic follows at each step of fitting.
        mask_terminated: nothing comes after a terminal state (the published code let it).
    """

    random = True
    uses = {"action_model": Use(Model, changes=True, optional=True,
                                alike=(*_PERCEIVED, ("condition", "stimulation"), ("target", "action"))),
            "inverse_model": Use(Model, changes=True, optional=True,
                                 alike=(*_PERCEIVED, ("condition", "action"), ("target", "stimulation"))),
            "critic": Use(Value, changes=True, optional=True,
                          alike=(("observation", "observation"), ("action", "action"))),
            "search": Use(Search, optional=True),
            "world": Use(Body, changes=True, optional=True,
                         alike=(("observation", "observation"), ("action", "action")))}
    example_uses = {"action_model": ("world_models.action_model", {"hidden": [8]})}

    def __init__(self, *, train_freq: Count = 10, learning_starts: Amount = 5, f_learning_rate: Positive = 5e-3,
                 f_passes: Count = 75, f_ticks: Count = 16, batch_size: Count = 64, tolerance: float = 1e-3,
                 imagined_episodes: Amount = 0, update_start: Amount = 3, q_learning_rate: Positive = 1e-4,
                 q_passes: Count = 50, q_train_freq: Count = 50, q_learning_starts: Amount = 500, gamma: Share = 0.99,
                 tau: Share = 1e-3, mask_terminated: bool = True) -> None:
        self.train_freq, self.learning_starts = train_freq, learning_starts
        self.imagined_episodes, self.update_start = imagined_episodes, update_start
        self.q_train_freq, self.q_learning_starts = q_train_freq, q_learning_starts
        self._of_critic: dict[str, Any] = {"gamma": gamma, "tau": tau, "mask_terminated": mask_terminated}
        self._passes, self.f_ticks = {"batch_size": batch_size, "tolerance": tolerance}, f_ticks
        self._of_f = {"learning_rate": f_learning_rate, "most": f_passes}
        self._of_q = {"learning_rate": q_learning_rate, "most": q_passes}
        self.inputs = patient_inputs()
        number: dict[str, Any] = {"per_lane": False, "dtype": "float64"}
        count: dict[str, Any] = {"per_lane": False, "dtype": "int64", "low": 0}
        self.outputs = {
            "updates": Port("steps of fitting so far", (), **count),
            "f_loss": Port("loss of the model in the last pass of a fit", (), **number),
            "f_error": Port("mean squared error of the model on the steps since the last fit, which it had not seen",
                            (), **number),
            "q_loss": Port("loss of the critic in the last pass of a fit", (), **number),
            "imagined_return": Port("mean return of the episodes rehearsed", (), **number),
            "imagined_steps": Port("steps rehearsed so far", (), **count),
        }

    @classmethod
    def example(cls) -> Copac:
        return cls(train_freq=3, f_passes=3, learning_starts=2)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what rehearses."""
        import torch

        from ..parts.rehearsal import CriticFit, Rehearsal
        from ..parts.repeated_passes import RepeatedPasses

        super().build(lanes, seed)
        self._check()
        self._heard = ["observation", *(["recording"] if "recording" in self.peers_in else [])]
        self._channels = int(self.inputs["stimulation"].shape[0])  # type: ignore[arg-type]
        self._transitions, self._generator = Transitions(lanes, "drop"), torch.Generator()
        self._of_model = RepeatedPasses(**self._of_f, **self._passes)
        if self.imagined_episodes:
            self.critic_fit = CriticFit(self.used["critic"], **self._of_critic,
                                        passes=RepeatedPasses(**self._of_q, **self._passes))
            self.rehearsal = Rehearsal(self.used["world"], self._expected, seed)
        self.reset(seed)

    def _check(self) -> None:
        """Refuse references with which nothing can be learned, or nothing rehearsed."""
        from ..parts.histories import no_memory

        problems, used, count = [], self.used, self.imagined_episodes
        if not self._models():
            problems.append(Problem("there is no model to fit", "uses", "Write uses: {action_model: a component}."))
        problems += [Problem(f"to rehearse {count} episodes it needs a reference `{name}`", "uses",
                             f"Write uses: {{{name}: a component}}, or imagined_episodes: 0.")
                     for name in ("action_model", "critic", "search", "world") if count and name not in used]
        if count and "recording" in self.peers_in:
            problems.append(Problem("no brain is in the world that is rehearsed in, so nothing can be recorded there",
                                    "params.imagined_episodes", "Write imagined_episodes: 0."))
        if count and "world" in used and count % used["world"].lanes.count:
            problems.append(Problem(f"{count} episodes cannot be shared among the world's {used['world'].lanes.count} "
                                    "lanes", "params.imagined_episodes", "Give the world `lanes:` that divide them."))
        if count and "search" in used:
            problems += self._check_search(used["search"])
        problems += no_memory(used)
        if problems:
            raise AssemblyError(problems)

    def _check_search(self, search: Any) -> list[Problem]:
        """Refuse to rehearse with a search that asks others than those that are fitted here."""
        asked, used, remedy = getattr(search, "used", {}), self.used, "write imagined_episodes: 0."
        if getattr(search, "method", "qmax") != "qmax":
            return [Problem(f"the search asks no critic (method {search.method}): to improve one does nothing",
                            "params.imagined_episodes", remedy.capitalize())]
        if "brain" in asked:
            return [Problem("the search asks the brain itself, and no brain is in the world that is rehearsed in",
                            "uses.search", f"Let it use an action_model, or {remedy}")]
        return [Problem(f"the search asks another {name} than the one that is fitted here", f"uses.{name}",
                        f"Let both use the same, or {remedy}") for name in ("critic", "action_model")
                if name in asked and asked[name] is not used.get(name)]

    def _models(self) -> list[str]:
        return [name for name in ("action_model", "inverse_model") if name in self.used]

    def reset(self, seed: int) -> None:
        """Forget every step; what was learned stays."""
        self._transitions.forget()
        self._generator.manual_seed(derive(seed, "minibatches"))
        size = sum(int(self.inputs[name].shape[0]) for name in self._heard)  # type: ignore[arg-type]
        self._seen = np.zeros((0, size), np.float32)  # [rows, observation (+ recording)], every step of the patient
        self._done = np.zeros((0, self._channels + int(self.inputs["action"].shape[0])), np.float32)  # type: ignore[arg-type]
        self._lane, self._follows = np.zeros(0, np.int64), np.zeros(0, bool)  # of each row; see Transitions
        self._fitted = self._updates = self._imagined = self._episodes = 0  # rows at the last fit; counts
        if self.imagined_episodes:
            self.critic_fit.forget()
            self.rehearsal.begun = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what the brain did, fit the model when it is time, and rehearse after an episode."""
        rows = rows_of_patient(self._transitions, self._heard, inputs)
        if rows is None:
            return {}
        before = len(self._done) // self.train_freq
        self._seen = np.concatenate([self._seen, rows.observation])
        self._done = np.concatenate([self._done, rows.action])
        self._lane, self._follows = np.append(self._lane, rows.lane), np.append(self._follows, rows.follows)
        self._episodes += int(rows.ended.sum())
        said: dict[str, Any] = {}
        with torch_threads.threads(1):
            if len(self._done) // self.train_freq > before and len(self._done) > self.learning_starts:
                said |= self._fit_models()
            if rows.ended.any() and self.imagined_episodes and self._episodes > self.update_start:
                said |= self._rehearse()
        return said

    def _fit_models(self) -> dict[str, Any]:
        """Fit each model to every step of the patient so far; of two, publish the loss of the first."""
        told = {}
        for name in reversed(self._models()):
            told = self._fit(name)
        self._fitted = len(self._done)
        return {"updates": np.asarray(self._updates, np.int64), **told}

    def _fit(self, name: str) -> dict[str, Any]:
        import torch

        seen, done, model = torch.from_numpy(self._seen), torch.from_numpy(self._done), self.used[name]
        stimulation, action = done[:, :self._channels], done[:, self._channels:]
        condition, target = (stimulation, action) if name == "action_model" else (action, stimulation)
        given, new = torch.cat([seen, condition], dim=1), slice(self._fitted, None)
        what: dict[str, Any] = {"generator": self._generator, "what": f"the {name}"}
        if remembers(model):
            from ..parts.histories import Histories

            lived = Histories(model, given, target, self._lane, self._follows, self.f_ticks)
            before = {"memory": {part: rows[new] for part, rows in lived.memory.items()}}
            passes = replace(self._of_model, batch_size=max(self._of_model.batch_size // self.f_ticks, 1))
            what |= {"loss": lived.loss, "rows": len(lived), "before": lived.refresh}
        else:
            before, passes = {}, self._of_model
            what |= {"loss": lambda rows: model.loss(given[rows], target[rows]), "rows": len(given)}
        with torch.no_grad():
            missed = model.loss(given[new], target[new], **before) / getattr(model, "members", 1)
        loss, steps = passes.fit(list(model.parameters()), **what)
        self._updates += steps
        return {"f_loss": np.asarray(loss, np.float64), "f_error": np.asarray(float(missed.mean()), np.float64)}

    def _rehearse(self) -> dict[str, Any]:
        """Live whole episodes in the world, and fit the critic on the way."""
        fit, losses, first = self.critic_fit, [float("nan")], self._imagined == 0
        fit.rows = {}
        while first and len(fit) < self.q_learning_starts:
            self.rehearsal.episodes(fit.add)
        self._imagined += len(fit)

        def live(rows: Any) -> None:
            before = self._imagined // self.q_train_freq
            fit.add(rows)
            self._imagined += len(rows["reward"])
            if self._imagined // self.q_train_freq > before:
                loss, steps = fit.fit(self._generator)
                self._updates += steps
                losses.append(loss)

        gained = [value for _ in range(self.imagined_episodes // self.used["world"].lanes.count)
                  for value in self.rehearsal.episodes(live)]
        fit.rows = {}
        said = {"updates": np.asarray(self._updates, np.int64),
                "imagined_return": np.asarray(np.mean(gained), np.float64),
                "imagined_steps": np.asarray(self._imagined, np.int64)}
        return said if len(losses) == 1 else {**said, "q_loss": np.asarray(losses[-1], np.float64)}

    def _expected(self, observation: np.ndarray, memory: Any) -> tuple[np.ndarray, Any]:
        """Return the actions [lanes, actions] that the brain is expected to make, stimulated as would be chosen.

        And what a model that remembers does so after that.
        """
        model, search = self.used["action_model"], self.used["search"]
        before = {"memory": memory} if remembers(model) else {}
        command = np.asarray(search.choose(observation, **before))
        both = np.concatenate([np.asarray(observation, np.float32), command], axis=1)
        action = np.clip(np.asarray(model.predict(both, **before)), -1, 1).astype(np.float32)
        return action, model.remember(both, memory) if before else None

    def state_dict(self) -> dict[str, Any]:
        kept = {"transitions": self._transitions.state_dict(), "generator": devices.keep(self._generator),
                "seen": self._seen.copy(), "done": self._done.copy(), "lane": self._lane.copy(),
                "follows": self._follows.copy(), "fitted": self._fitted,
                "updates": self._updates, "imagined": self._imagined, "episodes": self._episodes}
        return kept if not self.imagined_episodes else {**kept, "critic": self.critic_fit.state_dict(),
                                                        "begun": self.rehearsal.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "transitions" not in state:
            return
        self._transitions.load_state_dict(state["transitions"])
        devices.restore(self._generator, state["generator"])
        self._seen, self._done = np.array(state["seen"], np.float32), np.array(state["done"], np.float32)
        self._lane, self._follows = np.array(state["lane"], np.int64), np.array(state["follows"], bool)
        self._fitted, self._updates = int(state["fitted"]), int(state["updates"])
        self._imagined, self._episodes = int(state["imagined"]), int(state["episodes"])
        if self.imagined_episodes:
            self.critic_fit.load_state_dict(state["critic"])
            self.rehearsal.begun = int(state["begun"])
