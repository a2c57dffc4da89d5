"""The network of brains.modular_rnn: three regions of recurrent neurons, and what reads the last of them.

Anatomy and equations are those of Michaels et al. 2020 (PNAS, doi 10.1073/pnas.2005087117), as Pan et al. 2024
(arXiv:2406.06714) trained them by reinforcement: AIP sees, F5 stands between, M1 moves, and neighbours talk both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ...loops.seeds import derive
from .courses import CALM, Course
from .networks import Perceptron, linear, mixed

REGIONS = ("M1", "F5", "AIP")  # in the order of their neurons
NEIGHBOURS = (("M1", "F5"), ("F5", "M1"), ("F5", "AIP"), ("AIP", "F5"))  # (target, source)
Anatomy = Literal["strict", "compat"]
_ZERO = np.zeros((), np.float32)


class ModularNetwork(Perceptron):
    """Neurons with a state x and a rate r = tanh(max(x, 0)), and a perceptron that reads the rates of M1.

    Arrays are `recurrent/weight` J [targets, sources], `recurrent/bias` b, `input/weight` I [neurons, in],
    `hold/weight` S, `start/state` x0 [neurons], `summary/weight` [summary, M1] and `summary/bias`, then those of the
    perceptron. With `strict` anatomy `anatomy/connections` [targets, sources] holds 1 where a connection may be.
    """

    fixed = ("normaliser/", "anatomy/")

    def __init__(self, inputs: int, sizes: Sequence[int], heads: Mapping[str, int], seed: int, *,
                 anatomy: Anatomy = "strict", density: float = 0.1, gain: float = 1.2, input_gain: float = 1.0,
                 leak: float = 0.1, summary: int = 256, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__(summary, list(hidden), heads, "relu", derive(seed, "head"))
        self.regions, self.leak = regions_of(sizes), np.float32(leak)
        self.motor = self.regions["M1"]
        self.entry = self.regions["AIP"].start if anatomy == "strict" else 0  # neurons from here on hear the input
        rng = np.random.default_rng(derive(seed, "neurons"))
        self._draw(rng, "summary", len(self.motor), summary, "fan_in")
        self._draw_neurons(rng, inputs, sum(sizes), input_gain, anatomy)
        self._draw_connections(seed, density, gain, anatomy)

    def _draw_neurons(self, rng: np.random.Generator, inputs: int, neurons: int, gain: float,
                      anatomy: Anatomy) -> None:
        """b uniform in [-1, 1], S normal, I of deviation gain / sqrt(inputs); the state begins at 0.

        `strict` lets AIP alone hear the input; `compat` leaves AIP alone out, as the published code does.
        """
        weight = rng.normal(0, gain * max(inputs, 1) ** -0.5, (neurons, inputs)).astype(np.float32)
        seeing = self.regions["AIP"]
        weight[slice(0, seeing.start) if anatomy == "strict" else slice(seeing.start, seeing.stop)] = 0
        self.arrays |= {"input/weight": weight,
                        "recurrent/bias": rng.uniform(-1, 1, neurons).astype(np.float32),
                        "hold/weight": rng.normal(0, 1, neurons).astype(np.float32),
                        "start/state": np.zeros(neurons, np.float32)}

    def _draw_connections(self, seed: int, density: float, gain: float, anatomy: Anatomy) -> None:
        """Within a region all connections, of deviation gain / sqrt(sources); between neighbours so many of a share
        `density`, of deviation 1 / sqrt(sources); between M1 and AIP none."""
        neurons = self.regions["AIP"].stop
        weight, there = np.zeros((neurons, neurons), np.float32), np.zeros((neurons, neurons), np.float32)
        for target, source in (*((name, name) for name in REGIONS), *NEIGHBOURS):
            rng = np.random.default_rng(derive(seed, "connections", target, source))
            rows, columns = self.regions[target], self.regions[source]
            block = np.ones((len(rows), len(columns)), np.float32)
            if target != source:
                block.flat[rng.permutation(block.size)[round(density * block.size):]] = 0
            spread = (gain if target == source else 1.0) / np.sqrt(len(columns))
            place = np.ix_(rows, columns)
            weight[place], there[place] = rng.normal(0, spread, block.shape) * block, block
        self.arrays["recurrent/weight"] = weight
        if anatomy == "strict":
            self.arrays["anatomy/connections"] = there

    def drive(self, values: Any, hold: Any = None, current: Any = None) -> Any:
        """Return what reaches each neuron from outside it and its like: I u + b + S h + s [rows, neurons].

        values: u [rows, in]. hold: h [rows]. current: s [rows, neurons].
        """
        arrays, entry = self.arrays_for(values), self.entry
        weight, bias = arrays["input/weight"], arrays["recurrent/bias"]
        driven = linear(values, weight[entry:], bias[entry:])
        if entry and isinstance(values, np.ndarray):
            heard, driven = driven, np.empty((len(values), len(bias)), np.float32)
            driven[:, :entry], driven[:, entry:] = bias[:entry], heard
        elif entry:
            import torch

            driven = torch.cat((bias[:entry].expand(len(values), entry), driven), dim=1)
        if hold is not None:
            driven = driven + hold[:, None] * arrays["hold/weight"]
        return driven if current is None else driven + current

    def set(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write weights in place; connections that strict anatomy has not stay 0, whatever is given."""
        there = arrays.get("anatomy/connections", self.arrays.get("anatomy/connections"))
        if there is not None:
            weight = arrays.get("recurrent/weight", self.arrays["recurrent/weight"])
            arrays = {**arrays, "recurrent/weight": weight * there}
        super().set(arrays)

    def connections(self, like: Any, lesion: np.ndarray | None = None) -> Any:
        """Return J as it is in force [targets, sources]: what anatomy has not is 0, and what a lesion has cut.

        Without torch parameters only `set` changes J, which then has these zeros itself.
        """
        weight = self.arrays_for(like)["recurrent/weight"]
        anatomy = self.arrays.get("anatomy/connections") if self._shared else None
        for mask in (anatomy, lesion):
            if mask is not None:
                weight = weight * (mask if isinstance(weight, np.ndarray) else weight.new_tensor(mask))
        return weight

    def run(self, state: Any, drive: Any, lesion: np.ndarray | None = None, course: Course = CALM
            ) -> tuple[Any, Any]:
        """Return the rates [batch, time, neurons] of every tick, and the last state [batch, neurons].

        A tick is x <- m (x + leak (-x + J r + drive)), r = tanh(max(x, 0)) (Pan et al. 2024); silenced neurons, of
        m = 0, have neither state nor rate, whatever drives them.

        Args:
            state: x [batch, neurons] before the first tick.
            drive: I u + b + S h + s [batch, time, neurons]; one tick at least.
            lesion: mask of neurons [neurons] or of connections [targets, sources] that live.
            course: what befalls it meanwhile.
        """
        cut = lesion if lesion is not None and lesion.ndim == 2 else None
        injured = course.injured
        every = lesion is None or injured is None or bool(injured.all())
        weight = self.connections(drive, cut if every else None)
        other = self.connections(drive, cut) if cut is not None and not every else None  # of injured rows
        alive = self._alive(drive, lesion, injured)
        start = self.arrays_for(drive)["start/state"]
        if other is None and not isinstance(drive, np.ndarray):
            from .recurrence import ticks

            begins, frozen = (_whole(where, drive) for where in (course.begins, course.frozen))
            return ticks(state, drive, weight, start, leak=float(self.leak), alive=alive, begins=begins, frozen=frozen,
                         truncate=course.truncate)
        told = []
        for time in range(drive.shape[1]):
            if course.truncate and time and time % course.truncate == 0 and not isinstance(state, np.ndarray):
                state = state.detach()
            if (begins := _rows(course.begins, time, drive)) is not None:
                state = mixed(begins, start[None], state)
            living = alive if alive is None or alive.ndim == 1 else alive[:, time]
            ill = None if other is None else _rows(injured, time, drive)
            before, after = self._tick(state, drive[:, time], weight, other, ill, living)
            frozen = _rows(course.frozen, time, drive)
            state = after if frozen is None else mixed(frozen, before, after)
            told.append(firing(state))
        return _stacked(told), state

    def _tick(self, state: Any, drive: Any, weight: Any, other: Any, ill: Any, alive: Any) -> tuple[Any, Any]:
        """Return the state [batch, neurons] as those that live have it, and one tick later.

        Rows that are `ill` go through the `other` connections, where there are any.
        """
        before = state if alive is None else state * alive
        rates = firing(before)
        felt = _through(rates, weight)
        if ill is not None:
            felt = mixed(ill, _through(rates, other), felt)
        after = before + (felt + drive - before) * self.leak
        return before, after if alive is None else after * alive

    def _alive(self, like: Any, lesion: np.ndarray | None, injured: np.ndarray | None) -> Any:
        """Return which neurons live: [neurons], or [batch, time, neurons] where that changes; None: all."""
        if lesion is None or lesion.ndim == 2 or (injured is not None and not injured.any()):
            return None
        mask = lesion if injured is None or injured.all() else np.where(injured[..., None], lesion, np.float32(1))
        return mask if isinstance(like, np.ndarray) else like.new_tensor(mask)

    def read(self, rates: Any, heads: Sequence[str] | None = None) -> dict[str, Any]:
        """Return what each head (or only `heads`) says [rows, size] of rates [rows, neurons]: they read M1 alone."""
        arrays, motor = self.arrays_for(rates), slice(self.motor.start, self.motor.stop)
        return self.forward(linear(rates[:, motor], arrays["summary/weight"], arrays["summary/bias"]), heads=heads)[0]


def regions_of(sizes: Sequence[int]) -> dict[str, range]:
    """Return the neurons of each region."""
    ends = np.cumsum(sizes).tolist()
    return {name: range(end - size, end) for name, end, size in zip(REGIONS, ends, sizes, strict=True)}


def count(inputs: int, sizes: Sequence[int], heads: Mapping[str, int], summary: int, hidden: Sequence[int],
          anatomy: Anatomy) -> int:
    """Return how many numbers all arrays of such a network hold."""
    neurons, layers = sum(sizes), [summary, *hidden]
    recurrent = neurons * (neurons + inputs + 3) + (sizes[0] + 1) * summary
    head = sum((a + 1) * b for a, b in pairwise(layers))
    head += (layers[-1] + 1) * sum(heads.values())
    return recurrent + head + neurons * neurons * (anatomy == "strict")


def firing(state: Any) -> Any:
    """Return the rates of neurons with such a state."""
    return np.tanh(np.maximum(state, _ZERO)) if isinstance(state, np.ndarray) else state.relu().tanh()


def _rows(where: np.ndarray | None, time: int, like: Any) -> Any:
    """Return the rows of the batch where it is so at this tick; None where it is so in none."""
    return None if where is None else _whole(where[:, time], like)


def _whole(where: np.ndarray | None, like: Any) -> Any:
    """Return where it is so, as the kind of array that `like` is; None where it is so nowhere."""
    if where is None or not where.any():
        return None
    if isinstance(like, np.ndarray):
        return where
    import torch

    return torch.from_numpy(np.ascontiguousarray(where)).to(like.device)


def _through(rates: Any, weight: Any) -> Any:
    """Return J r [batch, targets] of rates [batch, sources]; NumPy rows one by one, as in `linear`."""
    if isinstance(rates, np.ndarray):
        return rates.dot(weight.T) if len(rates) == 1 else np.matmul(rates[:, None], weight.T)[:, 0]
    from .products import product

    return product(rates, weight.t())


def _stacked(ticks: list[Any]) -> Any:
    """Return [batch, neurons] of each tick as [batch, time, neurons]."""
    if isinstance(ticks[0], np.ndarray):
        return np.stack(ticks, axis=1) if len(ticks) > 1 else ticks[0][:, None]  # one tick is the commonest
    import torch

    return torch.stack(ticks, dim=1)
