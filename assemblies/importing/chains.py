"""Feed-forward policies of other libraries as `brains.mlp`: built from their weights, believed when they act alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...components.brains.mlp import Mlp
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.storage import artifact

TOLERANCE = 1e-5  # of what a policy does, compared with what the other library says
OBSERVATIONS = 1000  # on which the two are compared
ACTIVATIONS = ("relu", "tanh")

Layer = tuple[np.ndarray, np.ndarray]  # weight [out, in] and bias [out]


@dataclass(frozen=True)
class Chain:
    """Layers in a row, as another library's file holds them.

    Args:
        layers: of the hidden neurons, from below.
        out: the layer that gives the mean of the action, or the scores of a choice.
        deviation: the layer that gives the logarithm of the standard deviation, where there is one.
        heads: what `out` may be the head of: the first with which the policy acts as the other does is taken.
        ask: returns what the other does [batch, actions] in [-1, 1], or chooses [batch], on observations.
        observations: some that the policy may meet [batch, observation].
    """

    layers: Sequence[Layer]
    out: Layer
    deviation: Layer | None
    heads: Sequence[str]
    ask: Callable[[np.ndarray], np.ndarray]
    observations: np.ndarray

    @property
    def hidden(self) -> list[int]:
        """Numbers of neurons of each layer."""
        return [len(bias) for _, bias in self.layers]


@dataclass(frozen=True)
class Imported:
    """A policy that acts in a loop as it did where it comes from."""

    brain: Mlp
    error: float  # the largest difference of an action

    def params(self) -> dict[str, Any]:
        """Return the parameters that make such a brain, but for its weights."""
        brain = self.brain
        shown = {"hidden": brain.hidden, "activation": brain.activation}
        return shown if brain.head in ("gaussian", "categorical") else {**shown, "head": brain.head}


def imported(chain: Chain, file: Path) -> Imported:
    """Return the brain that acts as the chain does; AssemblyError where none of ours does."""
    if not chain.layers:
        raise refused(file, "it has no hidden layer", "brains.mlp needs at least one.")
    try:
        wanted = np.asarray(chain.ask(chain.observations))
    except Exception as error:  # the file's own code runs here, and raises what it raises
        raise refused(file, f"it does not answer to observations of {chain.observations.shape[1]} numbers: "
                            f"{in_one_line(error)}", "Give a model of observations [batch, inputs].") from error
    best = np.inf
    for head in chain.heads:
        for activation in ACTIVATIONS:
            brain = _brain(chain, head, activation)
            done = np.asarray(brain.respond({"observation": chain.observations})[0]["action"])
            if wanted.size != done.size:
                raise refused(file, f"it answers {len(done)} observations with the shape {wanted.shape}, not with "
                                    f"{done.shape}", "Give a model of which each answer is one vector.")
            error = float(np.abs(done.astype(np.float64) - wanted.reshape(done.shape)).max())
            if error <= TOLERANCE:
                return Imported(brain, error)
            best = min(best, error)
    raise refused(file, f"no brain of layers with {' or '.join(ACTIVATIONS)} acts as it does (the nearest misses by "
                        f"{best:.2g})", "Other activations and shapes: make the module in Python and use "
                                        "brains.torch_module.")


def refused(file: Path, what: str, fix: str) -> AssemblyError:
    """Return the error that says why a file cannot be imported."""
    return AssemblyError([Problem(f"cannot be imported: {what}", str(file), fix)])


def in_one_line(error: Exception) -> str:
    """Return what an error of another library says, without what follows its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _brain(chain: Chain, head: str, activation: str) -> Mlp:
    brain = Mlp(hidden=chain.hidden, activation=activation, head=head,  # type: ignore[arg-type]
                choices=len(chain.out[1]) if head == "categorical" else 0)
    brain.inputs["observation"] = brain.inputs["observation"].sized((chain.layers[0][0].shape[1],))
    if head != "categorical":
        brain.outputs["action"] = brain.outputs["action"].sized((len(chain.out[1]),))
    brain.infer()
    brain.build(Lanes.of(1), 0)
    names = dict(zip(brain.network.layers, chain.layers, strict=True))
    names["scores" if head == "categorical" else "mean"] = chain.out
    if head == "gaussian":
        weight, bias = chain.out
        # without one the deviation is 1, for whoever wants to explore
        names["log_deviation"] = chain.deviation or (np.zeros_like(weight), np.zeros_like(bias))
    brain.network.set({f"{name}/{part}": value for name, layer in names.items()
                       for part, value in zip(("weight", "bias"), layer, strict=True)})
    return brain


def save(found: Imported, target: Path, origin: str) -> str:
    """Write the artifact; return the lines of an assembly that use it."""
    artifact.save(target, found.brain, "brains.mlp", f"imported from {origin}")
    params = ", ".join(f"{name}: {value}" for name, value in {**found.params(), "weights": target}.items())
    return (f"brain:\n  type: brains.mlp\n  params: {{{params}}}\n"
            "  inputs: [body.observation, body.status]\n")
