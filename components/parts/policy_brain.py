"""What policy-like brains share: how they answer, explore and are judged; only their networks differ.

What is written here serves brains without memory; `parts/recurrent_brain.py` adds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.port import Port
from ...loops.status import calm, idle
from ...loops.storage import artifact
from ...loops.wire import time_average
from . import distributions, electrodes, flags, flat_parameters
from .exploration import Exploration


class PolicyBrain(Component):
    """Answers to what is perceived with an action, from what `forward` says.

    A brain of this kind has the inputs `observation`, `status` and whatever else its `forward` reads, the outputs
    `action`, `log_prob` and its activity, and writes `forward`, `parameters`, `learned` and `learn`.
    """

    random = True
    head: str  # `gaussian` is squashed into [-1, 1], `clipped` is cut there and does not explore, `categorical` chooses
    explore: bool
    random_steps: int
    mask: np.ndarray | None = None  # what a lesion left: of neurons [neurons], of connections [out, in], None: all
    heads: ClassVar[tuple[str, ...]] = ("auto", "gaussian", "clipped", "categorical")

    def forward(self, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None
                ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the heads say (`scores`, or `mean` and `log_deviation`; those wanted), and activity by port."""
        raise NotImplementedError

    def parameters(self) -> list[Any]:
        """Return the torch parameters; change them in place."""
        raise NotImplementedError

    def learned(self) -> dict[str, Any]:
        """Return a copy of everything that was learned."""
        raise NotImplementedError

    def learn(self, learned: Mapping[str, Any]) -> None:
        """Take what was learned."""
        raise NotImplementedError

    def living(self) -> np.ndarray | None:
        """Return 1 for each neuron of the injured layer that lives and 0 for each that does not; None: all live.

        A neuron lives without its connections: it is stimulated behind them.
        """
        return self.mask if self.mask is not None and self.mask.ndim == 1 else None

    def check_built_source(self, key: str, source: Component) -> list[Problem]:
        """Say what the lesion leaves to whoever stimulates this brain."""
        return electrodes.judge(self.living(), source) if key == "current" else []

    def check_head(self, choices: int) -> None:
        """Refuse heads that do not fit with the rest."""
        if choices == 1 or (choices and self.head in ("gaussian", "clipped")):
            raise AssemblyError([Problem(f"a {self.head} head with choices: {choices} has nothing to choose", "choices",
                                         "Write at least 2 and head: categorical, or leave choices out.")])
        if self.explore and self.head == "clipped":
            raise AssemblyError([Problem("a clipped head does not explore: what is cut off has no probability",
                                         "explore", "Write head: gaussian, or leave explore out.")])

    @property
    def choices(self) -> int:
        """Number of choices; 0 when actions are continuous."""
        return self.outputs["action"].choices

    def offer_choices(self, choices: int) -> None:
        """Publish one of so many choices instead of a vector."""
        self.outputs["action"] = Port(f"one of {choices} choices", (), choices=choices)

    def infer_choices(self) -> None:
        """Offer choices where the receiver of the action takes them."""
        if self.head in ("auto", "categorical") and not self.choices:
            taken = {port.choices for port in self.peers.get("action", ()) if port.choices}
            if taken:
                self.offer_choices(min(taken))

    def infer_actions(self, weights: str | None) -> None:
        """Let an artifact say how many numbers an action has: of a brain that is only asked, nothing else says."""
        if weights is not None and not self.outputs["action"].known and not self.peers.get("action"):
            head = artifact.flat(artifact.load(weights)[0]).get("mean/weight")
            self.outputs["action"] = self.outputs["action"].sized((None if head is None else len(head),))

    def check_choices(self) -> None:
        """Refuse a choice among nobody knows how many, once every port has its size."""
        if self.head == "categorical" and not self.choices:
            raise AssemblyError([Problem("a categorical head does not know its choices", "choices",
                                         "Give `choices`, or wire the action to a body that takes choices.")])

    def reset(self, seed: int) -> None:
        """Forget the exploration so far."""
        shape = tuple(int(size) for size in self.outputs["action"].shape)  # type: ignore[arg-type]
        self.exploration = Exploration(self.lanes, shape, self.choices, self.random_steps, seed)

    def head_sizes(self) -> dict[str, int]:
        """Return what the heads of the network say, and how many numbers each."""
        if self.choices:
            return {"scores": self.choices}
        size = int(self.outputs["action"].shape[0])  # type: ignore[arg-type]
        return {"mean": size} if self.head == "clipped" else {"mean": size, "log_deviation": size}

    @property
    def head_meaning(self) -> str:
        """What the heads of the network mean, for whoever takes its weights."""
        return "categorical" if self.choices else "clipped" if self.head == "clipped" else "gaussian"

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Answer to what is perceived now."""
        question = self.question(now, inputs)
        if not self.explore:
            return self.respond(question, None)[0]
        answer = self.respond({**question, "noise": self.exploration.noise}, None)[0]
        return self.exploration.override(answer, question.get("status"))

    def question(self, now: int, inputs: Inputs) -> Mapping[str, Any]:
        """Return what is asked at this instant; learned arrays that arrive are taken, a new decision draws."""
        if "learned" in inputs.new:
            self.learn(flat_parameters.unflatten(inputs["learned"], self.learned()))
        status, current = inputs.get("status"), inputs.get("current")
        question: Mapping[str, Any] = inputs
        if isinstance(status, list) or isinstance(current, list):  # read as rows (arrival, value)
            status = flags.latest(status)
            average = time_average(current, inputs.previous, now) if isinstance(current, list) else current
            question = {name: value for name, value in {**inputs, "status": status, "current": average}.items()
                        if value is not None}
        if self.explore and self.decides(now, inputs):
            self.exploration.draw(status)
        return question

    def decides(self, now: int, inputs: Inputs) -> bool:
        """Is this a new decision, or the answer to the last one again (woken by a current, for example)?"""
        return "observation" in inputs.new if self.period is None else flags.due(self.period, now)

    @np.errstate(all="ignore")  # what is not finite is told at the port, in words
    def respond(self, inputs: Mapping[str, Any], memory: Any = None) -> tuple[dict[str, Any], Any]:
        """Answer to inputs named as the ports, any batch size; NumPy in, NumPy out; tensors in, gradients out.

        `noise` asks for exploration: standard normal [batch, actions], or uniform [batch] for choices; the answer
        then holds `log_prob` too.
        """
        heads, activity = self.forward(inputs, self.wanted(inputs))
        return self.answered(heads, activity, inputs), memory

    def wanted(self, inputs: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the heads that an answer needs (None: all): the deviation serves only exploration."""
        return ("mean",) if inputs.get("noise") is None and not self.choices else None

    def answered(self, heads: Mapping[str, Any], activity: Mapping[str, Any], inputs: Mapping[str, Any]
                 ) -> dict[str, Any]:
        """Return the outputs of an answer, from what the heads say [batch, ...] and the activity by port."""
        noise = inputs.get("noise")
        done = _choose(heads["scores"], noise) if self.choices else self._move(heads, noise)
        return _still({**activity, **done}, inputs.get("status"))

    def _move(self, heads: Mapping[str, Any], noise: Any) -> dict[str, Any]:
        mean = heads["mean"]
        if self.head == "clipped":
            return {"action": mean.clip(-1, 1)}
        if isinstance(mean, np.ndarray):
            if noise is None:
                return {"action": distributions.squash(mean, heads.get("log_deviation"), None)}
            action = distributions.squash(mean, heads["log_deviation"], noise)
            log_prob = distributions.squashed_log_prob(mean, heads["log_deviation"], action)
            return {"action": action, "log_prob": log_prob.astype(np.float32)}
        if noise is None:
            return {"action": mean.tanh()}
        return dict(zip(("action", "log_prob"),
                        distributions.squashed_sample(mean, heads["log_deviation"], noise), strict=True))

    def evaluate(self, inputs: Mapping[str, Any], action: Any, memory: Any = None) -> tuple[Any, Any]:
        """Return log-probability and entropy [batch] of actions taken on such inputs, as tensors with gradients."""
        import torch

        given = {name: torch.as_tensor(value) for name, value in inputs.items() if value is not None}
        return self.judged(self.forward(given, None)[0], torch.as_tensor(action))

    def judged(self, heads: Mapping[str, Any], action: Any) -> tuple[Any, Any]:
        """Return log-probability and entropy [batch] of actions, from what all heads say, as tensors."""
        if self.choices:
            return distributions.choice_log_prob(heads["scores"], action), distributions.choice_entropy(heads["scores"])
        return (distributions.squashed_log_prob(heads["mean"], heads["log_deviation"], action),
                distributions.gaussian_entropy(heads["log_deviation"]))

    def memory(self) -> Any:
        """Return nothing: a brain of this kind keeps no memory between observations."""
        return None

    def state_dict(self) -> dict[str, Any]:
        return {**self.exploration.state_dict(), "learned": self.learned()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.learn(state["learned"])
        if "noise" in state:
            self.exploration.load_state_dict(state)


def _choose(scores: Any, noise: Any) -> dict[str, Any]:
    numpy = isinstance(scores, np.ndarray)
    chosen = distributions.choose(scores if numpy else scores.detach().cpu().numpy(), noise)
    action = chosen if numpy else scores.new_tensor(chosen).long()
    return {"action": action} if noise is None else {
        "action": action, "log_prob": distributions.choice_log_prob(scores, action)}


def _still(outputs: dict[str, Any], status: Any) -> dict[str, Any]:
    """Return an answer whose action (and log-probability) is 0 in lanes where nobody acts."""
    if status is None or calm(status):
        return outputs
    rest = idle(status)
    if rest.any():
        for name in ("action", "log_prob"):
            if name in outputs:
                value = outputs[name]
                moving = ~rest.reshape(-1, *[1] * (value.ndim - 1))
                outputs[name] = value * (moving if isinstance(value, np.ndarray) else value.new_tensor(moving))
    return outputs
