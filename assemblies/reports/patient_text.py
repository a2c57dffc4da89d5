"""The patients of a run in words, for `stimloop show RUN`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.errors import counted
from .tables import cell

_SHOWN = 12  # electrodes, actions or neurons told one by one


def lines(found: list[dict[str, Any]]) -> list[str]:
    """Return what `patient_facts.facts` found, a paragraph for each patient."""
    return [line for patient in found for line in _patient(patient)]


def _patient(patient: Mapping[str, Any]) -> list[str]:
    told = [f"patient {patient['brain']}", f"  lesion: {lesion(patient['lesion'])}"]
    if patient["stimulator"]:
        told += [f"  {line}" for line in electrodes(patient["stimulator"], patient["electrodes"])]
    for name, found in patient["sensors"].items():
        told.append(f"  {name} records by {found['live']} live electrodes of {found['all']}")
    if patient["limiter"]:
        told.append(f"  {patient['limiter']}: {delivered(patient['delivered'])}")
    return told + [f"  {line}" for line in actions(patient)]


def lesion(found: Mapping[str, Any] | None) -> str:
    """Say what a lesion silenced."""
    if found is None:
        return "none"
    if "missing" in found:
        return f"of kind {found['kind']}; what it silenced is not known: {found['missing']}"
    kind = f" (kind {found['kind']})" if found["kind"] else ""
    text = f"{found['silenced']} of {found['all']} {found['of']} silenced{kind}"
    if found["of"] == "connections":
        return f"{text}; every neuron can be stimulated"
    places = ", ".join(f"{name} {part['silenced']} of {part['all']}" for name, part in found.get("regions", {}).items())
    neurons = ", ".join(map(str, found["neurons"][:_SHOWN])) + (", ..." if len(found["neurons"]) > _SHOWN else "")
    return text + (f"; by region: {places}" if places else "") + (f"; neurons {neurons}" if neurons else "")


def electrodes(name: str, found: Mapping[str, Any]) -> list[str]:
    """Say which electrodes are live, and of each how much of what it reaches lives."""
    if "missing" in found:
        return [f"{name}: its electrodes are not known: {found['missing']}"]
    told = [f"{name}: {found['live']} live electrodes of {found['all']}"]
    for each in found["each"][:_SHOWN]:
        where = f"neuron {each['neuron']}" + (f" of {each['region']}" if "region" in each else "")
        told.append(f"  electrode {each['electrode']} at {where}: {'live' if each['lives'] else 'DEAD'}, "
                    f"{each['share']:.0%} of what it reaches lives")
    more = len(found["each"]) - _SHOWN
    return told + ([f"  and {more} more (--json tells all)"] if more > 0 else [])


def delivered(found: Mapping[str, Any]) -> str:
    """Say what was let through: the largest command, and the charge of an episode."""
    if "largest" not in found:
        return f"what was delivered is not known: {found['missing']}"
    text = (f"largest command {cell(found['largest'])} {found['unit']} (electrode {found['electrode']})")
    charges = [row["charge"] for row in found.get("episodes", ())]
    if not charges:
        return text + (f"; not known is {found['missing']}" if "missing" in found else "")
    unit = found["charge_unit"]
    return (f"{text}; charge of an episode {cell(float(np.mean(charges)))} {unit} in the mean, {cell(max(charges))} "
            f"{unit} at most, in {counted(len(charges), 'episode')}")


def actions(patient: Mapping[str, Any]) -> list[str]:
    """Say which actions can be reached, as a table."""
    from ..inspection import table

    found, stimulated, injured = patient["actions"], bool(patient["stimulator"]), patient["lesion"] is not None
    if "missing" in found:
        return [f"reachable actions are not known: {found['missing']}"]
    held = f", held for {found['held']} ticks from rest" if found["held"] > 1 else ""
    told = [f"reachable actions, over {counted(found['observations'], 'observation')} of the run and "
            f"{counted(found['commands'], 'command')}{held}:"]
    rows = []
    for row in found["each"][:_SHOWN]:
        line: dict[str, Any] = {"action": row["action"]}
        for which in ("injured", "intact") if injured else ("intact",):
            line[f"{which}, no stimulus"] = row[which]["unstimulated"]
            if stimulated:
                line[f"{which} reaches"] = f"{row[which]['least']:.3g} to {row[which]['most']:.3g}"
                line[f"{which} width"] = row[which]["width"]
        rows.append(line)
    told += [f"  {line}" for line in table(rows).split("\n")]
    more = len(found["each"]) - _SHOWN
    told += [f"  and {more} more (--json tells all)"] if more > 0 else []
    if not injured:
        return told
    near = f", {found['distance_best']:.3g} with the best of these commands" if stimulated else ""
    return [*told, f"from what the intact brain would do it is {found['distance_unstimulated']:.3g} away{near} (norm "
                   "of the difference of actions, in the mean)"]
