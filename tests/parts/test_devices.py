"""Networks on another device, and copies that learn there for components that act here."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from parts.second_device import ELSEWHERE, Elsewhere, second_device, waits  # noqa: E402
from stimloop.components.critics.value_mlp import ValueMlp  # noqa: E402
from stimloop.components.parts import devices  # noqa: E402
from stimloop.components.parts.networks import Perceptron  # noqa: E402
from stimloop.loops.errors import AssemblyError, RunError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402

SEEN = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def network() -> Perceptron:
    return Perceptron(3, [8], {"mean": 2}, "tanh", 0, normalise=True)


def value() -> ValueMlp:
    made = ValueMlp(hidden=[8])
    made.inputs["observation"] = made.inputs["observation"].sized((3,))
    made.build(Lanes.of(1), 1)
    return made


def test_a_moved_network_answers_tensors_there_and_arrays_here_alike():
    with second_device():
        net = network()
        net.move(ELSEWHERE)
        there = net.forward(torch.from_numpy(SEEN).to(ELSEWHERE))[0]["mean"]
        assert isinstance(there, Elsewhere)
        np.testing.assert_allclose(there.detach().cpu().numpy(), net.forward(SEEN)[0]["mean"], atol=1e-6)


def test_what_is_learned_there_is_known_here_and_the_reverse():
    with second_device():
        net = network()
        net.move(ELSEWHERE)
        bias = net.parameters()["mean/bias"]
        with torch.no_grad():
            bias.fill_(0.5)
        net.set({"layer1/bias": np.ones(8, np.float32)})  # says nothing of the other, which stays as it was learned
        assert bias.tolist() == [0.5, 0.5]
        assert net.parameters()["layer1/bias"].tolist() == [1.0] * 8
        waits.clear()
        net.gather()
        assert sum(waits.values()) == 1, "all by one copy"
        assert net.arrays["mean/bias"].tolist() == [0.5, 0.5]
        other = deepcopy(net)
        assert other.parameters()["mean/bias"].tolist() == [0.5, 0.5]
        assert other.parameters()["mean/bias"].device == ELSEWHERE
        with torch.no_grad():
            other.parameters()["mean/bias"].fill_(2.0)
        assert bias.tolist() == [0.5, 0.5]


def test_many_tensors_cross_by_one_copy_and_come_back_as_they_were():
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 2), (4,), (), (2, 1, 3))]
    with second_device():
        tensors = [torch.zeros(array.shape, device=ELSEWHERE) for array in arrays]
        devices.send(arrays, tensors)
        for array, found in zip(arrays, devices.fetch(tensors), strict=True):
            assert np.array_equal(array, found)


def test_copies_are_told_before_and_tell_after_also_where_learning_failed():
    known = value()
    with second_device():
        place = devices.Workplace({"value": known}, ELSEWHERE)
        copy, bias = place.parts["value"], known.network.arrays["out/bias"]
        bias[...] = 3

        def learn() -> None:
            with place.learning("value", "state_value"):
                assert copy.network.parameters()["out/bias"].tolist() == [3.0]
                with torch.no_grad():
                    copy.network.parameters()["out/bias"].fill_(4)
                assert bias.tolist() == [3.0], "nobody is told in the middle"
                raise RunError("diverged")

        with pytest.raises(RunError, match="diverged"):
            learn()
        assert bias.tolist() == [4.0]


def test_on_the_processor_they_are_the_components_themselves():
    known = value()
    place = devices.Workplace({"value": known}, torch.device("cpu"))
    assert place.parts["value"] is known
    with place.learning("value"):
        pass


def test_what_cannot_be_moved_is_told():
    class Fixed:
        """A value that somebody wrote without a thought of GPUs."""

        def value(self, observation: Any, action: Any = None) -> Any:
            return observation[:, 0]

    with pytest.raises(AssemblyError, match=r"uses\.value: Fixed learns on the processor only: it has no method"):
        devices.Workplace({"value": Fixed()}, ELSEWHERE)


def test_random_numbers_of_another_device_do_not_go_on():
    one, other = torch.Generator().manual_seed(3), torch.Generator()
    kept = devices.keep(one)
    devices.restore(other, kept)
    assert torch.equal(torch.randn(4, generator=one), torch.randn(4, generator=other))
    with pytest.raises(RunError, match="made on another kind of device than cpu"):
        devices.restore(other, np.zeros(16, np.uint8))  # as long as CUDA's


@pytest.mark.parametrize(("built", "said"), [(False, "was built without CUDA"), (True, "finds no GPU that it can use")])
def test_a_missing_gpu_is_told_with_its_reason(monkeypatch, built, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    with pytest.raises(AssemblyError, match=rf"params\.device: cannot learn on device cuda: torch .* {said}"):
        devices.find("cuda")
    assert devices.find("cpu").type == "cpu"


def test_the_second_device_refuses_what_a_gpu_refuses():
    """What the other tests rest on."""
    with second_device():
        there, here = torch.ones(2, device=ELSEWHERE), torch.ones(2)
        for mixed in (lambda: there + here, lambda: torch.cat([there, here]), lambda: here[there.long()],
                      lambda: torch.stack([there.sum(), here.sum()]), lambda: here.addmm(there[None], there[:, None])):
            with pytest.raises(RuntimeError, match="tensors on two devices"):
                mixed()
        with pytest.raises(TypeError, match="no array"):
            there.numpy()
        waits.clear()
        assert (there * torch.tensor(3.0)).tolist() == [3.0, 3.0]
        assert float(there.sum()) == 2
        assert bool((there > 0).all())
        assert there.cpu().tolist() == [1.0, 1.0]
        assert sum(waits.values()) == 4
