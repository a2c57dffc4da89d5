"""A model's memory of what was done: against torch's own, tick by tick and all at once, and what it is fitted to."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fitting a memory needs torch")

from stimloop.components.parts.histories import Histories, stretches  # noqa: E402
from stimloop.components.parts.lstm import ticks  # noqa: E402
from stimloop.components.parts.remembering import RememberingEnsemble  # noqa: E402

BATCH, TIME, SEEN, KEPT, CELLS, MEMBERS = 3, 6, 2, 2, 5, 2
RNG = np.random.default_rng(0)


def ensemble(members=MEMBERS):
    return RememberingEnsemble(SEEN + KEPT, KEPT, [7], 1, "relu", CELLS, list(range(members)))


def rows(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def s_lstm(network, member):
    """Return torch's own layer with the weights of a member."""
    known, own = network.arrays, torch.nn.LSTM(KEPT, CELLS)
    for name, value in (("weight_ih_l0", known["memory/heard"]), ("weight_hh_l0", known["memory/said"]),
                        ("bias_ih_l0", known["memory/bias"])):
        getattr(own, name).data = torch.from_numpy(value[member].copy())
    own.bias_hh_l0.data.zero_()
    return own


def test_all_ticks_and_their_gradients_are_those_of_torch():
    network, heard = ensemble(), torch.from_numpy(rows(TIME, BATCH, KEPT))
    before = [torch.from_numpy(rows(MEMBERS, BATCH, CELLS)).requires_grad_() for _ in range(2)]
    weights = {name: torch.from_numpy(network.arrays[f"memory/{name}"].copy()).requires_grad_()
               for name in ("heard", "said", "bias")}
    driven = torch.einsum("tbk,mgk->tmbg", heard, weights["heard"]) + weights["bias"][:, None]
    said, above = ticks(driven, weights["said"], *before), torch.from_numpy(rows(TIME, MEMBERS, BATCH, CELLS))
    (said * above).sum().backward()
    for member in range(MEMBERS):
        own, start = s_lstm(network, member), [each[member][None].detach().clone().requires_grad_() for each in before]
        told, _ = own(heard, tuple(start))
        (told * above[:, member]).sum().backward()
        torch.testing.assert_close(said[:, member], told, rtol=0, atol=1e-6)
        for mine, theirs in ((weights["heard"], own.weight_ih_l0), (weights["said"], own.weight_hh_l0),
                             (weights["bias"], own.bias_ih_l0)):
            torch.testing.assert_close(mine.grad[member], theirs.grad, rtol=1e-4, atol=1e-5)
        for mine, theirs in zip(before, start, strict=True):
            torch.testing.assert_close(mine.grad[member], theirs.grad[0], rtol=1e-4, atol=1e-5)


def test_a_sequence_is_said_as_tick_by_tick_by_arrays_and_by_tensors():
    network, values = ensemble(), rows(BATCH, TIME, SEEN + KEPT)
    whole = network.sequence(torch.from_numpy(values)).detach().numpy()  # [members, batch, time, 1]
    before = network.memories(torch.from_numpy(values))
    for kind in (np.asarray, torch.from_numpy):
        memory = None
        for time in range(TIME):
            if time:
                for name in ("said", "cell"):
                    np.testing.assert_allclose(np.asarray(memory[name].detach() if kind is not np.asarray
                                                          else memory[name]), before[name][:, time].detach(), atol=1e-6)
            told, memory = network.answer(kind(values[:, time]), memory)
            np.testing.assert_allclose(np.asarray(told.detach() if kind is not np.asarray else told),
                                       whole[:, :, time], atol=1e-6)


def test_a_lane_does_not_change_with_its_neighbours():
    network, values = ensemble(), rows(BATCH, SEEN + KEPT)
    told, after = network.answer(values)
    for lane in range(BATCH):
        alone, own = network.answer(values[lane:lane + 1])
        assert np.array_equal(alone[:, 0], told[:, lane])
        assert all(np.array_equal(own[name][0], after[name][lane]) for name in own)


def test_what_is_prepared_answers_as_the_memory_it_was_made_of():
    network, values = ensemble(), torch.from_numpy(rows(BATCH, SEEN + KEPT))
    memory = {"said": rows(BATCH, MEMBERS, CELLS), "cell": rows(BATCH, MEMBERS, CELLS)}
    for before in (memory, None):
        told = network.forward(values, network.prepared(before, BATCH))
        torch.testing.assert_close(told, network.forward(values, before))


def test_stretches_end_where_an_episode_does_and_never_join_lanes():
    lane = np.array([0, 1, 0, 1, 0, 1, 0])
    follows = np.array([False, False, True, True, False, True, True])  # lane 0 begins anew with row 4
    assert [each.tolist() for each in stretches(lane, follows)] == [[0, 2], [4, 6], [1, 3, 5]]


class Counts:
    """Remembers how many rows of its episode it has heard; misses by the target plus that number."""

    def memories(self, input):
        time = torch.arange(input.shape[1], dtype=torch.float32).expand(input.shape[:2])
        return {"count": time[..., None]}

    def sequence_loss(self, input, target, memory):
        time = torch.arange(input.shape[1], dtype=torch.float32)
        return target[..., 0] + memory["count"] + time


def test_pieces_begin_with_what_was_remembered_and_every_row_is_judged_once():
    """Two lanes of 5 and 2 rows, cut after 3: the row that is the n-th of its episode is judged as the n-th."""
    lane = np.array([0, 1, 0, 1, 0, 0, 0])
    follows = np.array([False, False, True, True, True, True, True])
    target = 100.0 * torch.arange(7)[:, None]
    lived = Histories(Counts(), torch.zeros(7, 1), target, lane, follows, 3)
    assert len(lived) == 3
    told = sorted(lived.loss(torch.arange(3)).tolist())
    assert told == [0, 100, 201, 301, 402, 503, 604]
