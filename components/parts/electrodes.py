"""Electrode arrays: how much each electrode reaches each neuron, and what a lesion leaves of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np

from ...loops.bounds import Bound
from ...loops.errors import AssemblyError, Problem

Placement = Literal["even", "list", "surviving", "permutation"]
Spread = Annotated[float, Bound(least=1e-9, most=1e9)]  # in neurons; its square can be divided by
DEAD = 0.01  # part of an electrode's field on living neurons up to which it is dead itself
SILENCED = "reach only silenced neurons"  # how the notice of dead electrodes is known
_NAMED = 12  # electrodes or neurons that are told one by one


def centres(channels: int, units: int, placement: Placement, given: Sequence[float] | None, dead: Sequence[int] | None,
            seed: int) -> np.ndarray:
    """Return where each electrode sits, as neuron numbers [channels].

    even: electrode c of C at units * c / (C + 1) (Pan et al. 2024, arXiv:2406.06714); list: as `given`; surviving:
    evenly over the neurons not in `dead`; permutation: distinct neurons drawn by `seed`, sorted.
    """
    if placement == "list":
        sites = np.asarray(given, np.float64)
        if sites.size != channels or (sites < 0).any() or (sites > units - 1).any():
            raise AssemblyError([Problem(f"{channels} electrodes among {units} neurons cannot sit at {list(sites)}",
                                         "centres", f"Give {channels} places between 0 and {units - 1}.")])
        return sites
    if placement == "even":
        return units * np.arange(1, channels + 1) / (channels + 1)
    alive = np.setdiff1d(np.arange(units), np.asarray(dead if dead is not None else (), int))
    if alive.size < channels:
        raise AssemblyError([Problem(f"{channels} electrodes need as many neurons, there are {alive.size} to choose "
                                     "from", "channels", "Use fewer channels.")])
    if placement == "surviving":
        return alive[((np.arange(channels) + 0.5) * alive.size / channels).astype(int)].astype(np.float64)
    return np.sort(np.random.default_rng(seed).permutation(units)[:channels]).astype(np.float64)


def field(sites: np.ndarray, units: int, spread: float) -> np.ndarray:
    """Return float32 weights [units, channels]: Gaussians of width `spread` around the sites, each column summing to 1.

    The nearest neuron's weight is scaled to 1 before summing, so that no width is too narrow to reach anyone.
    """
    distance = (np.arange(units)[:, None] - sites[None, :]) ** 2 / (2 * spread**2)  # [units, channels]
    weights = np.exp(np.min(distance, axis=0) - distance)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def check(channels: int, placement: Placement, given: Sequence[float] | None, dead: Sequence[int] | None,
          spread: float, span: Sequence[int] | None, decay: float = 1.0) -> None:
    """Refuse parameters of an electrode array that contradict each other."""
    wrong = None
    if channels < 1:
        wrong = Problem(f"an array of {channels} electrodes stimulates nobody", "channels", "Give at least 1.")
    elif spread <= 0:
        wrong = Problem(f"a field of width {spread:g} reaches nobody", "spread", "Give a width above 0, in neurons.")
    elif (given is not None) != (placement == "list"):
        wrong = Problem("`centres` and `placement: list` belong together", "placement", "Give both, or neither.")
    elif (dead is not None) != (placement == "surviving"):
        wrong = Problem("`dead` and `placement: surviving` belong together", "placement", "Give both, or neither.")
    elif span is not None and (len(span) != 2 or not 0 <= span[0] < span[1]):
        wrong = Problem(f"{span} is no span of neurons", "span", "Write [first, one past the last].")
    elif not 0 <= decay <= 1:
        wrong = Problem(f"a decay of {decay:g} is not above 0 and at most 1", "decay", "1 keeps nothing.")
    if wrong:
        raise AssemblyError([wrong])


def array(channels: int, units: int, placement: Placement, given: Sequence[float] | None, dead: Sequence[int] | None,
          spread: float, span: Sequence[int] | None, seed: int) -> np.ndarray:
    """Return float32 weights [units, channels] of a whole array; neurons outside `span` are not reached.

    Sites and `dead` are counted from the first neuron of the span.
    """
    first, last = span if span is not None else (0, units)
    if last > units:
        raise AssemblyError([Problem(f"the electrodes span neurons {first} to {last - 1}, but there are only {units}",
                                     "span", f"End the span at {units}.")])
    sites = centres(channels, last - first, placement, given, dead, seed)
    weights = np.zeros((units, channels), np.float32)
    if placement == "permutation":  # an electrode in the very neuron, as in the SAC brain of Pan et al. 2024
        weights[first + sites.astype(int), np.arange(channels)] = 1
    else:
        weights[first:last] = field(sites, last - first, spread)
    return weights


def spread_out(weights: np.ndarray, command: np.ndarray) -> np.ndarray:
    """Return the current [lanes, units] of a command [lanes, channels]; rows do not depend on their neighbours."""
    if len(command) == 1:
        return command.dot(weights.T)  # the same as matmul, and quicker
    return np.matmul(command[:, None, :], weights.T)[:, 0]


@runtime_checkable
class Injurable(Protocol):
    """Has neurons that a lesion may have silenced; known once it is built."""

    def living(self) -> np.ndarray | None:
        """Return 1 for each neuron of `rates` that lives and 0 for each that does not [neurons]; None: all live."""


def living_of(component: object) -> np.ndarray | None:
    """Return which neurons [neurons] of a component live; None: all, or nobody knows."""
    return component.living() if isinstance(component, Injurable) else None


def shares(weights: np.ndarray, living: np.ndarray) -> np.ndarray:
    """Return which part of each electrode's field [channels] lies on living neurons, of weights [neurons, channels]."""
    size = np.abs(weights, dtype=np.float64)
    return size[living.astype(bool)].sum(axis=0) / np.maximum(size.sum(axis=0), np.finfo(float).tiny)


def dead(weights: np.ndarray, living: np.ndarray) -> np.ndarray:
    """Return which electrodes [channels] reach next to nothing but silenced neurons."""
    return shares(weights, living) <= DEAD


def numbers(chosen: np.ndarray) -> str:
    """Return the numbers of what is chosen [n] bool as text, of many the first."""
    places = np.flatnonzero(chosen)
    return ", ".join(map(str, places[:_NAMED])) + (", ..." if len(places) > _NAMED else "")


def judge(living: np.ndarray | None, stimulator: object) -> list[Problem]:
    """Say what a lesion leaves to a stimulator: a notice of its dead electrodes, a problem where no other is left.

    `living` [neurons] is what the lesion left, None: all. For a control on purpose the stimulator says `may_be_dead`.
    """
    weights = getattr(stimulator, "weights", None)
    if living is None or not isinstance(weights, np.ndarray) or weights.shape[:1] != living.shape:
        return []
    lost, silenced = dead(weights, living), f"the lesion silences {(living == 0).sum()} of {living.size} neurons"
    if not lost.any():
        return []
    if not lost.all() or getattr(stimulator, "may_be_dead", False):
        return [Problem(f"{lost.sum()} of {lost.size} electrodes ({numbers(lost)}) {SILENCED}: {silenced}",
                        "inputs.current", "Widen their spread, or place them elsewhere (placement: "
                        "surviving, with `dead`).", notice=True)]
    return [Problem(f"no electrode reaches a neuron that lives, so no stimulus can do anything: {silenced}",
                    "inputs.current", "Lesion fewer; place electrodes on neurons that live (placement: surviving, with "
                    "`dead`; or list, with `centres`); or widen their spread. Where that is the control, write "
                    "may_be_dead: true in the stimulator's params.")]
