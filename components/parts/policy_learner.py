"""What learners of policies share: what they hear, how they publish, and what their learning costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Diverged, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from . import devices, normaliser, torch_memory, torch_threads
from .devices import Device
from .hidden_weights import Cost, HiddenWeights
from .roles import Normalised, Policy, Value
from .transitions import Rows, Transitions, Unfinished

_CHANGED = ("policy", "value", "state_value")  # by every time of learning, as far as they are used


class PolicyLearner(Component):
    """Hears a body and the policy that moves it, and makes the policy better now and then.

    A learner of this kind writes `remember`, `due` and `learn`, and `keep` and `restore` for what it remembers.
    """

    random = True
    uses = {"policy": Use(Policy, changes=True), "value": Use(Value, changes=True)}
    sizes = "batch_size, or device: cpu"  # what to change where there is not enough memory to learn
    recurrent: ClassVar[bool] = False  # does it teach policies that remember?
    measures: ClassVar[Mapping[str, str]] = {}  # what it publishes of its learning, and what each says

    def __init__(self, unfinished: Unfinished, cost: Cost, threads: int, device: Device = "cpu") -> None:
        self.unfinished, self.cost, self.threads, self.device = unfinished, cost, threads, device
        self.inputs = {
            "observation": Port("what the policy perceives", ("observation",), wakes=True),
            "reward": Port("reward of the step that just ended", (), wakes=True),
            "status": status_input(wakes=True),
            "action": Port("what the policy did", ("action",), low=-1, high=1, reads="hold", also=("now",)),
        }
        count: dict[str, Any] = {"per_lane": False, "dtype": "int64", "low": 0}
        self.outputs = {"updates": Port("updates so far", (), **count),
                        **{name: Port(about, (), per_lane=False, dtype="float64")
                           for name, about in self.measures.items()}}
        self.warnings = [] if cost != "measured" else [
            "cost: measured takes as long as it takes, so no two runs of this assembly are alike"]
        self.warnings += torch_threads.too_many(threads)
        if cost:
            self.outputs["learned"] = Port("learned arrays of the policy, flattened in name order", ("learned",),
                                           per_lane=False)
            self.outputs["staleness"] = Port("time from learning until these weights were in force", (), units="ms",
                                             per_lane=False, dtype="float64", low=0)
            self.outputs["delayed_ticks"] = Port("ticks acted with the old weights before these", (), **count)

    def infer(self) -> None:
        """Give what nobody listens to a size, so that `build` can say what is wrong with that."""
        if self.cost and not self.peers.get("learned"):
            self.outputs["learned"] = self.outputs["learned"].sized((0,))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what learns."""
        super().build(lanes, seed)
        self.workplace = devices.Workplace(self.used, devices.find(self.device))
        if self.cost and not self.peers.get("learned"):
            raise AssemblyError([Problem("what is learned would reach nobody, for learning takes time here", "learned",
                                         "Wire it to the policy, for example brain: {inputs: [learner.learned]}, or "
                                         "leave cost out.")])
        check_heard(self.used["policy"], self.recurrent)
        self._transitions = Transitions(lanes, self.unfinished)
        self._generator = devices.generator(self.workplace.device)
        self._hidden = HiddenWeights(self.used["policy"], self.cost)
        statistics = [part.statistics() for name, part in self.used.items()
                      if self.uses[name].changes and isinstance(part, Normalised)]
        self._normalisers = [known for known in statistics if known]

    def refuse_choices(self) -> None:
        """Refuse a policy that chooses, in `infer`: before sizes are compared that cannot fit."""
        sender, done = self.peers_in.get("action"), self.inputs["action"]
        if sender is not None and sender.choices:
            self.inputs["action"] = Port(done.about, (), choices=sender.choices, reads="hold", also=("now",))
            raise AssemblyError([Problem(f"learns actions that are vectors, and this one is one of {sender.choices} "
                                         "choices", "inputs.action", "Choices are learned by learners.ppo, with "
                                         "critics.value_mlp.")])

    def reset(self, seed: int) -> None:
        """Forget every step and every moment of the optimisers; what was learned stays."""
        self.workplace.tell(*_CHANGED)
        self._transitions.forget()
        self._hidden.forget()
        self._seen: list[np.ndarray] = []  # observations [rows, ...] that the normalisers do not know yet
        self._generator.manual_seed(derive(seed, "minibatches"))

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what happened, and learn when it is time."""
        rows = self._transitions.take(inputs)
        acts = "observation" in inputs.new  # that wakes the policy, which answers after this
        said = self._hidden.deliver(now, acts)
        if rows is not None:
            self.remember(rows, inputs)
            if self._normalisers:
                self._seen.append(rows.observation)
        times = self.due() if self._hidden.due is None else 0
        if times:
            with torch_threads.threads(self.threads), torch_memory.told(self.sizes), self._hidden.learning(now, acts):
                with self.workplace.learning(*_CHANGED):
                    updates, measured = self.learn(times)
                self._normalise()
            said |= {"updates": np.asarray(updates, np.int64), **checked(updates, measured)}
        return said

    @property
    def steps(self) -> int:
        """Steps heard of so far, of all lanes together."""
        return self._transitions.steps

    def _normalise(self) -> None:
        """Let policy and value know what was observed; after learning, which judges by what acted."""
        if self._seen:
            values = np.concatenate(self._seen)
            for known in self._normalisers:
                normaliser.update(known, values)
            self._seen = []

    def next_wake(self, now: int) -> int | None:
        return self._hidden.due

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        """Take the steps that an instant completed."""
        raise NotImplementedError

    def due(self) -> int:
        """Return how often to learn now; what is answered is not owed any more."""
        raise NotImplementedError

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        """Learn so often; return the updates so far and the measures of the last ones."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"transitions": self._transitions.state_dict(), "hidden": self._hidden.state_dict(),
                "seen": np.concatenate(self._seen) if self._seen else np.zeros(0, np.float32),
                "generator": devices.keep(self._generator), **self.keep()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "transitions" not in state:
            return
        self._transitions.load_state_dict(state["transitions"])
        self._hidden.load_state_dict(state["hidden"])
        self._seen = [np.array(state["seen"])] if state["seen"].size else []
        devices.restore(self._generator, state["generator"])
        self.restore(state)

    def keep(self) -> dict[str, Any]:
        """Return what else changes, as for `state_dict`."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any]) -> None:
        """Return to what `keep` gave."""
        raise NotImplementedError


def check_heard(policy: Any, recurrent: bool = False) -> None:
    """Refuse a policy whose answer hangs on what its learner does not keep: it would teach another policy."""
    if not recurrent and policy.memory() is not None:
        raise AssemblyError([Problem("the policy remembers what it perceived before, and this learner asks it of "
                                     "single steps: it would teach another policy than the one that acts",
                                     "uses.policy", "Use a brain without memory, such as brains.mlp, or a learner of "
                                     "whole sequences.")])
    heard = getattr(policy, "peers_in", {})
    if unkept := [key for key in ("current", "injury", "hold") if key in heard]:
        raise AssemblyError([Problem(f"the policy also answers to its {' and '.join(unkept)}, which this learner does "
                                     "not keep: it would teach another policy than the one that acts", "uses.policy",
                                     "Teach the brain without stimulation, or a coprocessor beside it.")])


def check_sampled(policy: Any, observation: tuple[Any, ...], actions: int) -> None:
    """Refuse a policy whose drawn actions no gradient leaves; `observation` is the shape of what it sees."""
    import torch

    drawn = policy.respond({"observation": torch.zeros(2, *observation), "noise": torch.zeros(2, actions)})[0]
    check_teachable(policy, drawn["action"])


def check_teachable(policy: Any, said: Any) -> None:
    """Refuse a policy none of whose parameters moves what it `said`: it could only fail at the first update."""
    import torch

    parameters = list(policy.parameters())
    reached = torch.autograd.grad(said.sum(), parameters, allow_unused=True) if said.requires_grad else ()
    if all(part is None for part in reached):
        raise AssemblyError([Problem("no gradient leads from the policy's answer to a parameter that may learn",
                                     "uses.policy", "Leave torch.no_grad() and detach() out of its forward.")])


def checked(updates: int, measured: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return measures as they are published; raises Diverged where one is not finite."""
    if wrong := [f"{name} {value}" for name, value in measured.items() if not isfinite(value)]:
        raise Diverged(f"learning has diverged after {updates} updates: {', '.join(wrong)}. Lower learning_rate, "
                       "or look at rewards and observations of extreme scale (basics.gain brings them back)")
    return {name: np.asarray(value, np.float64) for name, value in measured.items()}
