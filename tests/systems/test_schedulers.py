"""Time and the model learners: without a cost a loop is a plain one, with a cost old weights act and say how old."""

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

from stimloop.components.parts.flat_parameters import flatten  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.time import MILLISECOND  # noqa: E402

from .imagining import assembly, mbpo, sac, same, weights  # noqa: E402

TICK = 20 * MILLISECOND
KINDS = {"sac": sac, "mbpo": mbpo, "mopac": assembly}
PARTS = {"sac": ("brain", "critic"), "mbpo": ("brain", "critic", "model"),
         "mopac": ("brain", "critic", "value", "model")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_without_delays_is_a_plain_loop(kind):
    """Act, step, learn, written out by hand: without the kernel, and all weights agree to the last bit."""
    ticks = 70
    with KINDS[kind]().build() as loop, KINDS[kind]().build() as other:
        loop.run((ticks - 1) * TICK + 1)  # the instants 0, 1, ..., ticks - 1
        body, brain, learner = (other.components[name] for name in ("body", "brain", "learner"))
        action = np.zeros((1, 2), np.float32)  # in force before anybody has acted
        for tick in range(ticks):
            now, before = tick * TICK, (tick - 1) * TICK if tick else None
            seen = body.step(now, Inputs({"action": action}, frozenset({"action"}), before))
            heard = {name: seen[name] for name in ("observation", "reward", "status")}
            learner.step(now, Inputs({**heard, "action": action}, frozenset({*heard, "action"}), before))
            asked = {name: seen[name] for name in ("observation", "status")}
            action = brain.step(now, Inputs(asked, frozenset(asked), before))["action"]
        firsts = 9  # ticks at which an episode begins are no steps; it lasts 7, and learning starts after 20
        assert learner.core.updates == loop.components["learner"].core.updates == (ticks - firsts - 20) * 2
        assert np.array_equal(action, loop.peek("brain.action"))
        assert same(weights(loop, PARTS[kind]), weights(other, PARTS[kind]))


def costly(kind, cost):
    """The same with a learner that takes its time; the body steps every 20 ms."""
    made = KINDS[kind]().set({"learner.params.cost": cost, "until": "200 steps"})
    return made.set("brain.inputs", ["body.observation", "body.status", "learner.learned"])


def watched(loop, steps):
    """Run, and return when was learned, what was delivered and when, and with which weights the brain acted."""
    learns, delivers, acting = [], [], []
    loop.tap("learner.updates", lambda now, value: learns.append(now))
    for name in ("learned", "staleness", "delayed_ticks"):
        loop.tap(f"learner.{name}", lambda now, value, name=name: delivers.append((now, name, value.copy())))
    begun = flatten(loop.components["brain"].state_dict()["learned"])
    loop.tap("brain.action", lambda now, value: acting.append(
        (now, flatten(loop.components["brain"].state_dict()["learned"]))))
    loop.run(f"{steps} steps")
    told = {name: [(now, value) for now, what, value in delivers if what == name]
            for name in ("learned", "staleness", "delayed_ticks")}
    return learns, told, acting, begun


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("cost", "ticks"), [("50 ms", {2, 3}), ("40 ms", {2}), ("1 ms", {1})])
def test_the_staleness_told_is_the_one_given_and_old_weights_act_that_long(kind, cost, ticks):
    with costly(kind, cost).build() as loop:
        learns, told, acting, begun = watched(loop, 60)
    nanoseconds = int(cost.removesuffix(" ms")) * MILLISECOND
    assert len(told["learned"]) > 8
    assert [now for now, _ in told["learned"]] == [now + nanoseconds for now in learns][:len(told["learned"])]
    assert {float(value) for _, value in told["staleness"]} == {nanoseconds / MILLISECOND}
    assert {int(value) for _, value in told["delayed_ticks"]} == ticks  # learned at a tick, or between two
    for learned, (arrived, value) in zip(learns, told["delayed_ticks"], strict=False):
        assert sum(learned <= now < arrived and now % TICK == 0 for now, _ in acting) == value
    for now, acts in acting:
        arrived = [vector for when, vector in told["learned"] if when <= now]
        assert np.array_equal(acts, arrived[-1] if arrived else begun)
    vectors = [vector for _, vector in told["learned"]]
    assert not any(np.array_equal(one, after) for one, after in pairwise(vectors))


@pytest.mark.parametrize("kind", ["mbpo", "mopac"])
def test_measured_learning_tells_how_long_it_really_took(kind, monkeypatch):
    from stimloop.components.parts import hidden_weights

    clock = iter(range(0, 10**15, 30 * MILLISECOND))  # each time of learning takes 30 ms by this clock
    monkeypatch.setattr(hidden_weights, "perf_counter_ns", lambda: next(clock))
    with costly(kind, "measured").build() as loop:
        assert any("no two runs" in str(notice) for notice in loop.notices)
        learns, told, _, _ = watched(loop, 60)
    assert [now for now, _ in told["learned"]] == [now + 30 * MILLISECOND for now in learns][:len(told["learned"])]
    assert {float(value) for _, value in told["staleness"]} == {30.0}
    assert {int(value) for _, value in told["delayed_ticks"]} == {1, 2}


def test_by_the_real_clock_it_took_some_time():
    staleness: list[float] = []
    with costly("mopac", "measured").build() as loop:
        loop.tap("learner.staleness", lambda now, value: staleness.append(float(value)))
        for steps in range(40, 4000, 40):  # how many are needed for two deliveries, the machine decides
            loop.run(f"{steps} steps")
            if len(staleness) > 1:
                break
    assert len(set(staleness)) > 1
    assert all(0.01 < value < 60_000 for value in staleness)


@pytest.mark.parametrize("kind", ["mbpo", "mopac"])
def test_learning_that_takes_time_goes_on_exactly_from_any_state(kind):
    whole = costly(kind, "50 ms").build()
    whole.run("70 steps")
    for stop in (21, 22, 43):
        first, second = costly(kind, "50 ms").build(), costly(kind, "50 ms").build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("70 steps")
        assert same(weights(whole, PARTS[kind]), weights(second, PARTS[kind])), stop
        assert whole.peek("learner.staleness") == second.peek("learner.staleness") == 50
