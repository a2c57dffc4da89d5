"""When a learner with a model updates, fits and imagines, and with what: against the sequence written out."""

from itertools import groupby

import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

from stimloop.components.parts.guidance import Planner  # noqa: E402

from .imagining import COMPAT, assembly  # noqa: E402


def spied(loop, log):
    """Let a learner write down what it does after which real step."""
    learner = loop.components["learner"]

    def note(owner, name, say):
        before = getattr(owner, name)

        def noted(*given):
            log.append((learner.steps, say(*given)))
            return before(*given)

        setattr(owner, name, noted)

    note(learner, "_batch", lambda ratio: f"update {ratio:g}")
    note(learner.fit, "fit", lambda inputs, *_: f"fit {len(inputs)}")
    note(learner, "imagine", lambda start, length: f"imagine {len(start)} x {length}")
    return learner


def test_updates_fits_and_imagination_come_in_the_order_of_the_algorithm():
    """Steps of epoch 0 are 21 to 50: their updates mix by its ratio, and at 50 the next one's lives are imagined."""
    log, rows = [], []
    made = assembly(min_buffer=24, ratio_schedule=[0, 2, 0.25, 0.75], model_retain_epochs=2, model_train_end_epoch=2)
    with made.build() as loop:
        learner = spied(loop, log)
        loop.tap("learner.model_rows", lambda now, value: rows.append(int(value)))
        loop.run("110 steps")
        seen = learner.buffer.columns["observation"][:50]
        state_value = loop.components["value"]
        with torch.no_grad():  # the slow value judges, and that is no copy of the fast one by now
            assert torch.equal(learner._worth(seen), learner.core.states.value(seen))
            assert not torch.allclose(learner._worth(seen), state_value.value(seen), atol=1e-3)
    told = [(said, [step for step, _ in group]) for said, group in groupby(log, key=lambda entry: entry[1])]
    assert [(said, steps[0], steps[-1], len(steps)) for said, steps in told] == [
        ("fit 20", 20, 20, 1), ("imagine 12 x 2", 20, 20, 1),
        ("update 0.25", 24, 35, 24), ("fit 35", 35, 35, 1), ("imagine 12 x 2", 35, 35, 1),
        ("update 0.25", 36, 50, 30), ("fit 50", 50, 50, 1), ("imagine 12 x 3", 50, 50, 1),
        ("update 0.5", 51, 65, 30), ("fit 65", 65, 65, 1), ("imagine 12 x 3", 65, 65, 1),
        ("update 0.5", 66, 80, 30), ("imagine 12 x 4", 80, 80, 1),
        ("update 0.75", 81, 95, 30), ("imagine 12 x 4", 95, 95, 1),
        ("update 0.75", 96, 110, 30), ("imagine 12 x 4", 110, 110, 1)]
    assert rows == [24, 48, 84, 120, 168, 192, 192]  # of two epochs, each of two refreshes


def test_a_model_is_fitted_to_what_was_seen_to_come_of_a_step():
    """Where the next episode begins within the instant in which one ends, nobody sees how it ended."""
    log = []
    body = {"body.params": {"restart": "at_once", "stop_when_solved": True, "radius": 0.8, "max_steps": 0}}
    with assembly().set(body).build() as loop:
        learner = spied(loop, log)
        loop.run("20 steps")
        reached = learner.buffer.columns["reached"][:20]
        assert 0 < int(reached.sum()) < 20
        assert log[0] == (20, f"fit {int(reached.sum())}")


@pytest.mark.parametrize("fresh", [False, True])
def test_noise_is_drawn_for_an_epoch_or_for_each_refresh(fresh, monkeypatch):
    drawn, before = [], Planner._normal

    def noise(self, *given):
        drawn.append(before(self, *given))
        return drawn[-1]

    monkeypatch.setattr(Planner, "_normal", noise)
    with assembly(**{**COMPAT, "fresh_noise": fresh, "rollout_schedule": [0, 1, 2, 2]}).build() as loop:
        loop.run("70 steps")
    assert len(drawn) == 4  # after steps 20 and 35, of epoch 0, and 50 and 65, of the next
    alike = [torch.equal(drawn[i], drawn[j]) for i, j in ((0, 1), (2, 3), (0, 2))]
    assert alike == ([False] * 3 if fresh else [True, True, False])


def test_a_horizon_may_be_judged_by_the_slow_critics_on_what_the_policy_would_do():
    with assembly(horizon_value="q").build() as loop:
        loop.run("60 steps")
        learner = loop.components["learner"]
        seen = learner.buffer.columns["observation"][:50]
        with torch.no_grad():
            done = loop.components["brain"].respond({"observation": seen})[0]["action"]
            assert torch.equal(learner._worth(seen), learner.core.target.value(seen, done).amin(0))
            assert not torch.allclose(learner._worth(seen), loop.components["critic"].value(seen, done).amin(0),
                                      atol=1e-3)
