"""A learned model of a stimulated brain: what it will do if it is stimulated so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import begins, idle, status_input
from ..parts.blind_ensemble import BlindEnsemble
from ..parts.ensembles import Ensemble
from ..parts.networked import Networked
from ..parts.reach import half_range
from ..parts.remembering import RememberingEnsemble


class ActionModel(Networked):
    """Predicts what a brain does when it perceives this and is stimulated so.

    A small network from an observation (with a recording of the brain, where one is wired) and a condition to a target
    within its bounds, by tanh: the model f(o, s) -> a of Pan et al. 2024 (arXiv:2406.06714), with the observation, the
    stimulation delivered, and the brain's action. Wired the other way round (condition the action, target the
    stimulation) it is their inverse model. Several members begin apart and learn from the same rows; their mean is the
    prediction, and how far they are apart says where it is a guess. A learner that uses it fits it; it publishes how
    wrong it was about what came.

    Where electrodes go on delivering what they were given (`decay` below 1), what the brain does hangs on all that was
    done to it in this episode. With `memory` each network hears the history of conditions, the present one included,
    through long short-term memory, as in the same paper (`parts/remembering.py`); docs/decisions/0028.

    Args:
        hidden: number of neurons of each layer.
        members: number of networks.
        memory: number of cells that remember the conditions since the episode began (published: 64); 0: none.
            With a memory it has to hear the body's status.
        blind: leave the observation aside, and predict from the recording alone (and the condition).
        weights: artifact to begin with; without it weights are drawn from the seed.
    """

    forget = "first"  # a new episode begins with nothing done

    def __init__(self, *, hidden: list[Count] = [64, 32, 8], members: Count = 1,  # noqa: B006
                 memory: Amount = 0, blind: bool = False, weights: Weights | None = None) -> None:
        self.hidden, self.members, self.weights, self.blind = list(hidden), members, weights, blind
        self.cells, self.remembers = memory, memory > 0
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=True),
            "recording": Port("activity of the brain that is recorded", ("recording",), optional=True,
                              also=("hold",)),
            "condition": Port("what is done to the brain, such as the stimulation delivered", ("condition",)),
            "target": Port("what the brain does then", ("target",), also=("hold",)),
            "status": status_input(wakes=self.remembers, optional=not self.remembers),
        }
        self.outputs = {
            "prediction": Port("what the brain was expected to do", ("target",)),
            "error": Port("mean squared error of that expectation, as a share of half the range squared", (), low=0),
            "disagreement": Port("standard deviation of the members' expectations", ("target",), low=0),
        }

    @classmethod
    def example(cls) -> ActionModel:
        return cls(hidden=[8, 8], members=2, memory=4)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the networks, and take the weights of the artifact."""
        super().build(lanes, seed)
        heard = [name for name in ("observation", "recording", "condition") if name != "recording"
                 or name in self.peers_in]
        self.targets = int(self.inputs["target"].shape[0])  # type: ignore[arg-type]
        self.reach = half_range(self.peers_in.get("target", self.inputs["target"]), self.targets, "inputs.target")
        self._heard, self.input_size = heard, sum(int(self.inputs[name].shape[0]) for name in heard)  # type: ignore[arg-type]
        self.network: Ensemble = self._made([derive(seed, "weights", member) for member in range(self.members)])
        self.take_weights()
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget what was done."""
        self._at: int | None = None  # when it last heard what was done
        if isinstance(self.network, RememberingEnsemble):
            self._memory = self._before = self.network.fresh(self.lanes.count)

    def _made(self, seeds: list[int]) -> Ensemble:
        shape: tuple[Any, ...] = (self.hidden, self.targets, "relu")
        if self.blind:
            self._check_blind()
            return BlindEnsemble(int(self.inputs["observation"].shape[0]), self.input_size, *shape, seeds)  # type: ignore[arg-type]
        if self.remembers:
            condition = int(self.inputs["condition"].shape[0])  # type: ignore[arg-type]
            return RememberingEnsemble(self.input_size, condition, *shape, self.cells, seeds)
        return Ensemble(self.input_size, *shape, seeds)

    def _check_blind(self) -> None:
        """Refuse a model without the observation that has nothing else to go by, or that should remember as well."""
        problems = []
        if "recording" not in self.peers_in:
            problems.append(Problem("without the observation it has nothing of the brain to go by", "params.blind",
                                    "Wire a recording of the brain to `recording`, or leave blind out."))
        if self.remembers:
            problems.append(Problem("a model that remembers what was done cannot leave the observation aside",
                                    "params.blind", "Write memory: 0, or leave blind out."))
        if problems:
            raise AssemblyError(problems)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Compare what came with what was expected, and remember what was done; nothing where nobody acts."""
        if self.remembers:
            self._begin(now, inputs)
        if "observation" not in inputs.new:
            return {}
        given, rests = np.concatenate([inputs[name] for name in self._heard], axis=1), None
        if "status" in inputs:
            rests = idle(inputs["status"])
        if isinstance(self.network, RememberingEnsemble):
            said, after = self.network.answer(given, self._before)
            self._memory = {name: np.where(rests[:, None, None], self._before[name], part)  # type: ignore[index]
                            for name, part in after.items()}
            said = self._bent(said)
        else:
            said = self.predictions(given)
        expected = said.mean(axis=0)
        wrong = np.square((expected - inputs["target"]) / self.reach).mean(axis=1)
        if rests is not None:
            wrong = np.where(rests, np.float32(0), wrong)
        return {"prediction": expected, "error": wrong, "disagreement": said.std(axis=0)}

    def _begin(self, now: int, inputs: Inputs) -> None:
        """Let what was remembered so far be what came before this instant; forget it where an episode begins."""
        first = begins(inputs["status"]) if "status" in inputs.new else np.zeros(self.lanes.count, bool)
        if "observation" not in inputs.new and not first.any():
            return
        self._at, self._before = now, self._memory
        if first.any():
            self._before = self._memory = {name: np.where(first[:, None, None], np.float32(0), part)
                                           for name, part in self._memory.items()}

    def memory(self, now: int | None = None) -> dict[str, np.ndarray] | None:
        """Return what is remembered of the conditions before an instant, [lanes, members, cells] each; None: no memory.

        It is the same whether the model has heard of that instant already or not (but it forgets when it hears that
        an episode begins). Without an instant it is what is remembered by now.
        """
        if not self.remembers:
            return None
        kept = self._before if now is not None and now == self._at else self._memory
        return {name: part.copy() for name, part in kept.items()}

    def predictions(self, input: Any, memory: Any = None) -> Any:
        """Return what each member expects [members, batch, target]; the arguments as of `predict`."""
        return self._bent(self.network.forward(input, memory) if self.remembers  # type: ignore[call-arg]
                          else self.network.forward(input))

    def _bent(self, raw: Any) -> Any:
        """Return what the networks say as targets within their bounds."""
        if isinstance(raw, np.ndarray):
            return np.tanh(raw) * self.reach
        return raw.tanh() * raw.new_tensor(self.reach)

    def predict(self, input: Any, generator: Any = None, memory: Any = None) -> Any:
        """Return what the brain is expected to do [batch, target]; tensors in, gradients out.

        Args:
            input: [batch, observation (+ recording) + condition].
            generator: not used; nothing is drawn.
            memory: of each row, as `memory()` says it, or `prepared`; without one nothing was done before.
        """
        return self.predictions(input, memory).mean(0)

    def remember(self, input: Any, memory: Any = None) -> Any:
        """Return the memory of each row one tick on from a memory; None where there is none to keep."""
        return self.network.remember(input, memory) if self.remembers else None  # type: ignore[attr-defined]

    def prepared(self, memory: Any, batch: int) -> Any:
        """Return a memory (None: nothing was done) as tensors [batch, ...] that are quick to ask by rows of them."""
        return self.network.prepared(memory, batch) if self.remembers else None  # type: ignore[attr-defined]

    def memories(self, input: Any) -> Any:
        """Return the memory before each tick [batch, time, members, cells] of whole episodes [batch, time, inputs]."""
        import torch

        with torch.no_grad():
            return self.network.memories(input) if self.remembers else None  # type: ignore[attr-defined]

    def loss(self, input: Any, target: Any, memory: Any = None) -> Any:
        """Return the squared error [batch] of each row, mean over the target's numbers and summed over members.

        Errors are shares of half the target's range, so that one tolerance serves actions and stimulation alike.
        """
        return self._wrong(self.predictions(input, memory), target)

    def sequence_loss(self, input: Any, target: Any, memory: Any = None) -> Any:
        """Return the same [batch, time] for sequences [batch, time, ...], as tensors, from the memory before them.

        Gradients reach back to the first tick of a sequence. Only where it remembers.
        """
        return self._wrong(self._bent(self.network.sequence(input, memory)), target)  # type: ignore[attr-defined]

    def _wrong(self, said: Any, target: Any) -> Any:
        wrong = said - target
        wrong = wrong / (self.reach if isinstance(wrong, np.ndarray) else wrong.new_tensor(self.reach))
        return (wrong * wrong).mean(-1).sum(0)

    def state_dict(self) -> dict[str, Any]:
        learned = super().state_dict()
        if not self.remembers:
            return learned
        return {**learned, "at": -1 if self._at is None else self._at, "memory": self.memory(),
                "before": {name: part.copy() for name, part in self._before.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.remembers and "memory" in state:
            self._at = None if int(state["at"]) < 0 else int(state["at"])
            self._memory, self._before = ({name: np.array(part, np.float32) for name, part in state[kept].items()}
                                          for kept in ("memory", "before"))
