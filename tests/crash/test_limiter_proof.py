"""The limiter's proof in small, and a referee that notices a limiter that does not work."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.phase_meter import PhaseMeter

from . import prove_limiter as proof
from .limiter_players import CHANNELS, LANES, MS, PEAK, Adversary, Referee


def test_no_pulse_gets_past_the_limiter():
    found = proof.prove(pulses=10_000, seed=1, tick_us=100.0)
    assert found["broken"] == {}
    assert found["pulses"] >= 10_000
    assert found["balanced_pulses"] >= 1_000
    assert found["pulses_of_trains"] >= 1_000
    assert found["largest_rest_coulomb"] <= 1e-12
    assert found["holds"]


@pytest.mark.parametrize(("name", "limits", "rules"), [
    ("charge", {"charge_per_phase": 0.0005}, {"charge_per_phase", "charge one way"}),
    ("net", {"net_charge": 0.002}, {"net_charge"}),
    ("width", {"pulse_width": 450_000}, {"pulse_width", "width one way", "direct current"}),
    ("rate", {"rate": 255.0}, {"rate"}),
    ("duty", {"duty": 0.4, "duty_window": 20_000_000}, {"duty"}), ("stale", {"stale": 3_000_000}, {"stale"}),
    ("sum", {"sum_peak": 30.0}, {"sum_peak"})])
def test_the_referee_sees_what_a_weaker_limiter_lets_through(name, limits, rules):
    """The same attack through a limiter without the rule is found out by exactly that rule."""
    sender = Adversary(5)
    loop, limiter = proof.build("direct", {}, 5, sender)
    referees = proof.attend(loop, limiter, "direct")
    for key, value in limits.items():
        setattr(limiter, key, value)  # known to the referee, unknown to the limiter, which is built
    loop.run(400 * MS)
    for referee in referees:
        referee.finish(loop.now)
        assert set(referee.broken) == rules


@pytest.mark.parametrize(("name", "limits", "rules"), [
    ("gaps", {"charge_per_phase": 0.0005}, {"charge_per_phase"}), ("gaps", {"pulse_width": 200_000}, {"pulse_width"}),
    ("triggered", {"rate": 100.0}, {"rate"}), ("gaps", {"duty": 0.1, "duty_window": 20_000_000}, {"duty"}),
    ("gaps", {"stale": 1_000_000}, {"stale"}), ("gaps", {"sum_peak": 20.0}, {"sum_peak"}),
    ("both", {"rest": 100_000_000, "charge_per_phase": 0.0005}, {"charge_per_phase"})])
def test_the_referee_sees_what_pulses_break_behind_a_weaker_limiter(name, limits, rules):
    """The faults that a stimulator with a pulse width of its own could hide from one that listens to commands only."""
    train = proof.TRAINS[name][1]
    loop, limiter = proof.build("direct", {"rest": 0}, 5, Adversary(5), train)
    _, referee = proof.attend(loop, limiter, "direct", pulsed=True)
    for key, value in limits.items():
        setattr(limiter, key, value)
    loop.run(400 * MS)
    referee.finish(loop.now)
    assert rules <= set(referee.broken)
    assert referee.pulses_seen > 100


def test_the_referee_sees_a_width_that_any_change_of_sign_restarts(monkeypatch):
    """Direct current with negligible moments of the other sign, which each phase by itself would allow."""
    settle = PhaseMeter._settle

    def forget(meter, now):
        settle(meter, now)
        meter.width *= 1 - meter._held.flows[::-1]

    monkeypatch.setattr(PhaseMeter, "_settle", forget)
    loop, limiter = proof.build("direct", {"pulse_width": 450_000}, 5, Adversary(5))
    referees = proof.attend(loop, limiter, "direct")
    loop.run(400 * MS)
    for referee in referees:
        referee.finish(loop.now)
        assert {"width one way", "direct current"} <= set(referee.broken)
        assert "pulse_width" not in referee.broken


@pytest.mark.parametrize("lost", ["part", "off"])
def test_the_referee_sees_what_adds_up_behind_a_limiter_that_does_not_reckon_with_it(monkeypatch, lost):
    limits, decay = proof.KEEPING["keeps"]
    loop, limiter = proof.build("direct", limits, 5, Adversary(5), decay=decay)
    if lost == "part":  # each command may be as high as the peak
        limiter._part = 1.0
        limiter._make_caps(np.full(CHANNELS, PEAK))
    else:  # silence is a command of zero
        limiter._off = np.float32(0)
    _, referee = proof.attend(loop, limiter, "direct")
    loop.run(400 * MS)
    referee.finish(loop.now)
    assert set(referee.broken) == ({"peak", "sum_peak"} if lost == "part" else {"stale"})


def test_the_referee_sees_idle_lanes_and_peaks():
    referee = Referee(SafetyLimiter(peak=5.0))
    referee.idle[:] = [True, False]
    value = np.zeros((LANES, CHANNELS), np.float32)
    value[0, 0], value[1, 1] = 1.0, 5.000001
    referee.delivered(0, value)
    assert referee.broken == {"idle": 1, "peak": 1}
