"""A recurrent brain of three regions that can be injured and stimulated: the patient of Pan et al. 2024.

The network is that of Michaels et al. 2020 (PNAS, doi 10.1073/pnas.2005087117), which the paper (arXiv:2406.06714)
trained by reinforcement: input enters AIP, F5 stands between, M1 is read out. Weights are NumPy arrays
(`parts/networks.py`): acting needs no torch, and what a learner asks for shares their memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Share
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ...loops.storage import artifact
from ...loops.time import Period
from ..parts import lesions, modular_network
from ..parts.courses import CALM, Course
from ..parts.lesions import Lesion, draw_connections, draw_neurons
from ..parts.modular_network import REGIONS, Anatomy, ModularNetwork
from ..parts.recurrent_brain import RecurrentBrain, joined


class ModularRnn(RecurrentBrain):
    """Turns what it perceives into an action through three cortical regions whose neurons remember.

    At each tick x <- m (x + leak (-x + J r + I u + S h + b + s)) with rates r = tanh(max(x, 0)): u is the observation,
    s the current, and silenced neurons (m = 0) have neither state nor rate. M1's rates, by a linear summary and a
    perceptron, say the action. An episode begins at the learned state x0, before its first tick.

    With strict anatomy what is seen moves an action two ticks later, by way of F5; learners that truncate gradients
    have to reach back much further. Without `weights` the brain has learned nothing, and what it sees hardly moves it.

    Args:
        sizes: neurons of M1, F5 and AIP, numbered in this order.
        anatomy: `strict` is Michaels' anatomy, which training keeps: the observation enters AIP alone, and connections
            that are missing stay so. `compat` does as the published code: it only begins so, with the rows of AIP,
            not of the others, zero at first, and every connection may grow.
        density: share of the possible connections between neighbours (M1 and F5, F5 and AIP) that there is.
        gain: of connections within a region: their deviation is gain / sqrt(neurons of the region).
        input_gain: of what is observed: the weights' deviation is input_gain / sqrt(numbers observed). Where these are
            small numbers, a larger gain spares a learner the long way to hearing them.
        leak: dt / tau, the share of the way to what drives it that a neuron goes at each tick. One tick is one new
            observation, or one `period`: tau is that time divided by leak.
        summary: numbers by which M1 is read.
        hidden: neurons of each layer of the perceptron that reads them.
        head: `gaussian` acts in [-1, 1] by squashing, `clipped` by cutting off (and does not explore), `categorical`
            makes one of `choices`, `auto` squashes or chooses as the receiver of the action wants it.
        choices: number of choices of a categorical head (0: the receiver's).
        weights: artifact to begin with; without it weights are drawn from the seed, and nothing was learned yet.
        lesion: what a stroke has silenced: neurons (kinds `region`, `neurons`, `mask`), or entries of J (`connections`
            between regions or neurons, `weights` of all J); None is a healthy brain.
        explore: draw actions, and publish their log-probability, instead of taking the likeliest.
        random_steps: so many first steps (of all lanes together) act uniformly at random, when exploring.
        forget: does a new episode begin at x0 (`first`), or go on from the last (`never`)?
        period: time between ticks; left out, every new observation is one, answered within its instant.
        wake_on_current: answer again, to the same observation, whenever the current changes; memory stays as it is.
    """

    def __init__(self, *, sizes: list[Count] = [100, 100, 100], anatomy: Anatomy = "strict",  # noqa: B006
                 density: Share = 0.1, gain: NonNegative = 1.2, input_gain: NonNegative = 1.0, leak: Share = 0.1,
                 summary: Count = 256, hidden: list[Count] = [256, 256],  # noqa: B006
                 head: Literal["auto", "gaussian", "clipped", "categorical"] = "auto", choices: Amount = 0,
                 weights: Weights | None = None, lesion: Lesion | None = None, explore: bool = False,
                 random_steps: Amount = 0, forget: Literal["first", "never"] = "first", period: Period | None = None,
                 wake_on_current: bool = False) -> None:
        if len(sizes) != len(REGIONS) or min(sizes) < 1:
            raise AssemblyError([Problem(f"{sizes} are not the neurons of {', '.join(REGIONS)}", "sizes",
                                         "Write three numbers, for example [100, 100, 100].")])
        if not hidden or min(hidden) < 1:
            raise AssemblyError([Problem(f"what reads M1 needs layers of neurons, not {hidden}", "hidden",
                                         "Write for example [256, 256].")])
        self.sizes, self.anatomy, self.density, self.gain, self.leak = list(sizes), anatomy, density, gain, leak
        self.input_gain, self.summary, self.hidden, self.head = input_gain, summary, list(hidden), head
        self.weights, self.lesion, self.forget = weights, lesion, forget
        self.explore, self.random_steps, self.period = explore, random_steps, period
        self.neurons = sum(sizes)
        self.check_head(choices)
        self._declare(wake_on_current)
        if choices:
            self.offer_choices(choices)

    def _declare(self, wake_on_current: bool) -> None:
        wakes, units, regions = self.period is None, (self.neurons,), tuple(zip(REGIONS, self.sizes, strict=True))
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=wakes),
            "status": replace(status_input(wakes=wakes, optional=self.forget == "never"), also=("all",)),
            "current": Port("stimulation current into each neuron", units, axes=("neuron",), optional=True,
                            guarded=True, also=("mean", "all"), wakes=wake_on_current, regions=regions),
            "hold": Port("the task's signal to hold still", (), optional=True),
            "injury": Port("is the lesion in force? 1 yes, 0 not yet", (), low=0, high=1, initial=1, optional=True),
            "forget": Port("lanes to forget the past", (0,), kind="event", optional=True),
            "learned": Port("learned arrays, flattened in name order", ("learned",), per_lane=False, optional=True),
        }
        self.outputs = {
            "action": Port("action in [-1, 1]", ("action",), low=-1, high=1),
            "rates": Port("firing rate of each neuron, as a share of the highest", units, axes=("neuron",), low=0,
                          high=1, regions=regions),
            "log_prob": Port("log-probability of the action drawn", ()),
        }

    @classmethod
    def example(cls) -> ModularRnn:
        return cls(sizes=[6, 5, 4], density=0.5, summary=8, hidden=[8])

    def infer(self) -> None:
        """Offer choices where the receiver of the action takes them, and count the learned numbers."""
        self.infer_choices()
        self.infer_actions(self.weights)
        size, port = self.inputs["observation"].shape[0], self.outputs["action"]
        if isinstance(size, int) and port.known:
            count = modular_network.count(size, self.sizes, self.head_sizes(), self.summary, self.hidden, self.anatomy)
            if self.lesion is not None:
                count += lesions.numbers((self.neurons,) * (1 if self.lesion.of_neurons else 2))
            self.inputs["learned"] = self.inputs["learned"].sized((count,))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the network, injure it, and take the weights of the artifact."""
        super().build(lanes, seed)
        self.check_choices()
        self.network = ModularNetwork(
            int(self.inputs["observation"].shape[0]), self.sizes, self.head_sizes(),  # type: ignore[arg-type]
            derive(seed, "weights"), anatomy=self.anatomy, density=self.density, gain=self.gain,
            input_gain=self.input_gain, leak=self.leak, summary=self.summary, hidden=self.hidden)
        self.mask = self._draw_lesion(derive(seed, "lesion"))  # [neurons] or [targets, sources]; or None
        if self.weights is not None:
            expected = artifact.nested(self.network.arrays)
            self.learn(artifact.take(self.weights, expected, ("lesion",), self.meaning))  # params describe its lesion
        self.reset(seed)

    @property
    def meaning(self) -> dict[str, str]:
        """What the weights mean beside their sizes."""
        return {"anatomy": self.anatomy, "sizes": ", ".join(map(str, self.sizes)), "leak": f"{self.leak:g}",
                "head": self.head_meaning}

    def _draw_lesion(self, seed: int) -> np.ndarray | None:
        if self.lesion is None:
            return None
        regions = self.network.regions
        if self.lesion.of_neurons:
            return draw_neurons(self.lesion, self.neurons, seed, regions)
        return draw_connections(self.lesion, (self.neurons, self.neurons), seed, regions)

    def labels(self) -> dict[str, Any]:
        """Name the region of each neuron."""
        return {"neuron": {"region": [name for name, size in zip(REGIONS, self.sizes, strict=True)
                                      for _ in range(size)]}}

    def forward(self, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None, state: Any = None,  # type: ignore[override]
                course: Course = CALM) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Return what the heads say, and `rates`, [batch * time, ...], and the last state [batch, neurons]."""
        batch, time = inputs["observation"].shape[:2]
        outside = {name: joined(inputs[name]) for name in ("observation", "hold", "current") if name in inputs}
        drive = self.network.drive(outside["observation"], outside.get("hold"), outside.get("current"))
        rates, after = self.network.run(state, drive.reshape(batch, time, self.neurons), self.mask, course)
        rates = joined(rates)
        return self.network.read(rates, wanted), {"rates": rates}, after

    def parameters(self) -> list[Any]:
        """Return torch parameters that share memory with the weights; change them in place."""
        return list(self.network.parameters().values())

    def move(self, device: Any) -> None:
        """Let the torch parameters lie on a device; see `SharedArrays.move`."""
        self.network.move(device)

    def learned(self) -> dict[str, Any]:
        """Return the weights, the connections that strict anatomy has, and the lesion drawn."""
        self.network.gather()
        learned = artifact.nested({name: array.copy() for name, array in self.network.arrays.items()})
        return {**learned, **lesions.keep(self.lesion, self.mask)}

    def learn(self, learned: Mapping[str, Any]) -> None:
        """Take weights, and a lesion that was drawn from the same description as this brain's own."""
        weights = {name: part for name, part in learned.items() if name != "lesion"}
        artifact.check(artifact.nested(self.network.arrays), weights, "brains.modular_rnn")
        self.network.set(artifact.flat(weights))
        self.mask = lesions.recall(self.lesion, self.mask, learned)
