"""Whole sequences, asked of any policy: of one that remembers as of one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...loops.errors import AssemblyError, Problem


def answer(policy: Any, inputs: Mapping[str, Any], truncate: int = 0) -> dict[str, Any]:
    """Return what a policy says at every tick of whole episodes, by port name [batch, time, ...].

    Args:
        policy: plays the role Policy, and has `respond_sequence` if it remembers.
        inputs: named as the ports, [batch, time, ...] each, from the first tick of an episode on; arrays or tensors.
        truncate: gradients reach back over so many ticks and no further; 0: over all.
    """
    if hasattr(policy, "respond_sequence"):
        return policy.respond_sequence(inputs, truncate=truncate)[0]
    batch, time = inputs["observation"].shape[:2]
    flat = {name: value.reshape(batch * time, *value.shape[2:]) for name, value in inputs.items()}
    told = policy.respond(flat, None)[0]
    return {name: value.reshape(batch, time, *value.shape[1:]) for name, value in told.items()}


def check(policy: Any, where: str) -> None:
    """Refuse a policy whose answers to a whole episode would not be those it gave in the loop."""
    if policy.memory() is None:
        return
    problems = []
    if not hasattr(policy, "respond_sequence"):
        problems.append(Problem("it remembers, and cannot be asked about whole sequences", where,
                                "Let it have `respond_sequence`, as brains.modular_rnn has."))
    if getattr(policy, "forget", "first") != "first":
        problems.append(Problem("it remembers from one episode to the next, and is asked about single episodes", where,
                                "Write forget: first in its params."))
    if getattr(policy, "period", None) is not None:
        problems.append(Problem("it ticks by a period of its own, and is asked about one tick for each observation",
                                where, "Leave `period` out of its params."))
    if "forget" in getattr(policy, "peers_in", {}):
        problems.append(Problem("it may be told to forget in mid-episode, which this learner does not hear", where,
                                "Take the wire into its input `forget` away."))
    if problems:
        raise AssemblyError(problems)
