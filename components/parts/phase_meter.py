"""A charge meter for every contact: what a held command delivers, and until when it may be held.

A *phase* of a contact lasts from the instant its amplitude leaves zero until the sign changes or the contact has been
at zero for the time `rest`; a shorter pause does not end it, so that a phase cannot be restarted by a blink.
Its charge does not begin at nothing after a change of sign: what flowed the same way since the last rest, less what
flowed back, counts on. So the charge of a phase is the largest net charge in its direction since any instant after the
last rest, which is what its limit bounds; a negligible current the other way cannot restart it.
Amplitudes are held between two steps; amplitude times nanoseconds is exact in float64 for float32 amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .stimulation_limits import Rule

_NEVER = 1 << 62  # "at zero since": not at zero
_LONG_AGO = -(1 << 60)
_HORIZON = 200_000  # ns: where less room than this is left for certain, look at every contact


@dataclass(frozen=True, eq=False)
class PhaseLimits:
    """Limits of phases and trains; charges in command units times nanoseconds, times in nanoseconds."""

    charge: np.ndarray | None = None  # [channel] charge of one phase
    net: np.ndarray | None = None  # [channel] |running net charge|
    width: int | None = None  # time a contact may be active within one phase
    interval: int | None = None  # least time between the beginnings of two phases of one sign
    on_time: int | None = None  # time a contact may be active within each window
    window: int = 1
    rest: int = 0
    quiet_charge: float = np.inf  # below these two, in every contact, nothing has to be noted either
    quiet_net: float = np.inf
    track: bool = False  # follow phases even if nothing limits them

    @property
    def any(self) -> bool:
        """Do phases have to be followed?"""
        limits = (self.charge, self.net, self.width, self.interval, self.on_time)
        return self.track or not all(limit is None for limit in limits)


class PhaseMeter:
    """Keeps, for each lane and contact, net charge, charge and width of the present phase, and time on.

    Two scalars bound the charges from above, so that most steps need not look at every contact.
    """

    def __init__(self, lanes: int, channels: int, limits: PhaseLimits) -> None:
        shape = (lanes, channels)
        self.limits = limits
        self.net = np.zeros(shape)  # [lanes, channels] signed, since the beginning
        self.charge = np.zeros(shape)  # of the present phase, without sign
        self.back = np.zeros(shape)  # charge against the present phase that it has not yet brought back
        self.width = np.zeros(shape)  # ns active in the present phase
        self.on = np.zeros(shape)  # ns active in the present window
        self.sign = np.zeros(shape, np.float32)  # of the present phase
        self.given = np.zeros(shape, np.float32)  # sign of what is held now
        self.rested = np.full(shape, _LONG_AGO, np.int64)  # at zero since
        self.onset = np.full((2, *shape), _LONG_AGO, np.int64)  # beginning of the latest phase of each sign
        self.charge_bound = self.net_bound = 0.0  # no contact's phase charge, and |net charge|, is larger
        self.back_bound = 0.0  # nor its charge against the phase
        self.width_bound = self.on_bound = 0.0  # nor its width, nor its time on
        self.onset_bound = float(_LONG_AGO)  # no phase began later
        self.largest = 0.0  # amplitude held now
        self.cut_at: int | None = None  # when a limit will (or, after `pass_on`, could) be reached
        self._moved = np.zeros(shape)
        self._sign = self.given
        self._fresh: np.ndarray | None = None  # which contacts would begin a phase, from judge to commit
        self._all_active = False  # is every contact away from zero?
        self._follows = limits.any
        self._charged = limits.charge is not None or limits.track
        self._timed = limits.width is not None or limits.on_time is not None
        self._most_on = np.inf if limits.on_time is None or limits.on_time >= limits.window else limits.on_time

    def advance(self, held: np.ndarray, start: int, now: int) -> None:
        """Account for an amplitude [lanes, channels] that was held from `start` to `now`."""
        limits = self.limits
        window = now - now % limits.window
        if start < window:
            self.on_bound = 0.0
            if limits.on_time is not None:
                self.on[:] = 0.0
        if now == start or not self.largest:
            return
        elapsed = float(now - start)
        moved = np.multiply(held, elapsed, out=self._moved, dtype=np.float64)
        self.net += moved
        self.charge_bound += self.largest * elapsed
        self.net_bound += self.largest * elapsed
        if self._follows:
            self.charge += np.abs(moved, out=moved)
            if self.back_bound:
                self.back -= moved
                np.maximum(self.back, 0.0, out=self.back)
            if self._timed:
                active = 1.0 if self._all_active else held != 0
                self.width += active * elapsed
                self.on += active * float(now - max(start, window))
                self.width_bound += elapsed
                self.on_bound += elapsed

    def pass_on(self, wanted: np.ndarray, largest: float, now: int) -> bool:
        """Hold `wanted` (nothing above `largest`) if surely no level is reached within a while; else return False."""
        limits = self.limits
        if not self._follows:
            self.largest = largest
            return True
        sign, fresh = np.sign(wanted), None
        if sign.tobytes() != self.given.tobytes():
            fresh = self._begins(sign, now)
            if limits.interval is not None and (now - self.onset_bound < limits.interval
                                                and self._too_soon(sign, fresh, now).any()):
                return False
            self._mix_bounds()
        room = self._room(largest)
        if room < _HORIZON:
            kept = self.charge_bound, self.back_bound, self.width_bound
            self._tighten(None if fresh is None else fresh & (sign != 0), now)
            room = self._room(largest)
            if room < _HORIZON:  # the phases may not begin after all
                self.charge_bound, self.back_bound, self.width_bound = kept
                return False
        if fresh is not None:
            self._turn(sign, fresh, now)
            self.given = sign
        self.largest = largest
        self.cut_at = now + int(room) if room < 1e17 else None
        return True

    def _begins(self, sign: np.ndarray, now: int) -> np.ndarray:
        """Contacts that would begin a phase if they are active: another sign, or rested."""
        fresh = sign != self.sign
        return fresh if self._all_active else fresh | (now - self.rested >= self.limits.rest)

    def _too_soon(self, sign: np.ndarray, fresh: np.ndarray, now: int) -> np.ndarray:
        """Contacts that would begin a phase too soon after the last one of that sign."""
        since = now - np.where(sign > 0, self.onset[0], self.onset[1])
        return (since < self.limits.interval) & fresh & (sign != 0)

    def _entered(self, begun: np.ndarray, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Return charge and back [lanes, channels] as they are once the phases in `begun` have begun."""
        if not self._charged:
            return np.where(begun, 0.0, self.charge), self.back
        charge, back = np.where(begun, self.back, self.charge), np.where(begun, self.charge, self.back)
        if not self._all_active:
            rested = begun & (now - self.rested >= self.limits.rest)
            charge[rested] = back[rested] = 0.0
        return charge, back

    def _mix_bounds(self) -> None:
        """Let the bounds of charge hold whichever contacts turn over."""
        if self._charged:
            self.charge_bound = self.back_bound = max(self.charge_bound, self.back_bound)

    def _tighten(self, begun: np.ndarray | None, now: int) -> None:
        """Bring the bounds down to what the contacts show once the phases in `begun` have begun; no others may be."""
        charge, back = (self.charge, self.back) if begun is None else self._entered(begun, now)
        self.charge_bound, self.back_bound = float(charge.max()), float(back.max())
        self.net_bound = float(np.abs(self.net).max())
        if self._timed:
            going_on = 1.0 if begun is None else ~begun
            self.width_bound, self.on_bound = float((self.width * going_on).max()), float(self.on.max())

    def _room(self, largest: float) -> float:
        """Time in ns for which an amplitude of `largest` stays below every level, by the bounds."""
        limits = self.limits
        charge = min(limits.quiet_charge - self.charge_bound, limits.quiet_net - self.net_bound)
        if charge < 0:
            return -1.0  # a level has been passed already, and may have to be noted
        if not largest:
            return np.inf
        room = charge / largest
        if self._timed:
            room = min(room, self._most_on - self.on_bound)
            if limits.width is not None:
                room = min(room, limits.width - self.width_bound)
        return room

    def judge(self, wanted: np.ndarray, now: int) -> np.ndarray | None:
        """Return the rules [lanes, channels] that forbid to hold `wanted` from now on (0: none); None: all is well."""
        limits = self.limits
        self._sign = sign = np.sign(wanted)
        size = np.abs(wanted).astype(np.float64)
        if (sign == self.given).all():
            self._fresh = None
            charge, width = self.charge, self.width
        else:
            self._fresh = fresh = self._begins(sign, now)
            charge, width = self._entered(fresh, now)[0], np.where(fresh, 0.0, self.width)
        broken: list[tuple[Rule, np.ndarray]] = []
        if limits.charge is not None:
            broken.append((Rule.CHARGE_PER_PHASE, _full(charge, size, limits.charge)))
        if limits.net is not None:
            broken.append((Rule.NET_CHARGE, _full(sign * self.net, size, limits.net)))
        if limits.width is not None:
            broken.append((Rule.PULSE_WIDTH, width >= limits.width))
        if limits.on_time is not None:
            broken.append((Rule.DUTY, self.on >= limits.on_time))
        if limits.interval is not None and self._fresh is not None:
            broken.append((Rule.RATE, self._too_soon(sign, self._fresh, now)))
        rules = None
        for rule, where in broken:
            if where.any():
                rules = np.zeros(wanted.shape, np.int16) if rules is None else rules
                rules[where & (sign != 0)] = rule
        return rules

    def commit(self, given: np.ndarray, refused: np.ndarray | None, now: int) -> None:
        """Hold `given` from now on: what was judged, with the `refused` contacts at zero."""
        sign = self._sign if refused is None else np.where(refused, np.float32(0), self._sign)
        if self._fresh is not None or refused is not None:
            self._mix_bounds()
            self._turn(sign, self._fresh, now)
        self.given = sign
        size = np.abs(given).astype(np.float64)
        self.largest = float(size.max())
        self.cut_at = self._reached_at(size, sign, now) if self.largest else None

    def _turn(self, sign: np.ndarray, fresh: np.ndarray | None, now: int) -> None:
        """Begin phases where contacts are `fresh`, and note which contacts come to rest."""
        all_active = np.count_nonzero(sign) == sign.size
        if fresh is not None:
            begun = fresh if all_active else fresh & (sign != 0)
            self.charge, self.back = self._entered(begun, now)
            if np.count_nonzero(begun) == sign.size:  # cheaper than the same through a mask
                self.width.fill(0.0)
                self.sign = sign
            else:
                np.copyto(self.width, 0.0, where=begun)
                self.sign = np.where(begun, sign, self.sign)
            if self.limits.interval is not None:
                np.copyto(self.onset[0], now, where=begun & (sign > 0))
                np.copyto(self.onset[1], now, where=begun & (sign < 0))
                self.onset_bound = float(now)
        if not (all_active and self._all_active):
            np.copyto(self.rested, now, where=self.rested == _NEVER)
            np.copyto(self.rested, _NEVER, where=sign != 0)
            self._all_active = all_active

    def _reached_at(self, size: np.ndarray, sign: np.ndarray, now: int) -> int | None:
        """Instant at which a limit will be reached if nothing changes, or None."""
        limits = self.limits
        room = np.inf
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if limits.charge is not None:
                room = min(room, _time_to(limits.charge, self.charge, size))
            if limits.net is not None:
                room = min(room, _time_to(limits.net, sign * self.net, size))
        if limits.width is not None:
            room = min(room, limits.width - float(self.width[sign != 0].max()))
        if limits.on_time is not None and limits.on_time < limits.window:
            left, to_end = limits.on_time - float(self.on[sign != 0].max()), limits.window - now % limits.window
            room = min(room, left if left < to_end else to_end + limits.on_time)
        return now + max(1, int(room)) if room < 1e17 else None

    def state_dict(self) -> dict[str, Any]:
        return {**{name: getattr(self, name).copy() for name in _STATE}, "cut_at": self.cut_at,
                **{name: getattr(self, name) for name in _SCALARS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))
        for name in _SCALARS:
            setattr(self, name, float(state[name]))
        self.cut_at = None if state["cut_at"] is None else int(state["cut_at"])
        self._fresh = None
        self._all_active = bool((self.rested == _NEVER).all())


_STATE = ("net", "charge", "back", "width", "on", "sign", "given", "rested", "onset")
_SCALARS = ("charge_bound", "back_bound", "net_bound", "width_bound", "on_bound", "onset_bound", "largest")


def _full(used: np.ndarray, size: np.ndarray, cap: np.ndarray) -> np.ndarray:
    """Would one more nanosecond be too much? (An amplitude that vanishes beside `used` must not go on for ever.)"""
    return (used + size > cap) | (used >= cap)


def _time_to(cap: np.ndarray, used: np.ndarray, size: np.ndarray) -> float:
    """Whole nanoseconds for which every contact may go on: `used + size * time` stays within `cap`."""
    time = float(np.floor(np.where(size > 0, (cap - used) / size, np.inf).min()))
    if np.isfinite(time) and (used + size * time > cap).any():  # the quotient was rounded up
        time -= 1.0
    return time
