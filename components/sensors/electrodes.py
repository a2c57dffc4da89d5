"""Electrodes that record: what a coprocessor may see of a brain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count, NonNegative
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem, nearest
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom, derive
from ...loops.status import WAITING, status_input
from ...loops.time import Period
from ..parts import electrodes, flags
from ..parts.electrodes import Spread
from ..parts.passing import sender

Region = tuple[str, int, int]  # name, first neuron, one past the last


class Electrodes(Component):
    """Records brain activity through electrodes, each of which hears the neurons around it.

    With r the rates [lanes, neurons] and W the electrodes' fields, Gaussians over the numbers of the neurons, each
    column summing to 1 (Pan et al. 2024, arXiv:2406.06714; Bryan et al. 2022, arXiv:2210.11478):
    recording = gain * (r W) + offset + noise, with gain 1 and offset 0 where nothing drifts.

    `rates` are read by `hold`: what is recorded is what the neurons did after the previous recording, one tick late.
    So brain, sensor, coprocessor and stimulator make no loop within an instant, and the published original sees the
    rates before the tick too. A delay on the wire makes it later; `reads: now` is for whoever only watches.

    Args:
        channels: number of electrodes over each region.
        regions: names of the regions with electrodes over them; left out, every region that the brain names, or all
            neurons as one where it names none.
        placement: `even` along the neurons of a region, `list` at `centres`, `permutation` in distinct neurons drawn
            by the seed.
        spread: width of each electrode's Gaussian field in neurons; at 0.1 it hears one neuron.
        centres: places of the electrodes of every region, as neuron numbers from its first.
        noise: standard deviation of white noise, of each electrode and recording.
        drift: standard deviation of each step (one a recording) of a random walk of each electrode; it goes on from
            episode to episode. The ancestor of the published code has 5e-4.
        drifts: what walks, the electrode's `offset` or its `gain`.
        forget: at the `first` tick of an episode record silence, for the rates are still those of the episode before;
            or `never`, where rates are read `now`.
        period: record at this rhythm; left out, whenever `status` arrives.
    """

    def __init__(self, *, channels: Count = 10, regions: list[str] | None = None,
                 placement: Literal["even", "list", "permutation"] = "even", spread: Spread = 0.1,
                 centres: list[float] | None = None, noise: NonNegative = 0.0, drift: NonNegative = 0.0,
                 drifts: Literal["offset", "gain"] = "offset", forget: Literal["first", "never"] = "first",
                 period: Period | None = None) -> None:
        electrodes.check(channels, placement, centres, None, spread, None)
        if regions is not None and (not regions or len(set(regions)) < len(regions)):
            raise AssemblyError([Problem(f"{regions} are no regions to record from", "regions",
                                         "Name each region once, or leave regions out.")])
        self.channels, self.regions, self.placement, self.spread = channels, regions, placement, spread
        self.centres, self.noise, self.drift, self.drifts = centres, noise, drift, drifts
        self.forget, self.period = forget, period
        self.random = placement == "permutation" or noise > 0 or drift > 0
        self.inputs = {
            "rates": Port("activity of each neuron", ("neuron",), axes=("neuron",), reads="hold", also=("now", "mean")),
            "status": replace(status_input(wakes=period is None, optional=True), also=("all",) if period else ()),
        }
        self.outputs = {"recording": Port("what each electrode records", (None,), axes=("electrode",))}

    @classmethod
    def example(cls) -> Electrodes:
        return cls(channels=2, noise=0.1, drift=5e-4)

    def infer(self) -> None:
        """Count the electrodes, and say within what bounds they record, as soon as it is known who is recorded."""
        port, said = sender(self, "rates"), self.outputs["recording"]
        names = [name for name, _ in port.regions]
        if self.regions is not None and (lost := [name for name in self.regions if name not in names]):
            if "rates" in self.peers_in:
                raise AssemblyError([Problem(
                    f"the rates come from no region {lost[0]!r}", "params.regions", nearest(lost[0], names) if names
                    else "Who publishes them names no regions: leave regions out.")])
            return
        chosen = self.regions if self.regions is not None else names
        low, high = port.range if not (self.noise or self.drift) else (-np.inf, np.inf)
        self.outputs["recording"] = replace(
            said, shape=(self.channels * max(len(chosen), 1),), units=port.units, low=min(low, 0.0),
            high=max(high, 0.0), regions=tuple((name, self.channels) for name in chosen))

    def _spans(self, neurons: int) -> list[Region]:
        """Return the regions that are recorded from."""
        port = sender(self, "rates")
        if not port.regions:
            return [("", 0, neurons)]
        last = np.cumsum([size for _, size in port.regions]).tolist()
        if last[-1] != neurons:
            raise AssemblyError([Problem(f"the regions of the brain hold {last[-1]} neurons, it has {neurons}",
                                         "inputs.rates", "Let every neuron stand in one region.")])
        known = {name: (name, end - size, end) for (name, size), end in zip(port.regions, last, strict=True)}
        return [known[name] for name in (self.regions if self.regions is not None else known)]

    def build(self, lanes: Lanes, seed: int) -> None:
        """Place the electrodes."""
        super().build(lanes, seed)
        neurons = int(self.inputs["rates"].shape[0])  # type: ignore[arg-type]
        self._regions = self._spans(neurons)
        self.weights = np.concatenate([
            electrodes.array(self.channels, neurons, self.placement, self.centres, None, self.spread, (first, last),
                             derive(seed, "electrodes", name)) for name, first, last in self._regions], axis=1)
        self.reset(seed)

    def check_built_source(self, key: str, source: Component) -> list[Problem]:
        """Tell of electrodes over neurons that a lesion has silenced."""
        living = electrodes.living_of(source)
        if key != "rates" or living is None or living.shape != self.weights.shape[:1]:
            return []
        deaf = electrodes.dead(self.weights, living)
        return [Problem(f"{deaf.sum()} of {deaf.size} electrodes ({electrodes.numbers(deaf)}) hear only neurons that "
                        "the lesion silences", "", "Widen their spread, or place them elsewhere.",
                        notice=True)] if deaf.any() else []

    def reset(self, seed: int) -> None:
        """Take back every drift."""
        shape = (self.lanes.count, self.weights.shape[1])
        self._noise, self._steps = LaneRandom(seed, self.lanes, "noise"), LaneRandom(seed, self.lanes, "drift")
        self._walk = np.zeros(shape)  # of offset or gain [lanes, electrodes]
        self._recording = np.zeros(shape, np.float32)  # in force

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Record, where it is time to; lanes that wait keep what they recorded last."""
        status, new = inputs.get("status"), "status" in inputs.new
        if not (new if self.period is None else flags.due(self.period, now)):
            return {} if inputs.previous is not None else {"recording": self._recording}
        lanes = self.lanes.count
        awake = np.ones(lanes, bool) if status is None else (flags.latest(status) & WAITING) == 0
        begun = flags.begun(status, inputs.previous) if new and self.forget == "first" else np.zeros(lanes, bool)
        heard = np.where(begun[:, None], np.float32(0), inputs["rates"])
        recorded = electrodes.spread_out(self.weights.T, heard).astype(float)  # [lanes, electrodes]
        if self.drift:
            self._walk = self._walk + self.drift * self._steps.normal(recorded.shape[1:], awake)
            recorded = recorded + self._walk if self.drifts == "offset" else recorded * (1 + self._walk)
        if self.noise:
            recorded = recorded + self.noise * self._noise.normal(recorded.shape[1:], awake)
        self._recording = np.where(awake[:, None], recorded.astype(np.float32), self._recording)
        return {"recording": self._recording}

    def labels(self) -> dict[str, Any]:
        """Name the neuron that each electrode hears most, and its region where the brain has any."""
        found: dict[str, Any] = {"neuron": self.weights.argmax(axis=0).tolist()}
        if self._regions[0][0]:
            found["region"] = [name for name, _, _ in self._regions for _ in range(self.channels)]
        return {"electrode": found}

    def state_dict(self) -> dict[str, Any]:
        return {"noise": self._noise.state_dict(), "steps": self._steps.state_dict(), "walk": self._walk.copy(),
                "recording": self._recording.copy(), "learned": {"weights": self.weights.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.weights = np.array(state["learned"]["weights"], np.float32)
        if "walk" in state:
            self._noise.load_state_dict(state["noise"])
            self._steps.load_state_dict(state["steps"])
            self._walk, self._recording = np.array(state["walk"]), np.array(state["recording"], np.float32)
