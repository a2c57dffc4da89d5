"""Fitting an ensemble: slopes by hand are autograd's, the loss is its equation, a call goes as its sources say."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stimloop.components.parts import ensemble_fit  # noqa: E402
from stimloop.components.parts.dynamics_ensemble import DynamicsEnsemble  # noqa: E402
from stimloop.components.parts.ensemble_fit import DECAYS, Best, EnsembleFit, spread  # noqa: E402
from stimloop.components.parts.ensemble_slopes import PULL, Slopes  # noqa: E402
from stimloop.loops.errors import Diverged, RunError  # noqa: E402

INPUTS, OUTPUTS = 4, 3


def ensemble(hidden=(16, 12), members=7, elites=5, seed=0) -> DynamicsEnsemble:
    return DynamicsEnsemble(INPUTS, OUTPUTS, hidden, members, elites, seed)


def rows(count=200, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, INPUTS)).astype(np.float32)
    mixing = rng.normal(size=(INPUTS, OUTPUTS))
    return inputs, (inputs @ mixing + 0.1 * rng.normal(size=(count, OUTPUTS))).astype(np.float32)


def generator(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slopes_of(net: DynamicsEnsemble, count: int) -> Slopes:
    arrays = {name: torch.from_numpy(array) for name, array in net.arrays.items()}
    return Slopes([arrays[f"{name}/weight"] for name in net.layers], [arrays[f"{name}/bias"] for name in net.layers],
                  arrays["bounds/most"], arrays["bounds/least"], count)


def in_double(net: DynamicsEnsemble, inputs: torch.Tensor, targets: torch.Tensor):
    """Return the loss of each member and the parameters: the specification's equations under plain autograd.

    In double precision, because single precision rounds what reaches the lower bound by more than a thousandth.
    """
    given = {name: torch.from_numpy(array).double().requires_grad_() for name, array in net.arrays.items()
             if name.split("/")[0] in (*net.layers, "bounds")}
    values = (inputs.double() - torch.from_numpy(net.arrays["scaler/mean"])) / torch.from_numpy(
        net.arrays["scaler/deviation"])
    for name in net.layers:
        values = torch.einsum("mbi,moi->mbo", values, given[f"{name}/weight"]) + given[f"{name}/bias"][:, None]
        values = values * values.sigmoid() if name != "out" else values
    most, least = given["bounds/most"], given["bounds/least"]
    variance = most - torch.log1p(torch.exp(most - values[..., OUTPUTS:]))
    variance = least + torch.log1p(torch.exp(variance - least))
    losses = ((values[..., :OUTPUTS] - targets) ** 2 * torch.exp(-variance) + variance).mean((1, 2))
    pull = PULL * (most.sum() - least.sum())
    return losses, pull, given


@pytest.mark.parametrize("hidden", [(), (16,), (16, 12), (200,) * 4])
def test_slopes_by_hand_are_those_of_autograd(hidden):
    net, rng = ensemble(hidden), np.random.default_rng(0)
    for name in ("bounds/most", "bounds/least"):  # where both bounds bite
        net.arrays[name][...] = rng.normal(0.5 if name.endswith("most") else -0.5, 0.1, OUTPUTS)
    inputs, targets = (torch.from_numpy(each) for each in rows())
    chosen = torch.randint(len(inputs), (7, 32), generator=generator())
    slopes = slopes_of(net, 32)
    slopes.take(inputs, targets, chosen)
    mine = slopes.compute()
    losses, pull, given = in_double(net, inputs[chosen], targets[chosen])
    named = [*(f"{name}/{part}" for part in ("weight", "bias") for name in net.layers), "bounds/most", "bounds/least"]
    theirs = torch.autograd.grad(losses.sum() + pull, [given[name] for name in named])
    for name, ours, other in zip(named, mine, theirs, strict=True):
        assert float((ours - other).abs().max()) <= 1e-5 * float(other.abs().max()), name
    torch.testing.assert_close(slopes.losses().double(), losses.detach(), rtol=1e-5, atol=0)


def test_the_loss_is_its_equation_worked_out_by_hand():
    """One layer, one member, one number: mean 2, target 5, raw log-variance 1, bounds 3 and -1."""
    net = DynamicsEnsemble(1, 1, (), 1, 1, seed=0)
    net.set({"out/weight": np.zeros((1, 2, 1)), "out/bias": np.array([[2.0, 1.0]]),
             "bounds/most": np.array([3.0]), "bounds/least": np.array([-1.0])})
    slopes = slopes_of(net, 1)
    slopes.take(torch.ones(1, 1), torch.full((1, 1), 5.0), torch.zeros(1, 1, dtype=torch.int64))
    of_weight, of_bias, of_most, of_least = slopes.compute()
    held = 3 - np.log1p(np.exp(2.0))  # 0.873072
    variance = -1 + np.log1p(np.exp(held + 1))  # 1.016004
    np.testing.assert_allclose((held, variance), (0.873072, 1.016004), atol=1e-6)
    np.testing.assert_allclose(slopes.losses(), 9 * np.exp(-variance) + variance, rtol=1e-6)
    np.testing.assert_allclose(slopes.losses(), 4.274355, atol=2e-6)
    by_variance, upper, lower = 1 - 9 * np.exp(-variance), 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-(held + 1)))
    wanted = [2 * -3 * np.exp(-variance), by_variance * lower * upper]
    np.testing.assert_allclose(of_bias[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(of_weight[0, :, 0], wanted, rtol=1e-5)
    np.testing.assert_allclose(of_most, by_variance * lower * (1 - upper) + 0.01, rtol=1e-5)
    np.testing.assert_allclose(of_least, by_variance * (1 - lower) - 0.01, rtol=1e-5)


def test_a_fit_of_one_minibatch_is_one_step_of_adam_on_the_whole_loss():
    """Decays, pull, bootstraps and Adam together, against torch's own, written once more."""
    net = ensemble((8, 8, 8, 8))
    twin, (inputs, targets) = deepcopy(net), rows(20)
    fit = EnsembleFit(net)
    assert fit.fit(inputs, targets, generator(), max_seconds=0).steps == 1
    draws = generator()
    order = torch.randperm(20, generator=draws)
    given, wanted = torch.from_numpy(inputs), torch.from_numpy(targets)
    learned = order[4:]
    drawn = torch.randint(16, (7, 16), generator=draws)
    mean, deviation = given[learned].double().mean(0), given[learned].double().std(0, correction=0)
    twin.set({"scaler/mean": mean.numpy(), "scaler/deviation": deviation.numpy()})
    losses, pull, parameters = in_double(twin, given[learned][drawn], wanted[learned][drawn])
    weights = [parameters[f"{name}/weight"] for name in twin.layers]
    decay = sum(decay / 2 * weight.square().sum() for decay, weight in zip(DECAYS, weights, strict=True))
    theirs = torch.autograd.grad(losses.sum() + decay + pull, [parameters[name] for name in fit._names])
    for i, (slope, name) in enumerate(zip(theirs, fit._names, strict=True)):
        kept = torch.from_numpy(fit.state_dict()["optimiser"][str(i)]["exp_avg"])  # a tenth of the slope
        assert float((kept - 0.1 * slope).abs().max()) <= 1e-5 * float(0.1 * slope.abs().max())
        stepped = parameters[name].detach() - 1e-3 * slope / (slope.abs() + 1e-8)  # Adam's first step
        torch.testing.assert_close(torch.from_numpy(net.arrays[name]).double(), stepped, atol=1e-6, rtol=1e-4)


def curves(monkeypatch, script):
    """Let a fit see scripted hold-out errors [passes, members], then those of the weights that were restored."""
    net = ensemble((8,), members=len(script[0]), elites=2)
    fit, seen, weights = EnsembleFit(net), iter(script), []

    def errors(inputs, targets):
        weights.append(net.arrays["layer1/weight"].copy())
        return np.array(next(seen), float)

    monkeypatch.setattr(fit, "_errors", errors)
    return net, fit, weights


def test_it_stops_when_more_than_five_passes_improve_no_member_and_keeps_each_members_best(monkeypatch):
    script = [[9, 9, 9],        # 1: everybody's first
              [8, 9.5, 8.95],   # 2: only member 0 (8.95 is less than a hundredth below 9)
              [8, 8, 8.92],     # 3: member 1 (8.92 neither, though it fell twice)
              [7.93, 8, 8.9],   # 4: member 2 by 1.1 %; member 0 not (0.9 %)
              *[[7.93, 7.93, 8.82]] * 6,  # 5 to 10: nobody
              [6, 5, 4]]        # what is said of the weights restored
    net, fit, weights = curves(monkeypatch, script)
    report = fit.fit(*rows(), generator())
    assert (report.passes, report.stopped) == (10, "patience")
    best = [2, 3, 4]  # the passes at which the members were best
    for member, number in enumerate(best):
        np.testing.assert_array_equal(net.arrays["layer1/weight"][member], weights[number - 1][member])
        assert not np.array_equal(weights[number - 1][member], weights[9][member])
    np.testing.assert_array_equal(weights[10], net.arrays["layer1/weight"])  # judged again once restored
    assert report.elites.tolist() == [2, 1] == net.elites.tolist()
    assert report.val_loss == 4.5
    assert report.holdout.tolist() == [6, 5, 4] == net.arrays["holdout"].tolist()


def test_five_passes_without_improvement_are_put_up_with(monkeypatch):
    script = [[9, 9], *[[9, 9]] * 5, [8, 9], *[[8, 9]] * 6, [1, 2]]
    _, fit, _ = curves(monkeypatch, script)
    assert fit.fit(*rows(), generator()).passes == 13


def test_time_ends_a_fit_after_the_pass_in_which_it_ran_out(monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(ensemble_fit, "perf_counter", lambda: next(clock))
    net = ensemble((8,))
    report = EnsembleFit(net).fit(*rows(), generator(), max_seconds=2.5)
    assert (report.passes, report.stopped) == (3, "time")


def test_passes_steps_and_holdout_are_counted_as_the_sources_count_them(monkeypatch):
    net, taken, take = ensemble((8,)), [], Slopes.take
    monkeypatch.setattr(Slopes, "take", lambda self, x, y, chosen: (taken.append(chosen.clone()),
                                                                     take(self, x, y, chosen))[1])
    report = EnsembleFit(net, batch_size=64).fit(*rows(210), generator())
    assert report.steps == len(taken) == 3 * report.passes  # 168 rows: 64, 64 and 40
    assert [chosen.shape[1] for chosen in taken[:3]] == [64, 64, 40]
    passes = [torch.cat(taken[i:i + 3], 1) for i in range(0, len(taken), 3)]
    for later in passes[1:3]:  # the same draws of each member, in another order
        assert torch.equal(later.sort(1).values, passes[0].sort(1).values)
        assert not torch.equal(later, passes[0])
    assert passes[0].max() < 168
    for member in passes[0]:  # with replacement: about 1 - 1/e of the rows
        assert 0.5 < len(member.unique()) / 168 < 0.75
    assert not torch.equal(passes[0][0].sort().values, passes[0][1].sort().values)


def test_no_more_than_the_most_are_held_out():
    fit = EnsembleFit(ensemble((8,)))
    assert [len(part) for part in fit._split(30_000, generator())] == [5000, 25_000]
    assert [len(part) for part in fit._split(99, generator())] == [19, 80]
    both = torch.cat(fit._split(99, generator())).sort().values
    assert torch.equal(both, torch.arange(99))


def test_inputs_come_to_one_scale_by_what_is_learned_from():
    net, (inputs, targets) = ensemble((8,)), rows()
    inputs = inputs * [1, 100, 1, 0] + [0, 1000, 0, 3]
    EnsembleFit(net, patience=0).fit(inputs, targets, generator())
    order = torch.randperm(200, generator=generator())[40:]
    np.testing.assert_allclose(net.arrays["scaler/mean"], inputs[order].mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(net.arrays["scaler/deviation"], [*inputs[order].std(0)[:3], 1], rtol=1e-5)


def test_it_learns():
    net, (inputs, targets) = ensemble(), rows(1000)
    report = EnsembleFit(net).fit(inputs, targets, generator())
    assert report.val_loss < 0.02  # the noise is 0.01
    assert report.holdout[report.elites].max() <= np.delete(report.holdout, report.elites).min()
    _, variance = net.forward(torch.from_numpy(inputs))
    assert 0.07 < float(variance.detach().exp().mean().sqrt()) < 0.14


def test_the_same_generator_gives_the_same_fit_and_another_another():
    found = []
    for seed in (0, 0, 1):
        net = ensemble()
        report = EnsembleFit(net, patience=1).fit(*rows(), generator(seed))
        found.append((net.arrays["out/weight"], report.passes))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert not np.array_equal(found[0][0], found[2][0])


def test_a_fit_goes_on_from_what_was_saved_as_if_nothing_had_happened():
    whole = ensemble()
    fit, draws = EnsembleFit(whole, patience=1), generator()
    fit.fit(*rows(150), draws)
    saved = ({name: array.copy() for name, array in whole.arrays.items()}, fit.state_dict(), draws.get_state())
    fit.fit(*rows(210, seed=1), draws)
    other = ensemble(seed=9)
    again, later = EnsembleFit(other, patience=1), torch.Generator()
    again.fit(*rows(90, seed=3), generator(5))  # a life of its own, of which nothing may be left
    other.set(saved[0])
    again.load_state_dict(saved[1])
    later.set_state(saved[2])
    again.fit(*rows(210, seed=1), later)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)
    cold = ensemble(seed=9)
    cold.set(saved[0])
    later.set_state(saved[2])
    EnsembleFit(cold, patience=1).fit(*rows(210, seed=1), later)  # without the moments it is another
    assert not np.array_equal(cold.arrays["out/weight"], whole.arrays["out/weight"])


def test_what_acts_learns_too_and_arrays_given_are_not_written():
    net, (inputs, targets) = ensemble(), rows()
    parameters, before = net.parameters(), (inputs.copy(), targets.copy())
    for array in (inputs, targets):
        array.setflags(write=False)
    EnsembleFit(net, patience=0).fit(inputs, targets, generator())
    np.testing.assert_array_equal(parameters["out/weight"].detach().numpy(), net.arrays["out/weight"])
    said = net.forward(torch.from_numpy(inputs.copy()))[0].detach().numpy()
    np.testing.assert_allclose(net.forward(inputs)[0], said, atol=1e-5)
    np.testing.assert_array_equal(inputs, before[0])
    np.testing.assert_array_equal(targets, before[1])


def test_rows_that_teach_nothing_are_refused_by_name():
    fit, (inputs, targets) = EnsembleFit(ensemble()), rows()
    with pytest.raises(RunError, match="4 rows are too few"):
        fit.fit(inputs[:4], targets[:4], generator())
    with pytest.raises(RunError, match=r"inputs \[rows, 4\] and targets \[rows, 3\], and was given"):
        fit.fit(targets, inputs, generator())
    inputs[7, 2], inputs[9, 0] = np.nan, np.inf
    with pytest.raises(Diverged, match=r"2 of 200 rows (.|\n)*inputs, columns \[0, 2\], the first in row 7"):
        fit.fit(inputs, targets, generator())
    with pytest.raises(RunError, match="2 weight decays for 3 layers"):
        EnsembleFit(ensemble(), decays=[0.1, 0.1])


@pytest.mark.parametrize("targets", [1e25, 1e7])
def test_a_fit_that_diverges_says_so(targets):
    """Errors beyond what numbers can say, and those that no pass brings below the first best, 1e10."""
    net, (inputs, _) = ensemble(), rows()
    before = net.arrays["out/weight"].copy()
    with pytest.raises(Diverged, match=r"hold-out error of member 0 .*learning_rate"):
        EnsembleFit(net).fit(inputs, np.full((200, OUTPUTS), targets, np.float32), generator())
    np.testing.assert_array_equal(net.arrays["out/weight"], before)
    with pytest.raises(Diverged, match="has diverged in pass 1, step"):
        EnsembleFit(ensemble(), learning_rate=1e30).fit(*rows(), generator())


def test_decays_are_spread_over_other_depths():
    assert spread(5) == pytest.approx(DECAYS)
    assert spread(2) == pytest.approx([DECAYS[0], DECAYS[-1]])
    assert all(low <= high for low, high in zip(spread(9), spread(9)[1:], strict=False))


def test_the_best_is_kept_by_the_member():
    tensor = torch.zeros(3, 2)
    best = Best([tensor], 0.01, 1)
    for value, errors in enumerate([[3, 3, 3], [2, 4, 3], [3, 2.9999, 1], [3, 3, 3]], 1):
        tensor.fill_(value)
        best.take(np.array(errors, float))
    assert not best.over
    best.take(np.array([3.0, 3.0, 3.0]))
    assert best.over
    best.restore()
    assert tensor[:, 0].tolist() == [2, 1, 3]
    assert best.errors.tolist() == [2, 3, 1]
