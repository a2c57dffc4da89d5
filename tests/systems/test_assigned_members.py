"""Which member of a model an imagined step is asked of, as it is written in an assembly."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

from .imagining import assembly, mbpo, same, weights  # noqa: E402


def asked(made):
    """Run, and return how often each of three elites was asked by each step of imagined lives [steps, members]."""
    counts = []
    with made.set("model.params.elites", 3).build() as loop:
        model = loop.components["model"]
        predict = model.predict

        def spied(input, generator=None, member=None):
            counts.append(np.bincount(member, minlength=3))
            return predict(input, generator, member)

        model.predict = spied
        loop.run("60 steps")
    return np.array(counts)


@pytest.mark.parametrize("kind", ["mbpo", "mopac"])
def test_steps_fall_to_members_by_chance_or_evenly(kind):
    """12 lives at once (MoPAC: of 6 variants each while it plans) share 3 elites."""
    made = {"mbpo": mbpo, "mopac": assembly}[kind]
    even, by_chance = asked(made().set("learner.params.assign", "balanced")), asked(made())
    assert even.shape == by_chance.shape
    assert (even.sum(axis=1) == by_chance.sum(axis=1)).all()
    assert (even.max(axis=1) == even.min(axis=1)).all()
    assert (by_chance.max(axis=1) > by_chance.min(axis=1)).any()


def test_evenly_assigned_it_goes_on_exactly():
    names = ("brain", "critic", "model")
    made = mbpo().set("learner.params.assign", "balanced")
    with made.build() as whole, made.build() as first, made.build() as second:
        whole.run("70 steps")
        first.run("40 steps")
        second.load(first.save())
        second.run("70 steps")
        assert same(weights(whole, names), weights(second, names))
