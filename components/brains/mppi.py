"""A brain that plans: at each observation it tries many sequences of actions and begins the best one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import idle, status_input
from ...loops.time import Period, say_period
from ..parts import flags, sequence_draws, single_numbers, terminations, torch_memory, torch_threads
from ..parts.roles import Model, Placeable, Policy, Value


class Mppi(Component):
    """Plans by trying: sequences of actions run ahead in a model, or in a second body, and the best is begun.

    The next observation brings another plan (model predictive control), by path integrals (`method: mppi`, Williams
    et al. 2017) or the cross-entropy method (`cem`, Chua et al. 2018, arXiv:1805.12114). `uses: {model: ...}` plans in
    a learned model; `uses: {world: ...}` in a body that nobody wires, which is put at the physical state that the real
    one publishes (`publish_state: true`, wired to `state`). What no reward shows beyond the horizon a `value` may
    judge, and a `policy` may propose.

    A planned step is one tick of the world, or one step of what the model learned. Plans are open loop: noise that the
    model draws is averaged over variants, not over repetitions of one.

    Args:
        method: weigh all variants by what they gain, or go by the elites and narrow.
        horizon: steps looked ahead.
        particles: variants tried each time.
        iterations: how often, at each observation; left out, once by `mppi`, and 5 times by `cem`, which narrows from
            the second time on.
        noise: standard deviation of what is added to an action.
        scaling: of `mppi`, and weighed elites: `temperature` as it is, times the deviation of the gains, or the one at
            which `effective_share` of the variants count.
        temperature: how much a gain must differ to matter.
        effective_share: see scaling.
        elites: cem: how many variants count.
        elite_weights: cem: alike, or by what they gain.
        momentum: cem: share of mean and deviation that stays from one iteration to the next.
        min_noise: cem: least standard deviation.
        keep: cem: share of the elites that is tried again.
        colour: noise has a power spectrum of 1 / frequency^colour; 0 is white, 2 moves slowly.
        gamma: discount of a step.
        nominal: the sequence to improve: the previous plan, one step on; what the policy does; or no action.
        policy_sequences: sequences of the policy that are tried beside the variants, the first without exploring.
        termination: with a model: the rule by which an episode is over (`parts/terminations.py`, or my_module:name).
        explore: act by a draw around the plan instead of the plan.
        forget: does a new episode begin without a previous plan?
        period: time between answers; left out, every new observation is answered within its instant.
        threads: of torch, while it plans.
    """

    random = True
    uses = {"model": Use(Model, optional=True), "world": Use(Placeable, optional=True),
            "value": Use(Value, optional=True), "policy": Use(Policy, optional=True)}
    example_uses = {"model": ("world_models.gaussian_ensemble", {"hidden": [8], "members": 2, "elites": 1})}

    def __init__(self, *, method: Literal["mppi", "cem"] = "mppi", horizon: Count = 15, particles: Count = 100,
                 iterations: Count | None = None, noise: Positive = 0.5,
                 scaling: Literal["fixed", "deviation", "effective"] = "effective", temperature: Positive = 1.0,
                 effective_share: Share = 0.1, elites: Count = 10,
                 elite_weights: Literal["equal", "weighed"] = "equal", momentum: Share = 0.0,
                 min_noise: Positive = 0.05, keep: Share = 0.0, colour: NonNegative = 0.0, gamma: Share = 0.99,
                 nominal: Literal["previous", "policy", "zero"] = "previous", policy_sequences: Amount = 0,
                 termination: str | None = None, explore: bool = False, forget: Literal["first", "never"] = "first",
                 period: Period | None = None, threads: Count = 1) -> None:
        single_numbers.check(locals())
        self.horizon, self.particles, self.gamma, self.nominal = horizon, particles, gamma, nominal
        self.policy_sequences, self.termination, self.explore = policy_sequences, termination, explore
        self.forget, self.period, self.threads = forget, period, threads
        self._weighing: dict[str, Any] = {"scaling": scaling, "temperature": temperature, "share": effective_share}
        often = iterations or (5 if method == "cem" else 1)
        self._search: dict[str, Any] = {
            "method": method, "particles": particles, "iterations": often, "noise": noise, "elites": elites,
            "elite_weights": elite_weights, "momentum": momentum, "min_noise": min(min_noise, noise), "keep": keep,
            "colour": colour}
        self._declare(wakes=period is None)

    def _declare(self, wakes: bool) -> None:
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=wakes),
            "status": replace(status_input(wakes=wakes, optional=True), also=("all",)),
            "state": Port("physical state of the body, to plan from in a world", ("state",), dtype="float64",
                          optional=True),
            "forget": Port("lanes to begin without a previous plan", (0,), kind="event", optional=True),
        }
        self.outputs = {
            "action": Port("action in [-1, 1]", ("action",), low=-1, high=1),
            "expected": Port("discounted reward of the variants that counted, and the value at the horizon", ()),
            "effective_size": Port("how many variants counted", (), low=0),
        }

    @classmethod
    def example(cls) -> Mppi:
        return cls(horizon=3, particles=5, termination="never")

    def check_source(self, key: str, source: Component) -> list[Problem]:
        """Return why the termination is not that of the body it hears."""
        return terminations.check_body(self.termination, source) if self.termination and key == "observation" else []

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what searches, and what it tries sequences in."""
        super().build(lanes, seed)
        self._check()
        from ..parts.foresight import Foresight
        from ..parts.path_integral import Weighing
        from ..parts.sequence_search import SequenceSearch

        self._actions = int(self.outputs["action"].shape[0])  # type: ignore[arg-type]
        self.warnings = [*self._pace(), *self._idle(), *torch_threads.too_many(self.threads)]
        torch_memory.check("variants of its plans take", {"particles": self.particles, "horizon": self.horizon},
                           4 * lanes.count * self.particles * self.horizon * self._actions)
        self.search = SequenceSearch(**self._search, weighing=Weighing(**self._weighing))
        self.foresight = Foresight(self._trial_world(), self.gamma, self._worth if "value" in self.used else None)
        self.reset(seed)

    def _check(self) -> None:
        """Refuse what cannot be planned with."""
        used, problems = self.used, []
        if ("model" in used) == ("world" in used):
            problems.append(Problem("sequences are tried in a model or in a world, one of the two", "uses",
                                    "Write uses: {model: a world model}, or uses: {world: a second body}."))
        elif "model" in used and self.termination is None:
            problems.append(Problem("no model says when an episode is over", "params.termination",
                                    "Name the rule, such as termination: never, or your own as my_module:function."))
        elif "world" in used and "state" not in self.peers_in:
            problems.append(Problem("a world cannot be put where the body is without its physical state",
                                    "inputs.state", "Write publish_state: true at the body, and wire its state."))
        asks_policy = self.nominal == "policy" or self.policy_sequences or "action" in getattr(
            used.get("value"), "inputs", {})
        if asks_policy and "policy" not in used:
            problems.append(Problem("a policy is asked what it would do, and there is none", "uses",
                                    "Write uses: {policy: a brain}."))
        if not self.outputs["action"].shape[0]:
            problems.append(Problem("an action of 0 numbers: there is nothing to plan", "outputs.action",
                                    "Look at the action space of the body."))
        if problems:
            raise AssemblyError(problems)

    def _pace(self) -> list[str]:
        """Say where a planned step is not the time between two answers."""
        tick = self.used["world"].period if "world" in self.used else self.period
        if self.period in (None, tick):
            return []
        return [f"plans every {say_period(self.period)}, but each step of a plan is a tick of its world, "
                f"{say_period(tick)}: it plans as if it could act more or less often than it does"]

    def _idle(self) -> list[str]:
        """Say what is asked for and does nothing."""

        found = []
        if self.particles + self.policy_sequences == 1:
            found.append("never plans: its one variant is the sequence as it stands, and there is none to compare it "
                         "with. Write particles: 2 or more")
        if "world" in self.used and self.termination is not None:
            terminations.find(self.termination)  # refuses one that there is not
            found.append(f"termination: {self.termination} is not asked, for the world says itself when an episode is "
                         "over. Leave it out")
        return found

    def _trial_world(self) -> Any:
        from ..parts import foresight

        if "world" in self.used:
            return foresight.Simulated(self.used["world"])
        import torch

        from ..parts import imagined_ends
        from ..parts.imagination import ImaginedWorld

        rule = imagined_ends.find(str(self.termination), self.inputs["observation"].shape, self._actions)
        return foresight.Imagined(ImaginedWorld(self.used["model"], rule, torch.Generator()))

    def reset(self, seed: int) -> None:
        """Forget every plan."""
        self._seed = derive(seed, "search")
        self._memory = self._new_memory(self.lanes.numbers)
        self._said: dict[str, np.ndarray] = {}

    def _new_memory(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return {"plan": np.zeros((len(numbers), self.horizon, self._actions), np.float32),
                "lane": np.array(numbers, np.int64), "drawn": np.zeros(len(numbers), np.uint64)}

    def memory(self) -> dict[str, np.ndarray]:
        """Return the plan of each lane, one step on, its number, and how many random numbers it drew."""
        return {name: part.copy() for name, part in self._memory.items()}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Plan for what is perceived now; where nothing new is perceived, say the same again."""
        self._forget(inputs)
        status = flags.latest(inputs["status"]) if "status" in inputs else np.zeros(self.lanes.count, np.int64)
        if self.period is not None or "observation" in inputs.new or not self._said:
            self._said, self._memory = self.respond({**inputs, "status": status}, self._memory)
        rest = idle(status)
        return {name: np.where(rest.reshape(-1, *[1] * (part.ndim - 1)), np.float32(0), part)
                for name, part in self._said.items()}

    def _forget(self, inputs: Inputs) -> None:
        gone = np.zeros(self.lanes.count, bool)
        if self.forget == "first" and "status" in inputs.new:
            gone |= flags.begun(inputs["status"], inputs.previous)
        if "forget" in inputs.new:
            gone[inputs["forget"].lane] = True
        if gone.any():
            self._memory["plan"][gone] = 0

    def respond(self, inputs: Mapping[str, Any], memory: Any = None) -> tuple[dict[str, Any], Any]:
        """Answer to inputs named as the ports, any batch size; pure: what is drawn hangs on the memory.

        Lanes that ended or wait are answered 0; their memory stays. Without a memory, lanes are numbered from 0.
        """
        import torch

        seen = np.asarray(inputs["observation"], np.float32)
        memory = self._new_memory(np.arange(len(seen))) if memory is None else memory
        status = inputs.get("status")
        acting = np.arange(len(seen)) if status is None else np.flatnonzero(~idle(np.asarray(status)))
        said = {"action": np.zeros((len(seen), self._actions), np.float32),
                "expected": np.zeros(len(seen), np.float32), "effective_size": np.zeros(len(seen), np.float32)}
        after = {name: np.array(part) for name, part in memory.items()}
        if acting.size:
            with torch.no_grad(), torch_threads.threads(self.threads):
                answer = self._plan(seen[acting], inputs.get("state"), acting, memory)
            for name in said:
                said[name][acting] = answer[name].numpy()
            after["plan"][acting], after["drawn"][acting] = answer["plan"].numpy(), answer["drawn"]
        return said, after

    def _plan(self, seen: np.ndarray, state: Any, acting: np.ndarray, memory: Mapping[str, np.ndarray]
              ) -> dict[str, Any]:
        """Plan in the lanes `acting`, which see `seen` [acting, observations]."""
        import torch

        from ..parts.foresight import Start
        from ..parts.sequence_search import shifted

        draws = sequence_draws.Draws(self._seed, memory["lane"][acting], memory["drawn"][acting])
        observation = torch.from_numpy(seen)
        states = None if state is None else np.asarray(state)[acting]

        def start() -> Start:
            return Start(observation, states, draws.seeds())

        mean = torch.from_numpy(np.array(memory["plan"][acting]))
        if self.nominal == "policy":
            mean = self._policy_does(start(), 1, draws, 0.0)[:, 0]
        elif self.nominal == "zero":
            mean = torch.zeros_like(mean)
        offered = self._policy_does(start(), self.policy_sequences, draws, 1.0)
        found = self.search.find(mean, offered, draws.normal, lambda tried: self.foresight.gains(start(), tried))
        action = found.mean[:, 0]
        if self.explore:
            action = (action + found.deviation[:, 0] * draws.normal((self._actions,))).clamp(-1, 1)
        self.foresight.world.end()
        return {"action": action, "expected": found.expected, "effective_size": found.size,
                "plan": shifted(found.mean), "drawn": draws.drawn}

    def _policy_does(self, start: Any, count: int, draws: sequence_draws.Draws, wild: float) -> Any:
        """Return `count` sequences of the policy from each state [states, count, time, actions]."""
        noise = wild * draws.normal((count, self.horizon, self._actions))
        if not count:
            return noise
        noise[:, 0] = 0
        flat = noise.flatten(0, 1)
        return self.foresight.follow(start, count, self.horizon, self._actions, lambda time, seen, rows: self._ask(
            {"observation": seen, "noise": flat[rows, time]} if wild else {"observation": seen}))

    def _ask(self, question: Mapping[str, Any]) -> Any:
        return self.used["policy"].respond(question, None)[0]["action"]

    def _worth(self, observation: Any) -> Any:
        """Return what observations at the horizon are worth [rows]: the least that members promise."""
        value = self.used["value"]
        if "action" not in getattr(value, "inputs", {}):
            return value.value(observation)
        return value.value(observation, self._ask({"observation": observation})).amin(0)

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory(), "said": {name: part.copy() for name, part in self._said.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "memory" not in state:
            return
        self._memory = {name: np.array(part, self._memory[name].dtype) for name, part in state["memory"].items()}
        self._said = {name: np.array(part, np.float32) for name, part in state["said"].items()}
