"""A charge meter for every contact: what a held command delivers, and until when it may be held.

A *phase* of a contact lasts from the instant its amplitude leaves zero until the sign changes or the contact has been
at zero for the time `rest`; a shorter pause does not end it, so that a phase cannot be restarted by a blink.
Amplitudes are held between two steps; amplitude times nanoseconds is exact in float64 for float32 amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .stimulation_limits import Rule

_NEVER = 1 << 62  # "at zero since": not at zero
_LONG_AGO = -(1 << 60)


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
    track: bool = False  # follow phases even if nothing limits them

    @property
    def any(self) -> bool:
        """Do phases have to be followed?"""
        limits = (self.charge, self.net, self.width, self.interval, self.on_time)
        return self.track or not all(limit is None for limit in limits)


class PhaseMeter:
    """Keeps, for each lane and contact, net charge, charge and width of the present phase, and time on."""

    def __init__(self, lanes: int, channels: int, limits: PhaseLimits) -> None:
        shape = (lanes, channels)
        self.limits = limits
        self.net = np.zeros(shape)  # [lanes, channels] signed, since the beginning
        self.charge = np.zeros(shape)  # of the present phase, without sign
        self.width = np.zeros(shape)  # ns active in the present phase
        self.on = np.zeros(shape)  # ns active in the present window
        self.sign = np.zeros(shape)  # of the present phase
        self.given = np.zeros(shape)  # sign of what is held now
        self.rested = np.full(shape, _LONG_AGO, np.int64)  # at zero since
        self.onset = np.full((2, *shape), _LONG_AGO, np.int64)  # beginning of the latest phase of each sign
        self._fresh: np.ndarray | None = None  # which contacts would begin a phase, from judge to commit
        self._sign = self.given

    def advance(self, held: np.ndarray, start: int, now: int) -> None:
        """Account for an amplitude [lanes, channels] that was held from `start` to `now`."""
        if now == start:
            return
        moved = held.astype(np.float64) * (now - start)
        self.net += moved
        limits = self.limits
        if limits.any:
            self.charge += np.abs(moved)
            if limits.width is not None:
                self.width += (held != 0) * float(now - start)
            if limits.on_time is not None:
                window = now - now % limits.window
                self.on = (held != 0) * float(now - max(start, window)) + (self.on if start >= window else 0.0)

    def judge(self, wanted: np.ndarray, now: int) -> np.ndarray | None:
        """Return the rules [lanes, channels] that forbid to hold `wanted` from now on (0: none); None: all is well."""
        limits = self.limits
        self._sign = sign = np.sign(wanted).astype(np.float64)
        size = np.abs(wanted).astype(np.float64)
        if (sign == self.given).all():
            self._fresh = None
            charge, width = self.charge, self.width
        else:
            self._fresh = fresh = (sign != self.sign) | (now - self.rested >= limits.rest)
            charge, width = np.where(fresh, 0.0, self.charge), np.where(fresh, 0.0, self.width)
        broken: list[tuple[Rule, np.ndarray]] = []
        if limits.charge is not None:
            broken.append((Rule.CHARGE_PER_PHASE, charge + size > limits.charge))
        if limits.net is not None:
            broken.append((Rule.NET_CHARGE, sign * self.net + size > limits.net))
        if limits.width is not None:
            broken.append((Rule.PULSE_WIDTH, width >= limits.width))
        if limits.on_time is not None:
            broken.append((Rule.DUTY, self.on >= limits.on_time))
        if limits.interval is not None and self._fresh is not None:
            since = now - np.where(sign > 0, self.onset[0], self.onset[1])
            broken.append((Rule.RATE, self._fresh & (since < limits.interval)))
        broken = [(rule, where) for rule, where in broken if where.any()]
        if not broken:
            return None
        rules = np.zeros(wanted.shape, np.int16)
        for rule, where in broken:
            rules[where & (sign != 0)] = rule
        return rules

    def commit(self, given: np.ndarray, refused: np.ndarray | None, now: int) -> int | None:
        """Hold `given` from now on: what was judged, with the `refused` contacts at zero.

        Returns the instant at which a limit will be reached if nothing changes, or None.
        """
        sign = self._sign if refused is None else np.where(refused, 0.0, self._sign)
        if self._fresh is not None:
            active = sign != 0
            begun = active & self._fresh
            if begun.any():
                self.charge[begun] = 0.0
                self.width[begun] = 0.0
                self.sign = np.where(begun, sign, self.sign)
                self.onset[0][begun & (sign > 0)] = now
                self.onset[1][begun & (sign < 0)] = now
        if self._fresh is not None or refused is not None:
            at_zero = np.where(self.rested == _NEVER, now, self.rested)
            self.rested = np.where(sign != 0, _NEVER, at_zero)
        self.given = sign
        return self._cut_at(given, sign, now)

    def _cut_at(self, given: np.ndarray, sign: np.ndarray, now: int) -> int | None:
        limits = self.limits
        if not sign.any():
            return None
        size = np.abs(given).astype(np.float64)
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
        return {name: getattr(self, name).copy() for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))
        self._fresh = None


_STATE = ("net", "charge", "width", "on", "sign", "given", "rested", "onset")


def _time_to(cap: np.ndarray, used: np.ndarray, size: np.ndarray) -> float:
    """Whole nanoseconds for which every contact may go on: `used + size * time` stays within `cap`."""
    active = size > 0
    time = float(np.floor(np.where(active, (cap - used) / size, np.inf).min()))
    if np.isfinite(time) and (used + size * time > cap).any():  # the quotient was rounded up
        time -= 1.0
    return time
