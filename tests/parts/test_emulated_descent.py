"""Descending a stimulator through an emulator: known optimum, gradients by finite differences, what stays frozen."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from stimloop.components.coprocessors.network import Network  # noqa: E402
from stimloop.components.parts.emulated_descent import Course, EmulatedDescent  # noqa: E402
from stimloop.components.parts.repeated_passes import RepeatedPasses  # noqa: E402
from stimloop.components.world_models.emulator import Emulator  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402

EPISODES, TIME, SEEN, CHANNELS, ACTIONS = 6, 20, 3, 2, 2
W = np.array([[0.16, 0.04], [-0.06, 0.12]], np.float32)  # a linear brain: a = W s + b
B = np.array([0.1, -0.05], np.float32)
WANTED = np.array([0.3, 0.2], np.float32)


def built(component, sizes):
    for name, size in sizes.items():
        ports = component.inputs if name in component.inputs else component.outputs
        ports[name] = ports[name].sized((size,))
    component.peers_in = {"target": Port("", (ACTIONS,), low=-1, high=1)}
    component.build(Lanes.of(1), 0)
    return component


def coprocessor(memory="lstm"):
    return built(Network(memory=memory, units=6, hidden=[8], amplitude=5), {"observation": SEEN, "command": CHANNELS})


def emulator(memory="none"):
    return built(Emulator(memory=memory, units=6, hidden=[16]), {"observation": SEEN, "condition": CHANNELS,
                                                                 "target": ACTIONS})


def course(seed=0):
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(EPISODES, TIME, SEEN)).astype(np.float32)
    stimulation = rng.uniform(-5, 5, (EPISODES, TIME, CHANNELS)).astype(np.float32)
    action = stimulation @ W.T + B
    return Course(*map(torch.from_numpy, (seen, stimulation, action, np.ones((EPISODES, TIME), np.float32))))


class Expert:
    def respond(self, inputs, memory):
        return {"action": torch.from_numpy(WANTED).expand(len(inputs["observation"]), ACTIONS)}, None


class Quadratic:
    """Q(o, a) = - mean (a - WANTED)^2, of two members of which the first promises less."""

    def value(self, observation, action=None):
        worth = -(action - torch.from_numpy(WANTED)).square().mean(-1)
        return torch.stack([worth, worth + 3])


def weights(part):
    return [parameter.detach().clone() for parameter in part.parameters()]


def equal(one, two):
    return all(map(torch.equal, one, two))


@pytest.mark.parametrize(("memory", "loss", "judge"), [
    ("none", "expert", Expert()), ("lstm", "critic", Quadratic()), ("retanh", "critic", Quadratic())])
def test_of_a_linear_brain_the_learned_stimulation_is_the_optimum(memory, loss, judge):
    """W s + b = a* has one solution, (1.133, 2.65): found to 2 % of the amplitude; both losses have it."""
    parts = {"coprocessor": coprocessor(memory), "emulator": emulator(), loss: judge}
    descent, generator = EmulatedDescent(parts, loss, SEEN, 0.0), torch.Generator().manual_seed(0)
    assert descent.missed(course()).mean().item() > 0.05
    for rate in (1e-2, 1e-3):
        descent.fit_emulator(course(), RepeatedPasses(rate, most=400, tolerance=0.0), generator)
    assert descent.missed(course(1)).mean().item() < 5e-4  # on what it has not seen
    descent.descend(course(), RepeatedPasses(1e-2, most=300, tolerance=float("-inf")), generator)
    command = parts["coprocessor"].sequence(course(1).seen)[0].detach().numpy()
    best = np.linalg.solve(W, WANTED - B)
    np.testing.assert_allclose(command[:, 5:].reshape(-1, CHANNELS).mean(0), best, atol=0.1)
    assert np.abs(command[:, 5:] - best).max() < 0.5


def test_a_squared_command_has_its_price():
    """With a wall that no action matters against, the best command is none."""
    parts = {"coprocessor": coprocessor("none"), "emulator": emulator(), "expert": Expert()}
    descent = EmulatedDescent(parts, "expert", SEEN, 100.0)
    descent.descend(course(), RepeatedPasses(1e-2, most=200, tolerance=float("-inf")), torch.Generator())
    assert parts["coprocessor"].sequence(course(1).seen)[0].abs().max() < 0.2


def test_each_fit_leaves_the_other_s_weights_as_they_are():
    parts = {"coprocessor": coprocessor(), "emulator": emulator("lstm"), "critic": Quadratic()}
    descent, generator = EmulatedDescent(parts, "critic", SEEN, 0.0), torch.Generator()
    before = {name: weights(parts[name]) for name in ("coprocessor", "emulator")}
    descent.descend(course(), RepeatedPasses(1e-2, most=3), generator)
    assert equal(weights(parts["emulator"]), before["emulator"])
    assert not equal(weights(parts["coprocessor"]), before["coprocessor"])
    before = {name: weights(parts[name]) for name in ("coprocessor", "emulator")}
    descent.fit_emulator(course(), RepeatedPasses(1e-2, most=3), generator)
    assert equal(weights(parts["coprocessor"]), before["coprocessor"])
    assert not equal(weights(parts["emulator"]), before["emulator"])


@pytest.mark.parametrize("memory", ["none", "lstm", "retanh"])
def test_gradients_through_the_emulator_are_finite_differences(memory):
    parts = {"coprocessor": coprocessor(memory), "emulator": emulator(memory), "critic": Quadratic()}
    descent, given = EmulatedDescent(parts, "critic", SEEN, 0.01), course()
    mine = list(parts["coprocessor"].parameters())
    slopes = torch.autograd.grad(descent.task_loss(given).mean(), mine)
    rng, step = np.random.default_rng(0), 1e-2
    for parameter, slope in zip(mine, slopes, strict=True):
        along = torch.from_numpy(rng.normal(size=tuple(parameter.shape)).astype(np.float32))
        along = along / along.norm() + 2 * slope / slope.norm()  # not where rounding is all that there is
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * along
                found.append(float(descent.task_loss(given).double().mean()))
                parameter -= sign * step * along
        assert (found[0] - found[1]) / (2 * step) == pytest.approx(float((slope * along).sum()), rel=0.02)
    assert max(float(slope.abs().max()) for slope in slopes) > 1e-3


def test_what_stands_behind_an_end_does_not_count():
    parts = {"coprocessor": coprocessor(), "emulator": emulator("lstm"), "critic": Quadratic()}
    descent, whole = EmulatedDescent(parts, "critic", SEEN, 0.0), course()
    short = Course(whole.seen[:, :7], whole.stimulation[:, :7], whole.action[:, :7], whole.there[:, :7])
    there = whole.there.clone()
    there[:, 7:] = 0
    masked = Course(whole.seen, whole.stimulation, whole.action, there)
    torch.testing.assert_close(descent.missed(masked), descent.missed(short))
    torch.testing.assert_close(descent.task_loss(masked), descent.task_loss(short))
