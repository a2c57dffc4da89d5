"""Limits of stimulation: rules, units, charge caps, and what a declared range could do at worst.

Research simulation only: these limits make no claim about any medical device or tissue.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ...loops.errors import AssemblyError, Problem

MICROCOULOMB = {"A": 1e3, "mA": 1e6, "uA": 1e9, "µA": 1e9, "nA": 1e12}  # one uC in (unit of current) * ns
_LONGEST = float(1 << 60)  # ns; sums of two such times are whole numbers of 64 bits
_SENSIBLE = {"shannon_k": (-10.0, 10.0), "rate": (1e-6, 1e9), "duty": (0.0, 1.0), "duty_window": (1.0, _LONGEST),
             "stale": (1.0, _LONGEST), **dict.fromkeys(("ramp", "train_phase", "pulse_width", "rest"), (0.0, _LONGEST))}
SHANNON_AREA = 1.0  # mm^2; the experiments behind Shannon (1992) used discs of at least this size


class Rule(IntEnum):
    """Why a command was changed (hard interlock, below 100) or only noted (100 and above)."""

    NON_FINITE = 1
    STALE = 2
    LATE = 3
    IDLE = 4
    PEAK = 5
    SUM_PEAK = 6
    RAMP = 7
    SLEW = 8
    CHARGE_PER_PHASE = 9
    NET_CHARGE = 10
    PULSE_WIDTH = 11
    RATE = 12
    DUTY = 13
    WARN_PEAK = 105
    WARN_SUM_PEAK = 106
    WARN_CHARGE_PER_PHASE = 109
    WARN_NET_CHARGE = 110


@dataclass(frozen=True)
class Advice:
    """Levels that are noted in the log when they are passed, but not enforced.

    peak and sum_peak are in the units of the command, charge_per_phase and net_charge in uC, charge_density in
    uC/cm^2 per phase, shannon_k without a unit.
    """

    peak: float | None = None
    sum_peak: float | None = None
    charge_per_phase: float | None = None
    charge_density: float | None = None
    shannon_k: float | None = None
    net_charge: float | None = None


def wants_charge(per_phase: float | None, density: float | None, shannon_k: float | None) -> bool:
    """Is any limit on the charge of a phase set?"""
    return not (per_phase is None and density is None and shannon_k is None)


def check_levels(prefix: str = "", **levels: object) -> None:
    """Raise ValueError for a level that is not finite or outside of what makes sense for it."""
    for name, level in levels.items():
        low, high = _SENSIBLE.get(name, (0.0, 1e30))
        numbers = np.asarray([0.0] if level is None else level, float)
        if level is not None and not (numbers.size and ((numbers >= low) & (numbers <= high)).all()):  # NaN fails
            raise ValueError(f"{prefix}{name}: {level} is not a limit; write finite numbers from {low:g} to {high:g}")


def charge_cap(per_phase: float | None, density: float | None, shannon_k: float | None,
               area: np.ndarray | None) -> np.ndarray:
    """Return the largest charge per phase that all given limits allow, in uC [channel] (or [1] without areas).

    Charge density D = Q / A; Shannon (1992), eq. 1: log10 D = k - log10 Q, hence Q = sqrt(A 10^k). Areas [channel]
    are in mm^2. Shannon's line is only drawn for discs of at least 1 mm^2: smaller contacts need a `per_phase` cap.
    """
    if area is None:
        if density is not None or shannon_k is not None:
            raise AssemblyError([Problem("charge_density and shannon_k need the area of the contacts", "area",
                                         "Write area: in mm^2, one number or one for each channel.")])
        return np.array([np.inf if per_phase is None else per_phase])
    cap = np.full(area.shape, np.inf if per_phase is None else per_phase)
    square_cm = area * 0.01
    if density is not None:
        cap = np.minimum(cap, density * square_cm)
    if shannon_k is not None:
        small = area < SHANNON_AREA
        if small.any() and per_phase is None:
            raise AssemblyError([Problem(
                f"Shannon not valid: contacts of {area.min():g} mm^2 are smaller than {SHANNON_AREA:g} mm^2",
                "shannon_k", "Write charge_per_phase: in uC for such contacts.")])
        cap = np.where(small, cap, np.minimum(cap, np.sqrt(square_cm * 10.0**shannon_k)))
    return cap


def microcoulomb(units: str) -> float:
    """Return one uC in the command's unit times nanoseconds; raises AssemblyError where the unit is no current."""
    if units not in MICROCOULOMB:
        said = f"is in {units!r}" if units else "has no physical unit"
        raise AssemblyError([Problem(
            f"a limit in charge is set, but the command {said}", "command",
            f"Give the sender's port one of the units {', '.join(MICROCOULOMB)} (basics.gain: units: uA), "
            "or limit the amplitude with peak.")])
    return MICROCOULOMB[units]


def worst_case(largest: np.ndarray, caps: list[tuple[Rule, np.ndarray]], sum_peak: float | None,
               units: str) -> list[str]:
    """Say which levels a command inside its declared range [channel] could pass, one sentence for each.

    `caps` are amplitudes [channel] with their rules, hard ones and advisory ones.
    """
    if not np.isfinite(largest).all():
        return ["the command declares no finite range: every hard limit may have to act"]
    said = []
    hard = largest
    for rule, cap in caps:
        over = hard > cap
        if over.any():
            worst = int(np.argmax(np.where(over, hard - cap, -np.inf)))
            act = "only noted" if rule >= Rule.WARN_PEAK else "cut off"
            said.append(f"commands up to {_amount(hard[worst], units)} are possible in channel {worst}; "
                        f"{_level(rule)} allows {_amount(cap[worst], units)}: the rest is {act}")
        if rule < Rule.WARN_PEAK:
            hard = np.minimum(hard, cap)
    if sum_peak is not None and hard.sum() > sum_peak:
        said.append(f"all channels together could reach {_amount(hard.sum(), units)}; sum_peak allows "
                    f"{_amount(sum_peak, units)}: they are scaled down together")
    return said


def _amount(value: float, units: str) -> str:
    return f"{value:g} {units}".rstrip()


def _level(rule: Rule) -> str:
    name = rule.name.lower()
    return f"the warning level {name.removeprefix('warn_')}" if name.startswith("warn_") else name


def clip(wanted: np.ndarray, cap: np.ndarray, code: Rule, rule: np.ndarray) -> None:
    """Bring |wanted| within `cap`, rounded towards zero, and write the rule where that changed something."""
    over = np.abs(wanted) > cap
    if over.any():
        np.copyto(wanted, np.copysign(towards_zero(cap), wanted), where=over)
        np.copyto(rule, np.int16(code), where=over)


def towards_zero(value: np.ndarray) -> np.ndarray:
    """The float32 numbers next to `value` that are not larger."""
    if value.dtype == np.float32:
        return value
    nearest = value.astype(np.float32)
    return np.where(np.abs(nearest) > np.abs(value), np.nextafter(nearest, np.float32(0)), nearest)
