"""A meter for every contact: what a held command delivers each way, and until when it may be held.

Each contact has two directions, and a *phase* is what flows in one of them. Its charge does not begin at nothing when
the sign changes: what flowed that way since the last rest counts on, less what flowed back (and never less than
nothing). Its width is the time for which that charge flowed: what flows back takes the same share off the width as off
the charge. So a negligible current the other way restarts neither, and a balanced phase leaves neither behind. A rest,
which is the time `rest` at zero, sets both to nothing; a shorter pause does not.
Amplitudes are held between two steps; amplitude times nanoseconds is exact in float64 for float32 amplitudes.
Arrays that know both directions are [2, lanes, channels]: with the sign of the command, and against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .flow import Flow, is_full, most, time_to
from .onsets import Onsets
from .rests import Rests
from .stimulation_limits import Rule

_HORIZON = 200_000  # ns: where less room than this is left for certain, look at every contact
_LEAST = 1e-200  # stands for no charge, so that a share can always be taken; vanishes beside any charge that flowed


@dataclass(frozen=True, eq=False)
class PhaseLimits:
    """Limits of phases and trains; charges in command units times nanoseconds, times in nanoseconds."""

    charge: np.ndarray | None = None  # [channel] charge of one phase
    net: np.ndarray | None = None  # [channel] |running net charge|
    width: int | None = None  # time for which the charge of one phase may flow
    interval: int | None = None  # least time between two beginnings of a current in one direction
    on_time: int | None = None  # time a contact may be active within each window
    window: int = 1
    rest: int = 0
    quiet_charge: np.ndarray | None = None  # [channel] below these two nothing has to be noted either
    quiet_net: np.ndarray | None = None
    track: bool = False  # follow the charge of phases even if nothing limits it

    @property
    def any(self) -> bool:
        """Do phases have to be followed?"""
        limits = (self.charge, self.net, self.width, self.interval, self.on_time)
        return self.track or not all(limit is None for limit in limits)


class PhaseMeter:
    """Keeps, for each lane and contact, net charge, charge and width of its phases, and time on.

    A command is offered, and then held if nothing forbids it. Scalars bound all contacts from above, so that most steps
    need not look at each; widths and times on are reckoned up to `since`, the last change of any contact's sign.
    """

    def __init__(self, lanes: int, channels: int, limits: PhaseLimits) -> None:
        shape, both = (lanes, channels), (2, lanes, channels)
        self.limits = limits
        self.net = np.zeros(shape)  # [lanes, channels] signed, since the beginning
        self.charge = np.full(both, _LEAST)  # of the phases, not yet brought back
        self.width, self.on = np.zeros(both), np.zeros(both)  # ns: of the phases, and active in the present window
        self.before = self.charge.copy()  # what `charge` was when the widths were reckoned
        self.rests = Rests(shape, limits.rest)
        self.onsets = None if limits.interval is None else Onsets(both, limits.interval)
        self.upward = np.ones(shape, bool)  # [lanes, channels] does the latest phase have a positive sign?
        self.since = 0
        self.charge_bound = self.net_bound = 0.0  # no phase's charge, and |net charge|, is larger
        self.width_bound = self.on_bound = 0.0  # nor its width, nor its time on
        self.largest = 0.0  # amplitude held now
        self.cut_at: int | None = None  # when a limit will (or, after `pass_on`, could) be reached
        self.follows = limits.any
        self._charged = limits.charge is not None or limits.track or limits.width is not None
        self._timed = limits.width is not None or limits.on_time is not None
        self._most_on = np.inf if limits.on_time is None or limits.on_time >= limits.window else limits.on_time
        self._most_width = np.inf if limits.width is None else limits.width + 0.5  # shares leave fractions of 1 ns
        self._least_charge, self._least_net = (np.inf if quiet is None else float(np.min(quiet))
                                               for quiet in (limits.quiet_charge, limits.quiet_net))
        self._hard_charge, self._hard_net, self._quiet_charge, self._quiet_net = (
            None if cap is None else np.broadcast_to(cap, both).copy()
            for cap in (limits.charge, limits.net, limits.quiet_charge, limits.quiet_net))
        self._ones, self._least = np.ones(both), np.full(both, _LEAST)
        self._spans, self._moved, self._share = np.zeros(both), np.zeros(both), np.zeros(both)
        self._last_span, self._moved_up = 0, self._moved[0]
        self._held, self._offered = Flow(np.zeros(both)), Flow(np.zeros(both))
        self.rests.turn(self._held.flows)

    def advance(self, start: int, now: int) -> None:
        """Account for what was held from `start` to `now`."""
        if now == start or not self.largest:
            return
        elapsed = now - start
        moved = np.multiply(self._held.flow, self._span(elapsed), out=self._moved)
        self.net += self._moved_up
        most_moved = self.largest * elapsed
        self.net_bound += most_moved
        if self._charged:
            self.charge += moved
            np.maximum(self.charge, self._least, out=self.charge)
            self.charge_bound += most_moved
        if self._timed:
            self.width_bound += elapsed
            self.on_bound = min(self.on_bound + elapsed, float(now % self.limits.window))

    def _span(self, elapsed: int) -> np.ndarray:
        """Return a time as an array of full size, which is quicker to reckon with."""
        if elapsed != self._last_span:
            self._last_span = elapsed
            self._spans.fill(elapsed)
        return self._spans

    def offer(self, wanted: np.ndarray) -> float:
        """Say what might be held next [lanes, channels]; return the largest amplitude (NaN where any is)."""
        return self._offered.take(wanted)

    def pass_on(self, largest: float, now: int) -> bool:
        """Hold what was offered (nothing above `largest`) if surely no level is reached at once; else return False."""
        if not self.follows:
            self._accept(largest, now)
            return True
        held, offered = self._held, self._offered
        if offered.pattern != held.pattern:
            if self.onsets is not None and self.onsets.too_soon(now, held.flows, offered.flows) is not None:
                return False
            self._settle(now)
        room = self._room(largest)
        if room < _HORIZON:
            self._tighten(now)
            room = self._room(largest)
            if room < 0:  # a level has been passed already, and may have to be noted
                return False
            if room < _HORIZON:
                room = self._room_of_each(now, self._quiet_charge, self._quiet_net, largest)
                if room < 1:
                    return False
        self._accept(largest, now)
        self.cut_at = now + int(room) if room < 1e17 else None
        return True

    def _settle(self, now: int) -> None:
        """Reckon widths, times on and rests up to now, during which no contact changed its sign."""
        if now == self.since:
            return
        limits, span = self.limits, self._span(now - self.since)
        if self._timed:
            flowed = np.multiply(self._held.flows, span, out=self._moved)
            if limits.width is not None:
                share = np.divide(self.charge, self.before, out=self._share)
                self.width *= np.minimum(share, self._ones, out=share)  # what flowed back shortens it
                self.width += flowed
                np.copyto(self.before, self.charge)
            if limits.on_time is not None:
                window = now - now % limits.window
                if self.since < window:  # it began in between
                    np.multiply(self._held.flows, float(now - window), out=self.on)
                else:
                    self.on += flowed
        self.since = now
        if self.rests.count and not self.rests.over:
            self._end_phases(self.rests.add(span[0]))

    def _end_phases(self, rested: np.ndarray | None) -> None:
        """Set phases to nothing where a contact has rested [lanes, channels]."""
        if rested is None:
            return
        everywhere = self.rests.over and self.rests.count == rested.size
        for values, nothing in ((self.charge, _LEAST), (self.before, _LEAST), (self.width, 0.0)):
            if everywhere:
                values.fill(nothing)
            else:
                np.copyto(values, nothing, where=rested)

    def _tighten(self, now: int) -> None:
        """Bring the bounds down to what the contacts show."""
        self._settle(now)
        self.charge_bound, self.net_bound = most(self.charge), most(np.abs(self.net))
        if self._timed:
            self.width_bound, self.on_bound = most(self.width), most(self.on[0] + self.on[1])

    def _room(self, largest: float) -> float:
        """Time in ns for which an amplitude of `largest` stays below every level, by the bounds."""
        charge = min(self._least_charge - self.charge_bound, self._least_net - self.net_bound)
        if charge < 0:
            return -1.0
        if not largest:
            return np.inf
        room = charge / largest
        if self._timed:
            room = min(room, self._most_on - self.on_bound)
            room = min(room, self._most_width - self.width_bound)
        return room

    def _room_of_each(self, now: int, charge: np.ndarray | None, net: np.ndarray | None, largest: float = 0.0) -> float:
        """Whole ns for which every contact may hold what is offered; widths and times on are settled.

        Where `largest` is given, what is far from its level by the bounds is not looked at closely.
        """
        limits, flow = self.limits, self._offered.flow
        room, far = np.inf, largest * _HORIZON if largest else np.inf
        if charge is not None:
            room = self._least_charge - self.charge_bound
            room = room / largest if room > far else time_to(charge, self.charge, flow, self._share)
        if net is not None:
            left = self._least_net - self.net_bound
            room = min(room, left / largest if left > far else time_to(net, self._net_each_way(), flow, self._share))
        if limits.width is not None:
            room = min(room, self._most_width - most(self.width * self._offered.flows))
        if limits.on_time is not None and limits.on_time < limits.window:
            left = limits.on_time - most((self.on[0] + self.on[1]) * self._offered.flows)
            to_end = limits.window - now % limits.window
            room = min(room, left if left < to_end else to_end + limits.on_time)
        return float(np.floor(room))

    def _net_each_way(self) -> np.ndarray:
        """The net charge in both directions; in the place of what moved last."""
        self._moved_up[...] = self.net
        np.negative(self.net, out=self._moved[1])
        return self._moved

    def judge(self, now: int) -> np.ndarray | None:
        """Return the rules [lanes, channels] that forbid to hold what was offered (0: none); None: all is well."""
        limits, offered = self.limits, self._offered
        self._settle(now)
        broken: list[tuple[Rule, np.ndarray]] = []
        if self._hard_charge is not None:
            broken.append((Rule.CHARGE_PER_PHASE, is_full(self.charge, offered.flow, self._hard_charge)))
        if self._hard_net is not None:
            broken.append((Rule.NET_CHARGE, is_full(self._net_each_way(), offered.flow, self._hard_net)))
        if limits.width is not None:
            broken.append((Rule.PULSE_WIDTH, self.width + 1.0 > self._most_width))
        if limits.on_time is not None:
            broken.append((Rule.DUTY, self.on[0] + self.on[1] >= limits.on_time))
        if self.onsets is not None:
            soon = self.onsets.too_soon(now, self._held.flows, offered.flows)
            if soon is not None:
                broken.append((Rule.RATE, soon))
        rules = None
        for rule, where in broken:
            if where.any():
                rules = np.zeros(self.net.shape, np.int16) if rules is None else rules
                rules[(where & (offered.flow > 0)).any(axis=0)] = rule
        return rules

    def commit(self, refused: np.ndarray | None, now: int) -> None:
        """Hold what was judged from now on, with the `refused` contacts [lanes, channels] at zero."""
        offered = self._offered
        if refused is not None:
            np.copyto(offered.flow, 0.0, where=refused)
            offered.look()
        largest = most(offered.flow)
        room = self._room_of_each(now, self._hard_charge, self._hard_net) if largest else np.inf
        self._accept(largest, now)
        self.cut_at = now + max(1, int(room)) if room < 1e17 else None

    def _accept(self, largest: float, now: int) -> None:
        """Hold what was offered."""
        last, self._held, self._offered = self._held, self._offered, self._held
        self.largest = largest
        if not self.follows or self._held.pattern == last.pattern:
            return
        if self.onsets is not None:
            self.onsets.note(now, last.flows, self._held.flows)
        if self.limits.track:
            up, down = self._held.flows
            self.upward = (up > 0) | (self.upward & (down == 0))
        self.rests.turn(self._held.flows)

    def phase_charge(self) -> np.ndarray:
        """Charge of each contact's latest phase [lanes, channels], without sign."""
        charge = np.where(self.upward, self.charge[0], self.charge[1])
        return np.where(charge > _LEAST, charge, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**{name: getattr(self, name).copy() for name in _STATE}, "flow": self._held.flow.copy(),
                **{name: getattr(self, name) for name in _NUMBERS}, "cut_at": self.cut_at,
                "rests": self.rests.state_dict(), "onsets": {} if self.onsets is None else self.onsets.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))
        for name in _NUMBERS:
            setattr(self, name, type(getattr(self, name))(state[name]))
        self.cut_at = None if state["cut_at"] is None else int(state["cut_at"])
        self._held = Flow(np.array(state["flow"], np.float64))
        self.rests.load_state_dict(state["rests"], self._held.flows)
        if self.onsets is not None:
            self.onsets.load_state_dict(state["onsets"])


_STATE = ("net", "charge", "width", "on", "before", "upward")
_NUMBERS = ("since", "charge_bound", "net_bound", "width_bound", "on_bound", "largest")
