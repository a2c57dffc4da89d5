"""A coprocessor that stimulates so that the brain does what a critic thinks best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count, NonNegative
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom, derive
from ...loops.status import begins, idle, status_input
from ...loops.time import Period
from ..parts import command_bounds, flags, torch_threads
from ..parts.roles import Model, Policy, Stimulator, Value, remembers
from ..parts.stimulus_search import Kind

_PERCEIVED = (("observation", "observation"), ("recording", "recording"))


class Copac(Component):
    """Tries stimulations in a model of the brain, and gives the one whose action promises most.

    s = argmax of min(Q1, Q2)(o, f(o, s)): Coprocessor Actor Critic (Pan et al. 2024, arXiv:2406.06714), where f says
    what this brain does when it is stimulated so (`uses: action_model`), and Q what an action promises (`uses:
    critic`).
    What it can do besides:

    * `pmax`: s = argmin |pi(o) - f(o, s)|, so that the brain does what an expert would (`uses: expert`);
    * `inverse`: a model wired the other way round (`uses: inverse_model`) says which stimulation makes it do that;
    * the brain itself in place of f (`uses: brain` and `stimulator`), which no experiment with a patient has: an upper
      bound for every f.

    Where f remembers what was done before (`memory`), all commands of a step are tried from the same memory, and what
    was delivered is what is remembered, not what was commanded.

    Args:
        method: which of these.
        collect: `greedy` gives what it finds best; `random` draws uniformly, so that a learner sees everything.
        search: a full grid, the gradient from many places, or cross-entropy (`parts/stimulus_search.py`).
        points: of the grid, for each channel.
        starts: places where the gradient begins (left out, 32), or draws in each iteration of cross-entropy (128).
        iterations: of gradient (left out, 30) or cross-entropy (12).
        low: smallest command; left out, what the receiver takes, or -5 where it takes anything (as a limiter does).
        high: largest command; left out, what the receiver takes, or 5.
        effort: what a squared unit of command costs (mean over channels), in the units of the critic, or of pmax.
        bonus: what a unit of disagreement among the model's members is worth: it tries what it does not know.
        period: time between commands; left out, one per observation that arrives.
    """

    random = True
    uses = {"critic": Use(Value, optional=True, alike=(("observation", "observation"),)),
            "action_model": Use(Model, optional=True, alike=(*_PERCEIVED, ("condition", "command"))),
            "inverse_model": Use(Model, optional=True, alike=(*_PERCEIVED, ("target", "command"))),
            "expert": Use(Policy, optional=True, alike=(("observation", "observation"),)),
            "brain": Use(Policy, optional=True, alike=(("observation", "observation"),)),
            "stimulator": Use(Stimulator, optional=True, alike=(("command", "command"),))}
    example_uses = {"critic": ("critics.q_ensemble", {"hidden": [8]}),
                    "action_model": ("world_models.action_model", {"hidden": [8]})}

    def __init__(self, *, method: Literal["qmax", "pmax", "inverse"] = "qmax",
                 collect: Literal["greedy", "random"] = "greedy", search: Kind = "grid", points: Count = 100,
                 starts: Count | None = None, iterations: Count | None = None, low: float | None = None,
                 high: float | None = None, effort: NonNegative = 0.0, bonus: NonNegative = 0.0,
                 period: Period | None = None) -> None:
        command_bounds.check(low, high)
        self.method, self.collect, self.kind, self.points = method, collect, search, points
        usual = {"gradient": (32, 30), "cem": (128, 12)}.get(search, (1, 1))
        self.starts, self.iterations = starts or usual[0], iterations or usual[1]
        self.low, self.high = low, high
        self.effort, self.bonus, self.period = effort, bonus, period
        self.inputs = {
            "observation": Port("what happens in the world", ("observation",), wakes=period is None),
            "recording": Port("activity of the brain that is recorded", ("recording",), optional=True,
                              also=("hold",)),
            "status": status_input(wakes=True, optional=True),
        }
        self.outputs = {"command": Port("what each channel is to deliver", ("channel",), axes=("electrode",)),
                        "promise": Port("what the command is thought to be worth", ())}

    @classmethod
    def example(cls) -> Copac:
        return cls(points=5, low=-5, high=5)

    def infer(self) -> None:
        """Take the bounds that were not given from the receivers."""
        self._low, self._high = command_bounds.found(self.low, self.high, self.peers.get("command", []))
        self.outputs["command"] = replace(self.outputs["command"], low=min(self._low, 0.0), high=max(self._high, 0.0))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the search."""
        from ..parts import stimulus_search
        from ..parts.command_scores import CommandScores

        super().build(lanes, seed)
        self.infer()
        command_bounds.refuse_none(self._low, self._high)
        self._check()
        channels = int(self.outputs["command"].shape[0])  # type: ignore[arg-type]
        low, high = np.full(channels, self._low, np.float32), np.full(channels, self._high, np.float32)
        if self.method != "inverse":
            self._search = stimulus_search.make(self.kind, low, high, self.points, self.starts, self.iterations,
                                                derive(seed, "search"))
        self.scores = CommandScores(self.used, self.method, int(self.inputs["observation"].shape[0]),  # type: ignore[arg-type]
                                    self.effort, self.bonus)
        self.reset(seed)

    def _check(self) -> None:
        """Refuse references with which nothing can be found."""
        from ..parts.histories import no_memory

        used, problems = self.used, []
        oracle = "brain" in used
        wanted = {"qmax": ["critic"], "pmax": ["expert"], "inverse": ["expert", "inverse_model"]}[self.method]
        if self.method != "inverse" and not oracle:
            wanted.append("action_model")
        if oracle:
            wanted.append("stimulator")
            if "action_model" in used:
                problems.append(Problem("it is told what the brain does by the brain itself and by a model of it",
                                        "uses", "Leave brain and stimulator out, or action_model."))
        for name in wanted:
            if name not in used:
                problems.append(Problem(f"method {self.method} asks for a reference `{name}`, and there is none",
                                        "uses", f"Write uses: {{{name}: a component}}."))
        model = used.get("action_model")
        if self.bonus and not (hasattr(model, "predictions") and model.members > 1):
            problems.append(Problem("a single model never disagrees with itself, so `bonus` does nothing",
                                    "params.bonus", "Give the action_model members: 2 or more, or leave bonus out."))
        if self.method == "inverse" and (self.effort or self.kind != "grid"):
            problems.append(Problem("an inverse model says the command, and none is searched for, so `search` and "
                                    "`effort` do nothing", "params.method", "Leave search and effort out, or write "
                                    "method: pmax."))
        if remembers(model) and "status" not in self.peers_in:
            problems.append(Problem("the action_model remembers until an episode begins, and nothing says here when "
                                    "one does", "inputs.status", "Wire the body's status to it."))
        problems += no_memory(used)
        if problems:
            raise AssemblyError(problems)

    def reset(self, seed: int) -> None:
        """Begin the random numbers anew."""
        self._random = LaneRandom(seed, self.lanes)
        self._last = np.zeros(self.outputs["command"].full_shape(self.lanes.count), np.float32)
        self._promise = np.zeros(self.lanes.count, np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Command for what is perceived now; between two commands only fall silent where an episode ended."""
        acts = ~idle(inputs["status"]) if "status" in inputs else np.ones(self.lanes.count, bool)
        fresh = "observation" in inputs.new if self.period is None else flags.due(self.period, now)
        command, promise = self._last, self._promise
        if fresh and acts.any():
            command, promise = self._decided(now, inputs, acts)
        command = np.where(acts[:, None], command, np.float32(0))
        if not fresh and np.array_equal(command, self._last):
            return {}
        self._last, self._promise = command, np.where(acts, promise, np.float32(0))
        return {"command": command, "promise": self._promise}

    def _decided(self, now: int, inputs: Inputs, acts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return commands [lanes, channels] and what they promise [lanes]; what rests has zeros."""
        command, promise = np.zeros_like(self._last), np.zeros(self.lanes.count, np.float32)
        if self.collect == "random":
            drawn = self._random.uniform(self._last.shape[1:], acts)
            return (self._low + (self._high - self._low) * drawn).astype(np.float32), promise
        seen = inputs["observation"]
        if "recording" in self.peers_in:
            seen = np.concatenate([seen, inputs["recording"]], axis=1)
        lanes = np.flatnonzero(acts)
        command[acts], promise[acts] = self._best(seen[acts], lanes, self._memory(now, inputs, lanes))
        return command, promise

    def _memory(self, now: int, inputs: Inputs, lanes: np.ndarray) -> Any:
        """Return what the model remembers of these lanes: nothing where an episode begins, as it may not know yet."""
        model = self.used.get("action_model")
        if not remembers(model):
            return None
        first = begins(inputs["status"])[lanes] & ("status" in inputs.new)
        return {name: np.where(first.reshape(-1, *[1] * (part.ndim - 1)), np.float32(0), part[lanes])
                for name, part in model.memory(now).items()}

    def choose(self, observation: Any, memory: Any = None) -> Any:
        """Return the best commands [batch, channels] for observations (and recordings beside them) [batch, ...]."""
        return self._best(np.asarray(observation), None, memory)[0]

    def _best(self, observation: np.ndarray, lanes: np.ndarray | None, memory: Any) -> tuple[np.ndarray, np.ndarray]:
        import torch

        seen = torch.from_numpy(np.array(observation, np.float32))
        with torch_threads.threads(1):
            question = self.scores.question(seen, lanes, memory)
            if self.method == "inverse":
                found = question.inverse().clamp(self._low, self._high)
                return found.numpy(), np.zeros(len(seen), np.float32)
            found = self._search.best(question.score, len(seen), question.climb)
            with torch.no_grad():
                return found.numpy(), question.score(torch.arange(len(seen)), found).numpy()

    def state_dict(self) -> dict[str, Any]:
        return {"random": self._random.state_dict(), "last": self._last.copy(), "promise": self._promise.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "random" in state:
            self._random.load_state_dict(state["random"])
            self._last = np.array(state["last"], np.float32)
            self._promise = np.array(state["promise"], np.float32)
