"""A machine that does to a loop whatever a user may do between two instants, in any order.

After each move the loop must have done exactly what the slow interpreter does with the same system.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from stimloop.components.basics.silence import Silence
from stimloop.loops.errors import AssemblyError
from stimloop.loops.loop import Loop
from stimloop.loops.storage import checkpoint
from stimloop.loops.system import Part, System

from .graphs import draw_plan, examples
from .slow import Refused, Slow
from .toys import listen, since

HORIZON = 60  # ns


class SilentToy(Silence):
    """Silence that keeps a log, as toys do."""

    log: list[tuple] | None = None


def swapped(system: System, names: frozenset[str]) -> System:
    """Return the system with silence in the place of some components; their wires stay."""
    parts = {name: Part(partial(SilentToy, period=3), part.inputs, {}, part.seed) if name in names else part
             for name, part in system.parts.items()}
    return System(parts, system.lanes, system.seed, system.name)


class KernelMachine(RuleBasedStateMachine):
    """Runs, saves, loads, forks and swaps; time never goes back and no history makes a difference."""

    states = Bundle("states")

    @initialize(rng=st.randoms(use_true_random=False))
    def begin(self, rng: random.Random) -> None:
        self.plan = draw_plan(rng, tidy=1.0).sized()
        assume(self.allowed(frozenset()))
        self.truths: dict[frozenset[str], dict[str, list[tuple]]] = {}
        self.take(Loop(self.plan.system()), frozenset())

    def take(self, loop: Loop, silent: frozenset[str]) -> None:
        self.loop, self.silent, self.trace, self.start = loop, silent, listen(loop), loop.last
        if silent not in self.truths:
            slow = Slow(swapped(self.plan.system(), silent))
            self.truths[silent] = listen(slow)
            slow.run(HORIZON)

    def allowed(self, silent: frozenset[str]) -> bool:
        """Does the page allow this system? (Silence may take away the path that orders two changers.)"""
        try:
            Slow(swapped(self.plan.system(), silent))
        except Refused:
            return False
        return True

    @rule(further=st.integers(0, 25))
    def run(self, further: int) -> None:
        before = self.loop.now
        until = min(before + further, HORIZON)
        assert self.loop.run(until) == self.loop.now >= before
        assert self.loop.now < max(until, before + 1)

    @rule(target=states)
    def save(self) -> Any:
        return self.silent, self.loop.save()

    @rule(saved=states)
    def load_here(self, saved: Any) -> None:
        silent, state = saved
        if silent == self.silent:
            self.loop.load(state)
            self.take(self.loop, silent)

    @rule(saved=states, flat=st.booleans())
    def load_elsewhere(self, saved: Any, flat: bool) -> None:
        silent, state = saved
        loop = Loop(swapped(self.plan.system(), silent))
        if flat:  # the form it has on disk
            state = checkpoint.unflatten(*checkpoint.flatten(state))
        loop.load(state)
        self.take(loop, silent)

    @rule()
    def fork(self) -> None:
        now, old = self.loop.now, self.loop
        self.take(old.fork(), self.silent)
        assert self.loop.now == now
        old.run(HORIZON)  # whatever the other does afterwards

    @rule(data=st.data())
    def swap_with_silence(self, data: st.DataObject) -> None:
        used = {target for toy in self.plan.toys.values() for target, _ in toy.uses.values()}
        free = sorted(set(self.plan.toys) - used)
        if free:
            silent = self.silent | {data.draw(st.sampled_from(free))}
            if self.allowed(silent):
                now = self.loop.now
                self.take(Loop(swapped(self.plan.system(), silent)), silent)
                self.loop.run(now)
            else:
                with pytest.raises(AssemblyError, match=r"both change|loop without delay"):
                    Loop(swapped(self.plan.system(), silent))

    @rule()
    def begin_again(self) -> None:
        self.take(Loop(swapped(self.plan.system(), self.silent)), self.silent)

    @invariant()
    def did_what_the_slow_interpreter_does(self) -> None:
        if not hasattr(self, "loop"):
            return
        truth = self.truths[self.silent]
        for name in self.plan.toys:
            if name not in self.silent:
                assert self.trace[name] == since(truth, self.start + 1, self.loop.last + 1)[name]


TestKernelMachine = KernelMachine.TestCase
TestKernelMachine.settings = examples(15, 1_000)
