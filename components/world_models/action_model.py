"""A learned model of a stimulated brain: what it will do if it is stimulated so."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import idle, status_input
from ..parts.blind_ensemble import BlindEnsemble
from ..parts.ensembles import Ensemble
from ..parts.networked import Networked


class ActionModel(Networked):
    """Predicts what a brain does when it perceives this and is stimulated so.

    A small network from an observation (with a recording of the brain, where one is wired) and a condition to a target
    within its bounds, by tanh: the model f(o, s) -> a of Pan et al. 2024 (arXiv:2406.06714), with the observation, the
    stimulation delivered, and the brain's action. Wired the other way round (condition the action, target the
    stimulation) it is their inverse model. Several members begin apart and learn from the same rows; their mean is the
    prediction, and how far they are apart says where it is a guess. A learner that uses it fits it; it publishes how
    wrong it was about what came.

    Args:
        hidden: number of neurons of each layer.
        members: number of networks.
        blind: leave the observation aside, and predict from the recording alone (and the condition).
        weights: artifact to begin with; without it weights are drawn from the seed.
    """

    def __init__(self, *, hidden: list[Count] = [64, 32, 8], members: Count = 1,  # noqa: B006
                 blind: bool = False, weights: Weights | None = None) -> None:
        self.hidden, self.members, self.weights, self.blind = list(hidden), members, weights, blind
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=True),
            "recording": Port("activity of the brain that is recorded", ("recording",), optional=True,
                              also=("hold",)),
            "condition": Port("what is done to the brain, such as the stimulation delivered", ("condition",)),
            "target": Port("what the brain does then", ("target",), also=("hold",)),
            "status": status_input(optional=True),
        }
        self.outputs = {
            "prediction": Port("what the brain was expected to do", ("target",)),
            "error": Port("mean squared error of that expectation, as a share of half the range squared", (), low=0),
            "disagreement": Port("standard deviation of the members' expectations", ("target",), low=0),
        }

    @classmethod
    def example(cls) -> ActionModel:
        return cls(hidden=[8, 8], members=2)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the networks, and take the weights of the artifact."""
        super().build(lanes, seed)
        heard = [name for name in ("observation", "recording", "condition") if name != "recording"
                 or name in self.peers_in]
        self.targets = int(self.inputs["target"].shape[0])  # type: ignore[arg-type]
        self.reach = self._of_target()
        self._heard, self.input_size = heard, sum(int(self.inputs[name].shape[0]) for name in heard)  # type: ignore[arg-type]
        self.network: Ensemble = self._made([derive(seed, "weights", member) for member in range(self.members)])
        self.take_weights()

    def _made(self, seeds: list[int]) -> Ensemble:
        if not self.blind:
            return Ensemble(self.input_size, self.hidden, self.targets, "relu", seeds)
        if "recording" not in self.peers_in:
            raise AssemblyError([Problem("without the observation it has nothing of the brain to go by", "params.blind",
                                         "Wire a recording of the brain to `recording`, or leave blind out.")])
        return BlindEnsemble(int(self.inputs["observation"].shape[0]), self.input_size, self.hidden, self.targets,  # type: ignore[arg-type]
                             "relu", seeds)

    def _of_target(self) -> np.ndarray:
        """Return half the range [targets] of what is predicted, which has to lie around zero; one where it has none."""
        port = self.peers_in.get("target", self.inputs["target"])
        low, high = (np.broadcast_to(np.asarray(bound, np.float64), (self.targets,)) for bound in (port.low, port.high))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return np.ones(self.targets, np.float32)
        if not np.allclose(low, -high):
            raise AssemblyError([Problem("what is to be predicted lies between bounds that are not alike on both sides "
                                         f"of zero ({low.tolist()} to {high.tolist()})", "inputs.target",
                                         "Shift it (basics.add), so that its range lies around zero.")])
        return high.astype(np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Compare what came with what was expected; nothing where nobody acts."""
        if "observation" not in inputs.new:
            return {}
        said = self.predictions(np.concatenate([inputs[name] for name in self._heard], axis=1))
        expected = said.mean(axis=0)
        wrong = np.square((expected - inputs["target"]) / self.reach).mean(axis=1)
        if "status" in inputs:
            wrong = np.where(idle(inputs["status"]), np.float32(0), wrong)
        return {"prediction": expected, "error": wrong, "disagreement": said.std(axis=0)}

    def predictions(self, input: Any) -> Any:
        """Return what each member expects [members, batch, target]; the input as `predict`."""
        raw = self.network.forward(input)
        if isinstance(raw, np.ndarray):
            return np.tanh(raw) * self.reach
        return raw.tanh() * raw.new_tensor(self.reach)

    def predict(self, input: Any, generator: Any = None) -> Any:
        """Return what the brain is expected to do [batch, target]; tensors in, gradients out.

        Args:
            input: [batch, observation (+ recording) + condition].
            generator: not used; nothing is drawn.
        """
        return self.predictions(input).mean(0)

    def loss(self, input: Any, target: Any) -> Any:
        """Return the squared error [batch] of each row, mean over the target's numbers and summed over members.

        Errors are shares of half the target's range, so that one tolerance serves actions and stimulation alike.
        """
        wrong = self.predictions(input) - target
        wrong = wrong / (self.reach if isinstance(wrong, np.ndarray) else wrong.new_tensor(self.reach))
        return (wrong * wrong).mean(-1).sum(0)
