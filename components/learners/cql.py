"""Conservative Q-learning: a policy learned from steps that others made before, without one of its own."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count, NonNegative, Positive, Share
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.files import DataSet
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.time import MILLISECOND, Period
from ..parts import data_sets, devices, normaliser, policy_learner, single_numbers, torch_memory, torch_threads
from ..parts.devices import Device
from ..parts.off_policy import OffPolicyLearner
from ..parts.roles import Normalised, Policy, Value


class Cql(Component):
    """Learns a policy and a critic from collected steps alone, and promises little for actions that nobody tried.

    It learns from nothing that happens. At each tick of its own `period`, from t = 0 on, it makes `updates_per_step`
    updates with minibatches of a Minari data set (`stimloop export RUN --to minari`), in an order that is drawn anew
    for each pass over the data; after `passes` of them it is `done`, and the loop may end (`until: learner.done`). An
    update is one of soft actor-critic (`parts/soft_actor_critic.py`), whose critic is held back besides
    (`parts/conservative.py`: Kumar et al. 2020, arXiv:2006.04779, equation 4 and appendix F). The body of such an
    assembly is there for the sizes of the policy, and for evaluations. `observation` and `action` may be wired to hold
    their sizes against those of the data; what they carry is not looked at. Hyper-parameters that `learners.sac` has
    too mean the same here.

    Args:
        data: folder of the data set; a plain word names one that comes with stimloop.
        environment: where it must have been collected, such as Reacher-v5; left out, sizes alone are compared.
        passes: times that all steps of the data set are gone through.
        updates_per_step: updates at each tick.
        period: time between two ticks.
        batch_size: steps of a minibatch at most; the minibatches of a pass differ by one step at most.
        learning_rate: of policy, critic, entropy weight and conservative weight.
        gamma: discount from one observation to the next.
        tau: share by which the target critic follows at each update.
        ent_coef: weight of the entropy; `auto` learns it.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        cql_weight: of the conservative term; 0 is soft actor-critic. With `with_lagrange`, what the weight begins with.
        temperature: of the sum over all actions in that term; the smaller, the more the best of them counts.
        samples: actions drawn for it of each of three kinds: uniform, the policy's, the policy's one step later.
        with_lagrange: learn the conservative weight: more where the term is above `target_action_gap`, less below.
        target_action_gap: value of the term that is aimed at. The sum over actions is estimated as a mean here; where
            others leave the number of samples out of it, theirs is larger by log(3 samples).
        max_grad_norm: length to which the critic's gradient is cut, all members together; left out, it is not.
        threads: threads of torch.
        device: where it learns: `cpu`, or `cuda`, a GPU.
    """

    random = True
    uses = {"policy": Use(Policy, changes=True), "value": Use(Value, changes=True)}
    example_uses = OffPolicyLearner.example_uses
    measures = {
        **OffPolicyLearner.measures,
        "cql_loss": "what the critics promise for any action above what they promise for those of the data",
        "cql_weight": "weight of that in their loss",
        "critic_grad_norm": "length of the critics' gradient before it is cut",
    }

    def __init__(self, *, data: DataSet, environment: str | None = None, passes: Count = 100,
                 updates_per_step: Count = 1, period: Period = 20 * MILLISECOND, batch_size: Count = 512,
                 learning_rate: Positive = 3e-4, gamma: Share = 0.99, tau: Share = 5e-3,
                 ent_coef: Literal["auto"] | NonNegative = "auto", target_entropy: Literal["auto"] | float = "auto",
                 cql_weight: NonNegative = 1.0, temperature: Positive = 1.0, samples: Count = 10,
                 with_lagrange: bool = False, target_action_gap: float = 10.0, max_grad_norm: Positive | None = 1.0,
                 threads: Count = 1, device: Device = "cpu") -> None:
        single_numbers.check(locals())
        if with_lagrange and not cql_weight:
            raise AssemblyError([Problem("a weight that begins at 0 stays there", "params.cql_weight",
                                         "Write more than 0, or leave with_lagrange out.")])
        self.data, self.environment, self.passes, self.updates_per_step = data, environment, passes, updates_per_step
        self.period, self.batch_size, self.threads, self.device = period, batch_size, threads, device
        self._core_settings: dict[str, Any] = {
            "learning_rate": learning_rate, "gamma": gamma, "tau": tau, "ent_coef": ent_coef,
            "target_entropy": target_entropy, "target_update_interval": 1}
        self._held_settings: dict[str, Any] = {
            "cql_weight": cql_weight, "temperature": temperature, "samples": samples, "max_grad_norm": max_grad_norm,
            "target_action_gap": target_action_gap if with_lagrange else None}
        self.warnings = torch_threads.too_many(threads)
        self.inputs = {
            "observation": Port("what the policy perceives, for its size alone", ("observation",), optional=True),
            "action": Port("what the policy does, for its size alone", ("action",), low=-1, high=1, reads="hold",
                           also=("now",), optional=True),
        }
        self._steps: data_sets.Transitions | None = None
        laneless: dict[str, Any] = {"per_lane": False}
        self.outputs = {
            "updates": Port("updates so far", (), dtype="int64", low=0, **laneless),
            "passed": Port("passes over the data so far", (), dtype="int64", low=0, **laneless),
            "done": Port("has it gone through the data often enough?", (), dtype="bool", low=0, high=1, **laneless),
            **{name: Port(about, (), dtype="float64", **laneless) for name, about in self.measures.items()}}

    @classmethod
    def example(cls) -> Cql:
        folder = Path(tempfile.mkdtemp())
        data_sets.write_example(folder / "example", observations=4, actions=2)
        made = cls(data=str(folder / "example"), passes=3, batch_size=8, samples=2)
        weakref.finalize(made, rmtree, folder, True)
        return made

    def infer(self) -> None:
        """Give the inputs the sizes of the data set, where no wire has given them others."""
        for name, port in self.inputs.items():
            if not port.known:
                self.inputs[name] = port.sized(getattr(self.steps, name).shape[1:])

    @property
    def steps(self) -> data_sets.Transitions:
        """The data set."""
        if self._steps is None:
            self._steps = data_sets.read(self.data)
        return self._steps

    def build(self, lanes: Lanes, seed: int) -> None:
        """Take the data set, and make what learns."""
        import torch

        super().build(lanes, seed)
        policy = self.used["policy"]
        policy_learner.check_heard(policy)
        actions = self._check_data(policy)
        self.workplace = devices.Workplace(self.used, devices.find(self.device))
        device, parts = self.workplace.device, self.workplace.parts
        with torch_memory.refused("data"):
            self._columns = {name: torch.from_numpy(column).to(device)
                             for name, column in self.steps.columns().items()}
        policy_learner.check_sampled(policy, self.steps.observation.shape[1:], actions)
        self._make_core(parts["policy"], parts["value"], actions)
        self._minibatches = ceil(len(self.steps) / self.batch_size)  # of a pass
        self._noise, self._shuffling = devices.generator(device), devices.generator(device)
        statistics = [part.statistics() for part in self.used.values() if isinstance(part, Normalised)]
        self._normalisers = [known for known in statistics if known]
        self.reset(seed)

    def _check_data(self, policy: Any) -> int:
        """Refuse a data set that is not of the policy's body; return the numbers of an action."""
        from ..parts.soft_actor_critic import check_action

        seen, done = policy.inputs["observation"], policy.outputs["action"]
        if done.choices:
            raise AssemblyError([Problem("learns actions that are vectors, and the policy's are one of "
                                         f"{done.choices} choices", "uses.policy", "Choices are learned by "
                                         "learners.ppo, in the loop.")])
        data_sets.check_sizes(self.steps, seen.shape, done.shape, self.environment)
        self._digest = self.steps.digest()
        return check_action(done.shape)

    def _make_core(self, policy: Any, critic: Any, actions: int) -> None:
        from ..parts.conservative import Conservative
        from ..parts.soft_actor_critic import SoftActorCritic, check_partners

        check_partners(policy, critic)  # its warnings are of those who explore
        self._held = Conservative(policy, critic, actions, **self._held_settings)
        self.core = SoftActorCritic(policy, critic, actions, **self._core_settings, conservative=self._held)

    def reset(self, seed: int) -> None:
        """Go back to the first pass; what was learned stays."""
        self.workplace.tell("policy", "value")
        self.core.forget()
        self._held.forget(derive(seed, "conservative"))
        self._noise.manual_seed(derive(seed, "noise"))
        self._shuffling.manual_seed(derive(seed, "minibatches"))
        self._passed = self._taken = 0  # passes, and minibatches of the present one
        self._shuffle()

    def _shuffle(self) -> None:
        """Draw the order of the steps in the present pass."""
        import torch

        self._before = devices.keep(self._shuffling)  # from which the order is drawn again
        self._order = torch.randperm(len(self.steps), generator=self._shuffling, device=self._shuffling.device)

    @property
    def done(self) -> bool:
        """Has it gone through the data often enough?"""
        return self._passed >= self.passes

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Make the updates of a tick."""
        measured: dict[str, np.ndarray] = {}
        if not self.done:
            with torch_threads.threads(self.threads), torch_memory.told("batch_size or samples"):
                measured = self._learn()
        return {**measured, "updates": np.asarray(self.core.updates, np.int64),
                "passed": np.asarray(self._passed, np.int64), "done": np.asarray(self.done)}

    def next_wake(self, now: int) -> int | None:
        return None if self.done else super().next_wake(now)

    def _learn(self) -> dict[str, np.ndarray]:
        if not self.core.updates:
            for known in self._normalisers:
                normaliser.update(known, self.steps.observation)
        told: Any = None
        with self.workplace.learning("policy", "value"):
            for _ in range(self.updates_per_step):
                if not self.done:
                    told = self.core.advance(self._minibatch(), self._noise)
        return policy_learner.checked(self.core.updates, self.core.told(told))

    def _minibatch(self) -> dict[str, Any]:
        """Return the next steps of the pass."""
        start, end = (len(self.steps) * place // self._minibatches for place in (self._taken, self._taken + 1))
        rows = self._order[start:end]
        self._taken += 1
        if self._taken == self._minibatches:
            self._taken, self._passed = 0, self._passed + 1
            self._shuffle()
        return {name: column.index_select(0, rows) for name, column in self._columns.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"core": self.core.state_dict(), "held": self._held.state_dict(), "noise": devices.keep(self._noise),
                "shuffling": self._before.copy(), "passed": self._passed, "taken": self._taken, "data": self._digest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "core" not in state:
            return
        data_sets.same(self.steps, str(state["data"]))
        self.core.load_state_dict(state["core"])
        self._held.load_state_dict(state["held"])
        devices.restore(self._noise, state["noise"])
        devices.restore(self._shuffling, state["shuffling"])
        self._passed, self._taken = int(state["passed"]), int(state["taken"])
        self._shuffle()
