"""The ensemble of dynamics is its members one by one: what they say, their gradients, and what a row is assigned to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.parts.assignment import Groups, at_random, balanced
from stimloop.components.parts.dynamics_ensemble import DynamicsEnsemble, through_stack
from stimloop.loops.errors import RunError

torch = pytest.importorskip("torch")
MEMBERS, INPUTS, OUTPUTS, HIDDEN = 7, 5, 3, [20, 16]


def ensemble() -> DynamicsEnsemble:
    net, rng = DynamicsEnsemble(INPUTS, OUTPUTS, HIDDEN, MEMBERS, 5, seed=3), np.random.default_rng(0)
    for name, array in net.arrays.items():
        if name.endswith("bias"):
            array[...] = rng.normal(size=array.shape)
    net.set({"scaler/mean": rng.normal(size=INPUTS), "scaler/deviation": rng.uniform(0.5, 2, INPUTS)})
    net.set({"bounds/most": np.float32([0.5, 0.3, 0.1]), "bounds/least": np.float32([-2.0, -1.0, -0.5])})
    return net


def singles(net: DynamicsEnsemble) -> list[torch.nn.Module]:
    """Return each member as a plain torch network that knows nothing of the others."""
    found = []
    for member in range(MEMBERS):
        parts: list[torch.nn.Module] = []
        for name in net.layers:
            weight = torch.from_numpy(net.arrays[f"{name}/weight"][member].copy())
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight.data, layer.bias.data = weight, torch.from_numpy(net.arrays[f"{name}/bias"][member].copy())
            parts += [layer, torch.nn.SiLU()]
        found.append(torch.nn.Sequential(*parts[:-1]))
    return found


def plain(net: DynamicsEnsemble, single: torch.nn.Module, values: torch.Tensor, most: torch.Tensor,
          least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-variance by the equations of the specification, written once more."""
    mean, deviation = (torch.from_numpy(net.arrays[f"scaler/{name}"]) for name in ("mean", "deviation"))
    raw = single((values - mean) / deviation)
    held = most - torch.nn.functional.softplus(most - raw[:, OUTPUTS:])
    return raw[:, :OUTPUTS], least + torch.nn.functional.softplus(held - least)


def close(mine, theirs) -> None:
    mine, theirs = (each.detach() for each in (mine, theirs))
    assert float((mine - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("own", [False, True])
def test_it_is_a_loop_of_single_networks(own):
    net = ensemble()
    torch.manual_seed(0)
    values = torch.randn((MEMBERS, 9, INPUTS) if own else (9, INPUTS), requires_grad=True)
    mine = net.forward(values)
    other = values.detach().clone().requires_grad_()
    bounds = [torch.from_numpy(net.arrays[f"bounds/{name}"].copy()).requires_grad_() for name in ("most", "least")]
    loop = singles(net)
    theirs = [torch.stack(part) for part in zip(*[
        plain(net, single, other[i] if own else other, *bounds) for i, single in enumerate(loop)], strict=True)]
    for found in zip(mine, theirs, strict=True):
        close(*found)
    for mean, variance in (mine, theirs):
        (mean.square().sum() + variance.cos().sum()).backward()
    close(values.grad, other.grad)
    parameters = net.parameters()
    for name, bound in zip(("most", "least"), bounds, strict=True):
        close(parameters[f"bounds/{name}"].grad, bound.grad)
    for depth, name in enumerate(net.layers):
        for part in ("weight", "bias"):
            close(parameters[f"{name}/{part}"].grad,
                  torch.stack([getattr(single[2 * depth], part).grad for single in loop]))


def test_numpy_says_what_torch_says_and_rows_do_not_know_each_other():
    net, values = ensemble(), np.random.default_rng(0).normal(size=(9, INPUTS)).astype(np.float32)
    for mine, theirs in zip(net.forward(values), net.forward(torch.from_numpy(values)), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-5)
    member = np.array([6, 0, 0, 3, 2, 6, 1, 5, 4])
    alone = [net.assigned(values[i:i + 1], member[i:i + 1]) for i in range(9)]
    for part, whole in enumerate(net.assigned(values, member)):
        np.testing.assert_array_equal(whole, np.concatenate([each[part] for each in alone]))


@pytest.mark.parametrize("member", [[6, 0, 0, 3, 2, 6, 1, 5, 4], [0, 0, 2, 2, 2, 2, 3, 5, 5], [4] * 9])
@pytest.mark.parametrize("grouped", [False, True])
def test_an_assigned_row_is_that_row_of_that_member(member, grouped):
    net, chosen = ensemble(), torch.tensor(member)
    torch.manual_seed(0)
    values, other = torch.randn(9, INPUTS, requires_grad=True), None
    mine = net.assigned(values, Groups(chosen, MEMBERS) if grouped else chosen)
    other = values.detach().clone().requires_grad_()
    theirs = [said[chosen, torch.arange(9)] for said in net.forward(other)]
    found = []
    for (mean, variance), asked in ((mine, values), (theirs, other)):
        loss = mean.square().sum() + variance.cos().sum()
        found.append([mean, variance, *torch.autograd.grad(loss, [asked, *net.parameters().values()])])
    for pair in zip(*found, strict=True):
        close(*pair)
    with torch.no_grad():
        for pair in zip(net.assigned(values, chosen), mine, strict=True):
            close(*pair)


def test_what_a_gpu_does_is_what_a_processor_does():
    """The products of all members together, as a GPU takes them, asked for on the processor."""
    net, member = ensemble(), torch.tensor([6, 0, 0, 3, 2, 6, 1, 5, 4])
    torch.manual_seed(0)
    values = torch.randn(9, INPUTS)
    arrays = net._arrays_beside(values)
    scaled = net._scaled(values, arrays)
    for mine, theirs in zip(net._said(through_stack(scaled, net._stack(arrays, range(MEMBERS))), arrays),
                            net.forward(values), strict=True):
        close(mine, theirs)
    groups = Groups(member, MEMBERS)
    raw = net._assigned_stack(net._scaled(groups.gather(values), arrays), groups, arrays)
    for mine, theirs in zip(net._said(groups.scatter(raw), arrays), net.assigned(values, member), strict=True):
        close(mine, theirs)


def test_gradients_of_gradients_reach_the_inputs():
    net = ensemble()
    values = torch.randn(4, INPUTS, requires_grad=True)
    first, = torch.autograd.grad(net.assigned(values, torch.tensor([1, 0, 1, 2]))[0].sum(), values, create_graph=True)
    second, = torch.autograd.grad(first.square().sum(), values)
    assert (second != 0).any()


def test_many_rows_without_gradients_are_what_they_are_with_them():
    net = ensemble()
    values, member = torch.randn(5000, INPUTS), torch.randint(MEMBERS, (5000,))
    with torch.no_grad():
        mine = net.assigned(values, member)
    for pair in zip(mine, net.assigned(values, member), strict=True):
        close(*pair)
    assert not mine[0].requires_grad


def test_some_members_may_be_asked_alone_and_none_of_no_rows():
    net, values = ensemble(), torch.randn(4, INPUTS)
    for mine, theirs in zip(net.forward(values, [5, 2]), net.forward(values), strict=True):
        close(mine, theirs[[5, 2]])
    for kind in (np.zeros((0, INPUTS), np.float32), torch.zeros(0, INPUTS)):
        member = np.zeros(0, int) if isinstance(kind, np.ndarray) else torch.zeros(0, dtype=torch.int64)
        assert net.assigned(kind, member)[0].shape == (0, OUTPUTS)


def test_log_variances_stay_within_their_bounds():
    net = ensemble()
    for shift in (-1e4, 1e4):
        net.arrays["out/bias"][:, OUTPUTS:] = shift
        _, variance = net.forward(np.zeros((1, INPUTS), np.float32))
        wanted = net.arrays["bounds/least" if shift < 0 else "bounds/most"]
        # softplus leaves a little beside the bound: exactly log(1 + exp(-(most - least))) beyond the upper one
        gap = np.log1p(np.exp(net.arrays["bounds/least"] - net.arrays["bounds/most"])) if shift > 0 else 0
        np.testing.assert_allclose(variance[:, 0], np.broadcast_to(wanted + gap, (MEMBERS, OUTPUTS)), rtol=1e-4)


def test_weights_begin_as_a_normal_cut_at_two_deviations():
    net = DynamicsEnsemble(100, 4, [200], 7, 5, seed=0)
    weight, bound = net.arrays["layer1/weight"], 2 / (2 * np.sqrt(100))
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.999 * bound
    np.testing.assert_allclose(weight.std(), 0.8796 / (2 * np.sqrt(100)), rtol=0.01)  # of a normal cut at 2
    assert not net.arrays["layer1/bias"].any()
    assert not np.array_equal(weight[0], weight[1])
    np.testing.assert_array_equal(weight, DynamicsEnsemble(100, 4, [200], 7, 5, seed=0).arrays["layer1/weight"])


@given(member=st.lists(st.integers(0, 6), max_size=40), as_tensor=st.booleans())
def test_groups_are_the_rows_of_each_member_and_lead_back(member, as_tensor):
    member = np.array(member, np.int64)
    rows = np.stack([np.arange(len(member)), member], axis=1)
    given_rows, of = (torch.from_numpy(rows), torch.from_numpy(member)) if as_tensor else (rows, member)
    groups = Groups(of, MEMBERS)
    gathered = np.asarray(groups.gather(given_rows))
    assert [number for number, *_ in groups.spans] == sorted(set(member.tolist()))
    for number, first, end in groups.spans:
        np.testing.assert_array_equal(gathered[first:end], rows[member == number])
    np.testing.assert_array_equal(np.asarray(groups.scatter(groups.gather(given_rows))), rows)
    if len(member):
        take, went = groups.padded()
        np.testing.assert_array_equal(gathered[take].reshape(-1, 2)[went], gathered)
        assert take.shape == (len(groups.spans), max(np.bincount(member)))


@pytest.mark.parametrize("generator", ["numpy", "torch"])
def test_members_are_drawn_evenly_or_by_chance(generator):
    def new():
        return np.random.default_rng(0) if generator == "numpy" else torch.Generator().manual_seed(0)

    among = np.array([6, 2, 3, 0, 5])
    even = balanced(1002, among, new())
    assert sorted(Counter(even.tolist()).values()) == [200, 200, 200, 201, 201]
    assert (np.diff(np.asarray(even)) != 0).mean() > 0.7
    by_chance = np.asarray(at_random(20_000, among, new()))
    counts = Counter(by_chance.tolist())
    assert set(counts) == set(among.tolist())
    assert all(abs(count - 4000) < 5 * np.sqrt(20_000 * 0.2 * 0.8) for count in counts.values())
    assert sorted(counts.values())[0] != 4000


def test_what_is_assigned_wrongly_is_told():
    net = ensemble()
    with pytest.raises(RunError, match="member 7, and there are 7"):
        net.assigned(torch.zeros(2, INPUTS), torch.tensor([0, 7]))
    with pytest.raises(RunError, match="3 rows for 2 assigned members"):
        net.assigned(torch.zeros(3, INPUTS), torch.tensor([0, 1]))
