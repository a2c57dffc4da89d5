"""A learned model of a body: several networks that each say what comes next and how sure they are of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ..parts.assignment import at_random
from ..parts.dynamics_ensemble import DynamicsEnsemble
from ..parts.networked import Networked
from ..parts.transitions import Rows, Transitions


class GaussianEnsemble(Networked):
    """Predicts the reward and the next observation that an action brings, and knows how unsure it is.

    Each member says mean and variance of reward and change of observation (Chua et al. 2018, arXiv:1805.12114, section
    4); the elites among them, those that predict best what they did not learn from, speak for all. A learner that
    uses it fits `network` with `parts/ensemble_fit.py`. Where `status` is wired, it says after each real step what it
    had expected and how much what came surprised it; without it nothing is published.

    Args:
        members: number of networks.
        elites: how many of them are trusted.
        hidden: number of neurons of each layer.
        weights: artifact to begin with; without it weights are drawn from the seed. One of a model that was never
            fitted is refused.
        deterministic_obs: draw next observations without their noise.
        deterministic_rewards: draw rewards without their noise.
        ask: who answers for an imagined row: the member `assigned` to it, or `all` of them, of which that one is heard.
            It comes to the same but for rounding, and takes as many times longer as there are members.
    """

    def __init__(self, *, members: Count = 7, elites: Count = 5, hidden: list[Count] = [200] * 4,
                 weights: Weights | None = None, deterministic_obs: bool = False,
                 deterministic_rewards: bool = False, ask: Literal["assigned", "all"] = "assigned") -> None:
        self.members, self.trusted, self.hidden, self.weights = members, elites, list(hidden), weights
        self.deterministic_obs, self.deterministic_rewards = deterministic_obs, deterministic_rewards
        self.ask = ask
        self.inputs = {
            "observation": Port("what is seen of the body", ("observation",), wakes=True),
            "action": Port("what is done to it", ("action",), reads="hold", also=("now",)),
            "status": status_input(wakes=True, optional=True),
            "reward": Port("reward of the step that just ended", (), wakes=True, optional=True),
        }
        self.outputs = {
            "prediction": Port("observation that was expected for now; where no step led here, what is seen",
                               ("observation",)),
            "surprise": Port("negative log-likelihood of what came (nat per number; 0 where no step led here)", ()),
            "disagreement": Port("standard deviation of the elites' expectations (0 where no step led here)",
                                 ("observation",), low=0),
        }

    @classmethod
    def example(cls) -> GaussianEnsemble:
        return cls(members=3, elites=2, hidden=[8, 8])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the networks, and take the weights of the artifact."""
        super().build(lanes, seed)
        if self.trusted > self.members:
            raise AssemblyError([Problem(f"{self.trusted} of {self.members} members cannot be elites", "params.elites",
                                         "Write elites: at most as many as members.")])
        seen, done = (int(self.inputs[name].shape[0]) for name in ("observation", "action"))  # type: ignore[arg-type]
        self.input_size = seen + done
        self.network: DynamicsEnsemble = DynamicsEnsemble(self.input_size, 1 + seen, self.hidden, self.members,
                                                          self.trusted, derive(seed, "weights"))
        self._transitions = Transitions(lanes, "drop")
        self.take_weights()
        if self.weights is not None and not self.network.fitted:
            raise AssemblyError([Problem(f"{Path(self.weights).name} holds a model that was never fitted: what it "
                                         "predicts is drawn by chance", "params.weights",
                                         "Make it of a run after its first fit.\nweights: null begins without any.")])

    @property
    def elites(self) -> np.ndarray:
        """Return the members that are trusted, the best first."""
        return self.network.elites

    def reset(self, seed: int) -> None:
        """Forget the observation before; what was learned stays."""
        self._transitions.forget()

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Compare what came with what was expected."""
        rows = self._transitions.take(inputs) if "status" in inputs else None
        if rows is None:
            return {}
        known = rows.reached  # where an episode begins at once, nobody saw how the last one ended
        expected, surprise, apart = self._judge(rows, "reward" in inputs)
        said = {"prediction": inputs["observation"].copy(), "surprise": np.zeros(self.lanes.count, np.float32),
                "disagreement": np.zeros_like(inputs["observation"])}
        for name, found in (("prediction", expected), ("surprise", surprise), ("disagreement", apart)):
            said[name][rows.lane[known]] = found[known]
        return said

    @np.errstate(all="ignore")  # what is not finite is told at the port, in words
    def _judge(self, rows: Rows, rewarded: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the observations expected [rows, observation], the surprise [rows], the disagreement, of rows.

        The likelihood is that of the elites' mixture, over all numbers that were heard of.
        """
        mean, variance = self.network.forward(np.concatenate([rows.observation, rows.action], axis=1),
                                              self.network.elites)
        came = np.concatenate([rows.reward[:, None], rows.successor - rows.observation], axis=1)
        each = 0.5 * (np.square(mean - came) * np.exp(-variance) + variance + np.log(2 * np.pi))
        likely = -each[..., 0 if rewarded else 1:].sum(axis=-1, dtype=np.float64)  # [elites, rows]
        mixture = np.logaddexp.reduce(likely, axis=0) - np.log(len(likely))
        changes = mean[..., 1:]
        return (rows.observation + changes.mean(axis=0), -mixture / (came.shape[1] - (not rewarded)),
                changes.std(axis=0))

    def predict(self, input: Any, generator: Any = None, member: Any = None) -> Any:
        """Return reward and change of observation [batch, 1 + observation] for inputs [batch, observation + action].

        Args:
            input: observations and actions side by side; arrays, or tensors with gradients (so is the answer).
            generator: NumPy's or torch's: draw from what a random elite of each row says. Without it: the mean of
                the elites' means.
            member: [batch] members to ask in place of random elites, or their `Groups`.
        """
        if generator is None and member is None:
            mean: Any = self.network.forward(input, self.network.elites)[0]
            return mean.mean(0)
        if member is None:
            member = at_random(len(input), self.network.elites, generator)
            member = np.asarray(member) if isinstance(input, np.ndarray) else _beside(input, member)
        network = self.network
        asked = network.assigned if self.ask == "assigned" else network.assigned_asking_all
        mean, variance = asked(input, member)
        if generator is None:
            return mean
        noise = _normal(generator, mean)
        if self.deterministic_rewards:
            noise[:, :1] = 0
        if self.deterministic_obs:
            noise[:, 1:] = 0
        return mean + noise * (np.exp(0.5 * variance) if isinstance(mean, np.ndarray) else (0.5 * variance).exp())

    def loss(self, input: Any, target: Any) -> Any:
        """Return the loss of the members [batch], their mean, for inputs and what came [batch, 1 + observation].

        Twice the negative log-likelihood, per number and without its constant, as `parts/ensemble_slopes.py` lessens.
        """
        mean, variance = self.network.forward(input)
        weighed = np.exp(-variance) if isinstance(mean, np.ndarray) else (-variance).exp()
        return ((mean - target) ** 2 * weighed + variance).mean((0, 2))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "transitions": self._transitions.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if "transitions" in state:
            self._transitions.load_state_dict(dict(state["transitions"]))


def _normal(generator: Any, like: Any) -> Any:
    """Draw standard normal numbers as an array or tensor like another, from NumPy's generator or torch's."""
    if isinstance(generator, np.random.Generator):
        drawn = generator.standard_normal(like.shape, np.float32)
        return drawn if isinstance(like, np.ndarray) else _beside(like, drawn)
    import torch

    drawn = torch.randn(like.shape, generator=generator, device=generator.device)
    return drawn.numpy() if isinstance(like, np.ndarray) else drawn.to(like.device)


def _beside(tensor: Any, values: Any) -> Any:
    """Return an array or tensor as a tensor where another lies."""
    import torch

    return torch.as_tensor(values, device=tensor.device)
