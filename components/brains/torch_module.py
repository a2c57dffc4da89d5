"""A brain of your own: any torch module that turns observations into actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from ...loops.bounds import Amount, AnyNumbers
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ...loops.storage import artifact
from ...loops.time import Period
from ..parts import flat_parameters, lesions, named_layers, own_modules
from ..parts.blocks import in_blocks
from ..parts.lesions import Lesion, draw_connections, draw_neurons
from ..parts.policy_brain import PolicyBrain
from ..parts.torch_threads import threads


class TorchModule(PolicyBrain):
    """A torch module acts in the loop: bring your network, name its layers, and it can be injured and stimulated.

    The module takes observations [batch, observation] and returns the mean of the action, or (mean, logarithm of the
    standard deviation), or the scores of a choice, [batch, ...] each (a deviation that depends on no observation may
    be [action]). Its layers have the names that torch gives them
    (`named_modules`). A layer named in `layer` publishes its activity as `rates`, takes the current, which is added to
    that activity, and may be injured; others publish as `rates_<name>`.

    The module computes in single precision and in eval mode, and its answer may hang on the observation alone: memory
    and random draws are refused at build. When it acts, lanes are asked in blocks of 16 rows, so that a lane acts
    alike to the last bit whatever the number of lanes; a learner asks whole batches. Frozen parameters do not learn.

    Args:
        module: class or function that makes the module, as `my_nets:MyNet`; its package must be allowed.
        module_params: arguments it is made with.
        head: what the output means: `gaussian` is squashed into [-1, 1] by tanh, `clipped` is cut off there and does
            not explore, `categorical` are scores of choices, `auto` squashes or chooses as the receiver wants it.
        choices: number of choices of a categorical head (0: the receiver's).
        weights: artifact to begin with; without it the module draws its own from the seed.
        layer: name of the layer that is stimulated, injured, and published as `rates`.
        publish: names of further layers whose activity is published.
        lesion: what a stroke has silenced of that layer: its neurons, or (of a linear layer) connections into it.
        explore: draw actions, and publish their log-probability, instead of taking the likeliest.
        random_steps: so many first steps (of all lanes together) act uniformly at random, when exploring.
        period: time between answers; left out, every new observation is answered within its instant.
        wake_on_current: answer again whenever the current changes.
    """

    def __init__(self, *, module: str, module_params: AnyNumbers | None = None,
                 head: Literal["auto", "gaussian", "clipped", "categorical"] = "auto", choices: Amount = 0,
                 weights: Weights | None = None, layer: str | None = None, publish: list[str] | None = None,
                 lesion: Lesion | None = None, explore: bool = False, random_steps: Amount = 0,
                 period: Period | None = None, wake_on_current: bool = False) -> None:
        self.module, self.module_params, self.head = module, dict(module_params or {}), head
        self.weights, self.layer, self.publish, self.lesion = weights, layer, list(publish or []), lesion
        self.explore, self.random_steps, self.period = explore, random_steps, period
        self.check_head(choices)
        self._net = own_modules.make(module, self.module_params, 0)
        if lesion is not None and layer is None:
            raise AssemblyError([Problem("a lesion needs a layer to be in", "lesion", "Name it, for example layer: "
                                         f"{named_layers.names(self._net)[0]}.")])
        named_layers.check(self._net, {"layer": [] if layer is None else [layer], "publish": self.publish})
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=period is None),
            "status": replace(status_input(wakes=period is None, optional=True), also=("all",)),
            "forget": Port("lanes to forget the past; this brain keeps none", (0,), kind="event", optional=True),
            "learned": Port("learned arrays, flattened in name order", ("learned",), per_lane=False, optional=True),
        }
        self.outputs = {"action": Port("action in [-1, 1]", ("action",), low=-1, high=1),
                        "log_prob": Port("log-probability of the action drawn", ())}
        if layer is not None:
            self.inputs["current"] = Port("stimulation current into each neuron", ("neuron",), axes=("neuron",),
                                          optional=True, guarded=True, also=("mean", "all"), wakes=wake_on_current)
            self.outputs["rates"] = Port("activity of the stimulated layer", ("neuron",), axes=("neuron",))
        self._published = {name: f"rates_{name.replace('.', '_')}" for name in self.publish}
        self.outputs |= {port: Port(f"activity of the layer {name}", (None,))
                         for name, port in self._published.items()}
        if choices:
            self.offer_choices(choices)

    @classmethod
    def example(cls) -> TorchModule:
        return cls(module="stimloop.components.parts.example_nets:TwoHeads", layer="hidden", explore=True,
                   module_params={"inputs": 4, "outputs": 3})

    def infer(self) -> None:
        """Ask the module once what it makes of an observation, and so learn every size."""
        self.infer_choices()
        size = self.inputs["observation"].shape[0]
        if not isinstance(size, int):
            return
        said, activity = own_modules.ask(self.module, self._net, np.zeros((1, size), np.float32), self._watched)
        own_modules.check_said(self.module, said, self.choices, 1)
        heads = own_modules.heads(said, self.choices)
        if self.explore:
            self._check_deviation(heads)
        given = heads["scores" if self.choices else "mean"].shape[-1]
        if not self.choices:
            self.outputs["action"] = self.outputs["action"].sized((given,))
        elif given != self.choices:
            raise AssemblyError([Problem(f"{self.module} gives {given} scores for {self.choices} choices",
                                         "params.module_params", "Make as many outputs as there are choices.")])
        if self.layer is not None:
            units = (activity[self.layer].shape[-1],)
            self.outputs["rates"] = self.outputs["rates"].sized(units)
            self.inputs["current"] = self.inputs["current"].sized(units)
        for name, port in self._published.items():
            self.outputs[port] = self.outputs[port].sized(tuple(activity[name].shape[1:]))
        count = flat_parameters.size(self._weights(self._net))
        if self.lesion is not None and self.layer is not None:
            count += lesions.numbers(self._lesion_shape(self.lesion, self.layer))
        self.inputs["learned"] = self.inputs["learned"].sized((count,))

    @property
    def _watched(self) -> list[str]:
        """Names of the layers whose activity is published."""
        return list(dict.fromkeys([*([] if self.layer is None else [self.layer]), *self.publish]))

    def _check_deviation(self, heads: Mapping[str, Any]) -> None:
        if not self.choices and "log_deviation" not in heads:
            raise AssemblyError([Problem(f"{self.module} gives no deviation, so nothing can be drawn or judged",
                                         "params.module", "Let it return (mean, log_deviation), or leave explore and "
                                         "learners that need probabilities out.")])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the module anew from the seed, injure it, and take the weights of the artifact."""
        super().build(lanes, seed)
        self.check_choices()
        self._net = own_modules.make(self.module, self.module_params, derive(seed, "weights"))
        size = int(self.inputs["observation"].shape[0])  # type: ignore[arg-type]
        injured = [] if self.lesion is None or self.lesion.of_neurons or self.layer is None else [
            named_layers.linear_of(self._net, self.layer)]
        own_modules.check_fit(self.module, self._net, size, self.choices, self._watched, injured,
                              derive(seed, "first answer"))
        self.mask = self._draw_lesion(derive(seed, "lesion"))
        if self.weights is not None:
            self.learn(artifact.take(self.weights, self._weights(self._net), ("lesion",)))
        self.reset(seed)

    def _lesion_shape(self, lesion: Lesion, layer: str) -> tuple[int, ...]:
        if lesion.of_neurons:
            return tuple(int(size) for size in self.outputs["rates"].shape)  # type: ignore[arg-type]
        return named_layers.connections(self._net, layer)

    def _draw_lesion(self, seed: int) -> np.ndarray | None:
        if self.lesion is None or self.layer is None:
            return None
        shape = self._lesion_shape(self.lesion, self.layer)
        if self.lesion.of_neurons:
            return draw_neurons(self.lesion, shape[0], seed)
        return draw_connections(self.lesion, (shape[0], shape[1]), seed)

    def forward(self, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None
                ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the module says, by head, and the activity of the layers that publish, by port.

        Arrays are answered in blocks of one size, in which a lane has its place by its number: a lane must not change
        with its neighbours. Tensors, which learn, are answered at once.
        """
        watching = named_layers.watched(self._net, self._watched, self.layer, self.mask)
        with own_modules.quiet(), watching as watch:
            if not isinstance(inputs["observation"], np.ndarray):
                return self._answered(watch, inputs, wanted)
            with torch.no_grad(), threads(1):
                return self._in_blocks(watch, inputs, wanted)

    def _in_blocks(self, watch: named_layers.Watch, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None
                   ) -> tuple[dict[str, Any], dict[str, Any]]:
        columns = {name: inputs[name] for name in ("observation", "current") if inputs.get(name) is not None}
        rows, told = len(columns["observation"]), list[str]()

        def ask(block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            # as tensors of their own: torch lays them out in memory always alike
            heads, activity = self._answered(watch, {key: torch.tensor(part) for key, part in block.items()}, wanted)
            told[:] = activity
            return {name: part.detach().numpy() for name, part in {**heads, **activity}.items()}

        said = in_blocks(ask, columns, self.lanes.numbers if rows == self.lanes.count else np.arange(rows))
        return ({name: part for name, part in said.items() if name not in told},
                {name: said[name] for name in told})

    def _answered(self, watch: named_layers.Watch, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None
                  ) -> tuple[dict[str, Any], dict[str, Any]]:
        watch.current = inputs.get("current")
        heads = own_modules.heads(self._net(inputs["observation"]), self.choices)
        if wanted is None:
            self._check_deviation(heads)
        told = {port: watch.activity[name].float() for name, port in self._published.items()}
        if self.layer is not None:
            told["rates"] = watch.activity[self.layer].float()
        return heads, told

    def parameters(self) -> list[Any]:
        """Return those of the module's own parameters that may learn; the frozen ones are left as they are."""
        return [parameter for parameter in self._net.parameters() if parameter.requires_grad]

    def move(self, device: Any) -> None:
        """Let the module lie on a device, where it answers tensors only."""
        self._net.to(device)

    def _weights(self, net: Any) -> dict[str, Any]:
        return artifact.nested({name.replace(".", "/"): np.asarray(tensor.detach().cpu().numpy()).copy()
                                for name, tensor in net.state_dict().items()})

    def learned(self) -> dict[str, Any]:
        """Return the module's parameters and buffers, and the lesion drawn."""
        return {**self._weights(self._net), **lesions.keep(self.lesion, self.mask)}

    def learn(self, learned: Mapping[str, Any]) -> None:
        """Take parameters and buffers, and a lesion that was drawn from the same description as this brain's own."""
        weights = {name: part for name, part in learned.items() if name != "lesion"}
        artifact.check(self._weights(self._net), weights, "brains.torch_module")
        self._net.load_state_dict({name.replace("/", "."): torch.from_numpy(np.array(array))
                                   for name, array in artifact.flat(weights).items()})
        self.mask = lesions.recall(self.lesion, self.mask, learned)
