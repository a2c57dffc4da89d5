"""The modular recurrent network: its anatomy, one tick by hand, sequences, and what training may not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.parts import modular_network
from stimloop.components.parts.courses import Course
from stimloop.components.parts.modular_network import NEIGHBOURS, REGIONS, ModularNetwork

HEADS = {"mean": 6, "log_deviation": 6}
RECURRENT = ("recurrent/", "input/", "hold/", "start/", "summary/")


def network(inputs=9, sizes=(100, 100, 100), heads=HEADS, seed=3, **params):
    return ModularNetwork(inputs, sizes, heads, seed, **params)


def small(**params):
    return network(5, (6, 5, 4), {"mean": 2, "log_deviation": 2},
                   **{"density": 0.5, "summary": 8, "hidden": [8], **params})


def block(net, array, target, source):
    return array[np.ix_(net.regions[target], net.regions[source])]


@pytest.mark.parametrize(("inputs", "actions", "recurrent", "head"),
                         [(9, 6, 119_456, None), (115, 39, 151_256, 151_630)])
def test_it_has_as_many_parameters_as_the_original_s(inputs, actions, recurrent, head):
    net = network(inputs, heads={"mean": actions, "log_deviation": actions})
    sizes = {name: array.size for name, array in net.arrays.items() if not name.startswith("anatomy/")}
    assert sum(size for name, size in sizes.items() if name.startswith(RECURRENT)) == recurrent
    if head is not None:
        assert sum(size for name, size in sizes.items() if not name.startswith(RECURRENT)) == head


@pytest.mark.parametrize("anatomy", ["strict", "compat"])
def test_the_count_of_its_numbers_is_known_before_it_is_made(anatomy):
    net = network(7, (6, 5, 4), {"scores": 3}, anatomy=anatomy, summary=8, hidden=[4, 5])
    counted = modular_network.count(7, (6, 5, 4), {"scores": 3}, 8, [4, 5], anatomy)
    assert counted == sum(array.size for array in net.arrays.values())


# Three neurons, worked out by hand from x + 0.1 (-x + J r + I u + b + s): r = (tanh 0.2, 0, tanh 0.6) =
# (0.19737532, 0, 0.53704957), J r = (0.09868766, -0.21918095, -0.13426239), I u + b + s = (0.1, 0.1, 1.3).
BY_HAND = [0.199868766, -0.371918095, 0.656573761]


def three():
    net = network(1, (1, 1, 1), density=1.0, summary=2, hidden=[2])
    net.set({"recurrent/weight": np.array([[0.5, -1, 0], [0.25, 0.5, -0.5], [0, 1, -0.25]], np.float32),
             "recurrent/bias": np.array([0.1, -0.2, 0.3], np.float32),
             "input/weight": np.array([[0], [0], [2]], np.float32), "hold/weight": np.array([1, -1, 2], np.float32),
             "start/state": np.array([0.2, -0.4, 0.6], np.float32)})
    return net


def test_a_tick_is_the_formula_worked_out_by_hand():
    net = three()
    drive = net.drive(np.array([[0.5]], np.float32), None, np.array([[0, 0.3, 0]], np.float32))
    np.testing.assert_allclose(drive, [[0.1, 0.1, 1.3]], atol=1e-6)
    rates, state = net.run(np.zeros((1, 3), np.float32), drive[:, None], None, Course(begins=np.array([[True]])))
    np.testing.assert_allclose(state[0], BY_HAND, atol=1e-6)
    np.testing.assert_allclose(rates[0, 0], np.tanh(np.maximum(BY_HAND, 0)), atol=1e-6)


@pytest.mark.parametrize("alive", [(1, 1, 1), (1, 0, 1), (0, 1, 1)])
def test_many_ticks_are_the_formula_neuron_by_neuron(alive):
    net, rng = three(), np.random.default_rng(0)
    x = [m * start for m, start in zip(alive, (0.2, -0.4, 0.6), strict=True)]
    weight, bias, hold = ((0.5, -1, 0), (0.25, 0.5, -0.5), (0, 1, -0.25)), (0.1, -0.2, 0.3), (1, -1, 2)
    seen, held, current = rng.normal(size=(1, 20, 1)), rng.normal(size=(1, 20)), rng.normal(size=(1, 20, 3))
    drive = net.drive(*(part.reshape(20, -1).astype(np.float32).squeeze() if part is held
                        else part.reshape(20, -1).astype(np.float32) for part in (seen, held, current)))
    begins = np.arange(20)[None] == 0
    rates, _ = net.run(np.ones((1, 3), np.float32), drive[None], np.array(alive, np.float32), Course(begins=begins))
    for tick in range(20):
        r = [np.tanh(max(value, 0)) for value in x]
        x = [alive[i] * (x[i] + 0.1 * (-x[i] + sum(weight[i][j] * r[j] for j in range(3))
                                       + (2 * seen[0, tick, 0] if i == 2 else 0) + bias[i]
                                       + hold[i] * held[0, tick] + current[0, tick, i])) for i in range(3)]
        np.testing.assert_allclose(rates[0, tick], [np.tanh(max(value, 0)) for value in x], atol=1e-6)


@pytest.mark.parametrize("anatomy", ["strict", "compat"])
def test_neighbours_are_joined_by_a_tenth_and_the_ends_not_at_all(anatomy):
    net = network(anatomy=anatomy)
    weight = net.arrays["recurrent/weight"]
    assert weight.shape == (300, 300)
    for target in REGIONS:
        for source in REGIONS:
            part = block(net, weight, target, source)
            wanted = 10_000 if target == source else 1000 if (target, source) in NEIGHBOURS else 0
            assert np.count_nonzero(part) == wanted, (target, source)
            if wanted:
                spread = 0.12 if target == source else 0.1
                assert part[part != 0].std() == pytest.approx(spread, rel=0.08)
    assert len({block(net, weight, *pair).tobytes() for pair in NEIGHBOURS}) == 4  # four draws, not one
    bias = net.arrays["recurrent/bias"]
    assert 0.95 < np.abs(bias).max() <= 1
    assert bias.std() == pytest.approx(3**-0.5, rel=0.1)
    assert not net.arrays["start/state"].any()


def test_the_input_enters_aip_alone_or_all_but_aip_as_published():
    strict, compat = network(115), network(115, anatomy="compat")
    for net, seeing in ((strict, ("AIP",)), (compat, ("M1", "F5"))):
        for name, neurons in net.regions.items():
            rows = net.arrays["input/weight"][neurons.start:neurons.stop]
            assert rows.any() == (name in seeing)
            if name in seeing:
                assert rows.std() == pytest.approx(115**-0.5, rel=0.05)


def trained(net, updates):
    """Make so many updates towards random answers, with a decay of weights besides."""
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.AdamW(net.parameters().values(), lr=1e-2, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(updates):
        seen, wanted = torch.randn(4, 3, 9, generator=generator), torch.randn(12, 6, generator=generator)
        drive = net.drive(seen.reshape(12, 9)).reshape(4, 3, -1)
        rates, _ = net.run(torch.zeros(4, 300), drive, None, Course(begins=np.arange(3)[None].repeat(4, 0) == 0))
        loss = (net.read(rates.reshape(12, -1))["mean"] - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_strict_anatomy_survives_a_hundred_updates():
    net = network()
    before = {name: array.copy() for name, array in net.arrays.items()}
    trained(net, 100)
    weight = net.arrays["recurrent/weight"]
    changed = {name for name in before if (net.arrays[name] != before[name]).any()}
    assert {"recurrent/weight", "recurrent/bias", "input/weight", "start/state", "summary/weight"} <= changed
    assert "anatomy/connections" not in changed
    for target in REGIONS:
        for source in REGIONS:
            share = np.count_nonzero(block(net, weight, target, source)) / 10_000
            assert share == (1 if target == source else 0.1 if (target, source) in NEIGHBOURS else 0)
    assert not net.arrays["input/weight"][:200].any()
    assert (net.arrays["input/weight"][200:] != before["input/weight"][200:]).all()


def test_compat_anatomy_is_dense_after_the_first_updates():
    net = network(anatomy="compat")
    trained(net, 2)
    for pair in (*NEIGHBOURS, ("M1", "AIP"), ("AIP", "M1")):  # all connections from neurons that fired
        assert np.count_nonzero(block(net, net.arrays["recurrent/weight"], *pair)) > 4000, pair
    assert net.arrays["input/weight"][200:].any()


def test_connections_that_are_not_there_carry_nothing_whoever_writes_weights():
    torch = pytest.importorskip("torch")
    net, drive = small(), np.random.default_rng(0).normal(size=(2, 6, 15)).astype(np.float32)
    there = net.arrays["anatomy/connections"]
    net.set({"recurrent/weight": np.ones((15, 15), np.float32)})
    np.testing.assert_array_equal(net.arrays["recurrent/weight"], there)
    plain = net.run(np.ones((2, 15), np.float32), drive)[0]
    with torch.no_grad():  # an optimiser of another kind, that moves every number
        net.parameters()["recurrent/weight"].fill_(1)
    assert (net.arrays["recurrent/weight"] == 1).all()
    np.testing.assert_array_equal(net.run(np.ones((2, 15), np.float32), drive)[0], plain)
    told = net.run(torch.ones(2, 15), torch.from_numpy(drive))[0]
    np.testing.assert_allclose(told.detach().numpy(), plain, atol=1e-6)


def masks(kind, rng):
    return {"none": None, "neurons": (rng.random(15) < 0.6).astype(np.float32),
            "connections": (rng.random((15, 15)) < 0.6).astype(np.float32)}[kind]


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(["none", "neurons", "connections"]), seed=st.integers(0, 1000),
       batch=st.integers(1, 3), time=st.integers(1, 6), told=st.booleans())
def test_a_sequence_is_its_ticks_one_by_one_in_numpy_and_in_torch(kind, seed, batch, time, told):
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(seed)
    net, mask = small(), masks(kind, rng)
    net.set({"start/state": rng.normal(size=15).astype(np.float32)})
    drive, state = (rng.normal(size=(batch, *shape)).astype(np.float32) for shape in ((time, 15), (15,)))
    begins, frozen, injured = (rng.random((batch, time)) < share for share in (0.3, 0.3, 0.5))
    whole = Course(begins, frozen, injured if told else None)
    rates, last = net.run(state, drive, mask, whole)
    now = state
    for tick in range(time):
        one = slice(tick, tick + 1)
        course = Course(begins[:, one], frozen[:, one], injured[:, one] if told else None)
        said, now = net.run(now, drive[:, one], mask, course)
        np.testing.assert_array_equal(said[:, 0], rates[:, tick])
    np.testing.assert_array_equal(now, last)
    theirs, end = net.run(torch.from_numpy(state), torch.from_numpy(drive), mask, whole)
    np.testing.assert_allclose(theirs.detach().numpy(), rates, atol=1e-5)
    np.testing.assert_allclose(end.detach().numpy(), last, atol=1e-5)


def test_what_befalls_it_is_what_it_says():
    net, rng = small(), np.random.default_rng(1)
    net.set({"start/state": rng.normal(size=15).astype(np.float32)})
    drive, state = rng.normal(size=(1, 1, 15)).astype(np.float32), rng.normal(size=(1, 15)).astype(np.float32)
    yes, no = np.array([[True]]), np.array([[False]])
    plain = net.run(state, drive)[1]
    np.testing.assert_array_equal(net.run(state, drive, None, Course(no, no, no))[1], plain)
    np.testing.assert_array_equal(net.run(state, drive, None, Course(frozen=yes))[1], state)
    anew = net.run(net.arrays["start/state"][None], drive)[1]
    np.testing.assert_array_equal(net.run(state, drive, None, Course(begins=yes))[1], anew)
    assert (anew != plain).any()
    for kind in ("neurons", "connections"):
        mask = masks(kind, rng)
        np.testing.assert_array_equal(net.run(state, drive, mask, Course(injured=no))[1], plain)
        ill = net.run(state, drive, mask, Course(injured=yes))[1]
        np.testing.assert_array_equal(ill, net.run(state, drive, mask)[1])
        assert (ill != plain).any()


def gradients(net, drive, truncate, mask=None):
    """Return the gradient of the last rates by what drove each tick."""
    drive, injured = drive.clone().requires_grad_(), np.arange(14).reshape(2, 7) % 2 == 0
    rates, _ = net.run(drive.new_ones(2, 15), drive, mask, Course(injured=injured, truncate=truncate))
    rates[:, -1].square().sum().backward()
    return drive.grad.abs().sum(dim=(0, 2)).numpy()


@pytest.mark.parametrize("kind", ["none", "neurons", "connections"])
def test_a_truncated_gradient_reaches_back_so_far_and_no_further(kind):
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    net, mask, drive = small(), masks(kind, rng), torch.from_numpy(rng.normal(size=(2, 7, 15)).astype(np.float32))
    whole = gradients(net, drive, 0, mask)
    assert (whole > 0).all()
    for truncate, since in ((7, 0), (3, 6), (4, 4), (1, 6)):
        wanted = np.where(np.arange(7) >= since, whole, 0)
        np.testing.assert_allclose(gradients(net, drive, truncate, mask), wanted, rtol=1e-5)


def test_the_gradient_is_the_slope():
    """Finite differences in double precision, through silenced neurons, beginnings and rests."""
    torch = pytest.importorskip("torch")
    net, rng = small(), np.random.default_rng(2)
    net.set({"start/state": rng.normal(size=15).astype(np.float32)})  # at 0 itself a rate has no slope
    for array in net.parameters().values():
        array.data = array.data.double()
    net.gather = lambda: None
    begins, frozen, injured = (rng.random((2, 5)) < share for share in (0.3, 0.3, 0.5))
    names = ["recurrent/weight", "start/state"]
    given_ = [net.parameters()[name] for name in names]
    drive, state = (torch.from_numpy(rng.normal(size=shape)).requires_grad_() for shape in ((2, 5, 15), (2, 15)))
    for kind in ("none", "neurons", "connections"):
        mask = masks(kind, rng)

        def ask(drive, state, *_, mask=mask):
            return net.run(state, drive, mask, Course(begins, frozen, injured))

        assert torch.autograd.gradcheck(ask, (drive, state, *given_), atol=1e-5)


def test_a_larger_gain_of_the_input_draws_the_same_weights_larger():
    plain, loud = (ModularNetwork(4, [6, 5, 4], {"mean": 2}, 0, summary=3, hidden=[5], input_gain=gain)
                   for gain in (1.0, 10.0))
    np.testing.assert_allclose(loud.arrays["input/weight"], 10 * plain.arrays["input/weight"], rtol=1e-5)
    assert all(np.array_equal(loud.arrays[name], plain.arrays[name]) for name in plain.arrays if name != "input/weight")
