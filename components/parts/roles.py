"""Roles: what one component may ask of another that it holds by reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ...loops.component import Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port


@runtime_checkable
class Policy(Protocol):
    """Acts: a brain, or a learned coprocessor."""

    def respond(self, inputs: Mapping[str, Any], memory: Any) -> tuple[dict[str, Any], Any]:
        """Answer to inputs named as the ports, any batch size; pure, no exploration. Returns outputs and memory."""

    def evaluate(self, inputs: Mapping[str, Any], action: Any, memory: Any = None) -> Any:
        """Return log-probability and entropy [batch] of actions taken on inputs named as the ports, as for `respond`.

        A current or an injury that was in force belongs to the inputs: without it the probability is another one.
        """

    def memory(self) -> Any:
        """Return the present memory (None for a policy without one)."""

    def parameters(self) -> Iterable[Any]:
        """Return what an optimiser may change."""


@runtime_checkable
class Value(Protocol):
    """Judges observations, or observations and actions."""

    def value(self, observation: Any, action: Any = None) -> Any:
        """Return values [batch] (or [members, batch])."""

    def parameters(self) -> Iterable[Any]:
        """Return what an optimiser may change."""


@runtime_checkable
class SequenceValue(Protocol):
    """Judges what is done by all that was observed in an episode so far."""

    def summarise(self, observation: Any, truncate: int = 0) -> Any:
        """Return what each member makes of episodes up to each tick [members, batch, time, units], as tensors.

        `observation` is [batch, time, ...] from the first tick of an episode on; gradients reach back over `truncate`
        ticks and no further (0: over all).
        """

    def judge(self, summary: Any, action: Any) -> Any:
        """Return values [members, batch, time] of actions [batch, time, actions] in the situations summarised."""

    def parameters(self) -> Iterable[Any]:
        """Return what an optimiser may change."""


@runtime_checkable
class Normalised(Protocol):
    """Brings observations to one scale by what was observed so far, which its learner keeps up.

    Any policy or value may be this too; docs/decisions/0017 says who changes what, and when.
    """

    def statistics(self) -> dict[str, np.ndarray]:
        """Return mean, variance and count (`parts/normaliser.py`), to be changed in place; empty: it does not."""


@runtime_checkable
class Movable(Protocol):
    """Can learn on a GPU: any policy, value or model whose torch parameters go where they are told.

    A learner moves a copy of it and never lets that act; docs/decisions/0023.
    """

    def move(self, device: Any) -> None:
        """Let the torch parameters lie on a device of torch, where tensors are answered from then on.

        `state_dict()["learned"]` still answers with arrays, and `load_state_dict` reaches the parameters there.
        """


@runtime_checkable
class Model(Protocol):
    """Predicts what comes next, or what a brain will do."""

    def predict(self, input: Any, generator: Any = None) -> Any:
        """Return a prediction for inputs [batch, ...]."""

    def loss(self, input: Any, target: Any) -> Any:
        """Return by how much the prediction for inputs misses their targets [batch], with gradients where it has any.

        A target is shaped as a prediction (of one in several parts, as the first).
        """

    def parameters(self) -> Iterable[Any]:
        """Return what an optimiser may change."""


@runtime_checkable
class Remembering(Model, Protocol):
    """Predicts what a brain will do from what was done to it before, too, where it `remembers`.

    A memory is arrays or tensors [batch, ...] by name. Without one, nothing was done before.
    """

    remembers: bool

    def memory(self, now: int | None = None) -> Any:
        """Return what is remembered of each lane from before an instant; None where nothing ever is."""

    def prepared(self, memory: Any, batch: int) -> Any:
        """Return a memory of so many rows in the form in which `predict` is asked often, as tensors [batch, ...]."""

    def remember(self, input: Any, memory: Any = None) -> Any:
        """Return the memory [batch, ...] one tick on."""

    def memories(self, input: Any) -> Any:
        """Return the memory before each tick [batch, time, ...] of whole episodes [batch, time, inputs]."""

    def predict(self, input: Any, generator: Any = None, memory: Any = None) -> Any:
        """Return a prediction for inputs [batch, ...], one tick on from a memory."""

    def loss(self, input: Any, target: Any, memory: Any = None) -> Any:
        """Return by how much it misses [batch]."""

    def sequence_loss(self, input: Any, target: Any, memory: Any = None) -> Any:
        """Return by how much it misses, tick after tick [batch, time], with gradients through all of them."""


def remembers(model: Any) -> bool:
    """Does a model hang on what was done before?"""
    return bool(getattr(model, "remembers", False))


@runtime_checkable
class Sequential(Protocol):
    """Answers to whole sequences at once: a network that remembers, or one that need not, with gradients."""

    def sequence(self, inputs: Any, memory: Any = None) -> tuple[Any, Any]:
        """Return what it says of inputs [batch, time, ...], as many ticks, and its memory after the last.

        Pure, any batch size, without noise; tensors in, gradients out. Without a memory all begin anew.
        """

    def parameters(self) -> Iterable[Any]:
        """Return what an optimiser may change."""


@runtime_checkable
class Ensemble(Protocol):
    """Several models in one: lives are imagined in it, each in the world of a member; known once it is built."""

    elites: Any  # [elites] the members that may be asked

    def predict(self, input: Any, generator: Any = None, member: Any = None) -> Any:
        """Return reward and change of observation [batch, 1 + observation] for inputs [batch, observation + action].

        With a generator they are drawn, without one they are what is expected. Each row asks its `member` [batch].
        """


@runtime_checkable
class Plastic(Protocol):
    """Has synapses that a learner may write, per lane."""

    def weights(self) -> np.ndarray:
        """Return the weights [lanes, synapses]."""

    def set_weights(self, weights: np.ndarray, lanes: np.ndarray | None = None) -> None:
        """Write weights [lanes, synapses]; of the lanes of a mask [lanes] bool only, where one is given."""

    def set_learned(self, lane: int) -> None:
        """Make the weights of one lane the learned ones."""

    def synapses(self) -> np.ndarray:
        """Return the numbers of the neurons before and after each synapse [synapses, 2], in the order of the weights.

        Where what comes before is an input, its number is that of the input's element.
        """


@runtime_checkable
class Body(Protocol):
    """A world to rehearse in: a body that is used, never wired."""

    inputs: dict[str, Port]
    outputs: dict[str, Port]
    lanes: Lanes

    def reset(self, seed: int) -> None:
        """Begin anew."""

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Advance to `now` of the user's own clock."""

    def state(self) -> dict[str, Any]:
        """Return the physical state of every lane."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to such a state."""


@runtime_checkable
class Placeable(Body, Protocol):
    """A world to plan in: a used body that can be put at the physical state another of its kind publishes."""

    seed: int

    def place(self, states: np.ndarray) -> None:
        """Put every lane at a physical state [lanes, numbers], in the middle of an episode.

        What comes of it at the next steps hangs on that state and on what is done, and on nothing before.
        """


@runtime_checkable
class Rendered(Protocol):
    """Can be looked at: a body that draws itself, for `stimloop play`."""

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how one lane looks now [rows, columns, 3] uint8, about so large; nothing of the world may change.

        Where nothing can be drawn, it raises RunError and says what to install.
        """


@runtime_checkable
class Stimulator(Protocol):
    """Turns commands into currents, and can be asked what a command would do without giving it."""

    def currents(self, commands: Any, lanes: np.ndarray | None = None) -> Any:
        """Return currents [batch, neurons] of commands [batch, channels]; pure, any batch size; gradients for tensors.

        Given the lane of each command [batch], what is left of earlier commands there counts too.
        """


@runtime_checkable
class Search(Protocol):
    """Chooses commands: a coprocessor that can be asked without acting."""

    def choose(self, observation: Any, memory: Any = None) -> Any:
        """Return commands [batch, channels] for observations; pure, any batch size.

        The memory is that of the model by which it chooses, where that remembers.
        """


ROLES = (Policy, Value, SequenceValue, Normalised, Movable, Model, Remembering, Sequential, Plastic, Body, Placeable,
         Rendered, Stimulator, Search)


def offered(component: Any) -> list[str]:
    """Return the names of the roles that a component can play for another."""
    return [role.__name__ for role in ROLES if all(hasattr(component, name) for name in _asked(role))]


def _asked(role: type) -> list[str]:
    """What a role asks for, but for lanes and seed, which nobody has before it is built."""
    return [name for name in (*vars(role), *getattr(role, "__annotations__", {}))
            if not name.startswith("_") and name not in ("lanes", "seed")]
