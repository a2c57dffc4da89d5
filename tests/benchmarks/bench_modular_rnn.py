"""The recurrent brain: one tick of one lane, and the slopes of whole sequences beside plain torch, tick by tick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .common import Seconds, check, interleave, ratio_check, timed

SIZES = {"elbow": (9, 6), "hand": (115, 39)}  # observation and action of the tasks of Pan et al. 2024
BATCH, TIME = 10, 100  # whole episodes of a minibatch, as published
TICKS, ROUNDS = 200, 15


def _brain(observation: int, action: int) -> Any:
    from stimloop.components.brains.modular_rnn import ModularRnn
    from stimloop.loops.lanes import Lanes

    brain = ModularRnn()
    brain.inputs["observation"] = brain.inputs["observation"].sized((observation,))
    brain.outputs["action"] = brain.outputs["action"].sized((action,))
    brain.build(Lanes.of(1), 0)
    return brain


def _tick(brain: Any, observation: int) -> Seconds:
    """One lane perceives, is stimulated and acts."""
    from stimloop.loops.component import Inputs

    given = {"observation": np.ones((1, observation), np.float32), "status": np.zeros(1, np.int64),
             "current": np.zeros((1, brain.neurons), np.float32)}
    inputs = Inputs(given, frozenset(given), 0)

    def live() -> int:
        for tick in range(TICKS):
            brain.step(tick, inputs)
        return TICKS

    return timed(live)


def _ours(brain: Any, seen: Any) -> Seconds:
    def learn() -> int:
        told, _ = brain.respond_sequence({"observation": seen})
        told["action"].square().mean().backward()
        return 1

    return timed(learn)


def _plain(network: Any, torch: Any, seen: Any) -> Seconds:
    """The same equations as anybody writes them: a loop over ticks, of which autograd keeps the books."""
    parts = {name: torch.from_numpy(array).clone().requires_grad_() for name, array in network.arrays.items()
             if not name.startswith("anatomy/")}
    mask, seeing = torch.from_numpy(network.arrays["anatomy/connections"]), torch.zeros(300, 1)
    seeing[network.regions["AIP"].start:] = 1

    def learn() -> int:
        x, said = parts["start/state"].expand(BATCH, -1), []
        for tick in range(TIME):
            r = x.relu().tanh()
            x = x + 0.1 * (-x + r @ (parts["recurrent/weight"] * mask).T
                           + seen[:, tick] @ (parts["input/weight"] * seeing).T + parts["recurrent/bias"])
            values = x.relu().tanh()[:, :100] @ parts["summary/weight"].T + parts["summary/bias"]
            for layer in ("layer1", "layer2"):
                values = (values @ parts[f"{layer}/weight"].T + parts[f"{layer}/bias"]).relu()
            said.append((values @ parts["mean/weight"].T + parts["mean/bias"]).tanh())
        torch.stack(said).square().mean().backward()
        return 1

    return timed(learn)


def _minibatch(torch: Any, observation: int, action: int) -> dict[str, Any]:
    drawing = torch.Generator().manual_seed(0)
    done = torch.rand(BATCH, TIME, action, generator=drawing) * 2 - 1
    nothing = torch.zeros(BATCH, TIME)
    return {"observation": torch.randn(BATCH, TIME + 1, observation, generator=drawing), "action": done,
            "expert": done, "reward": nothing, "terminated": nothing, "mask": torch.ones(BATCH, TIME)}


def _imitates(brain: Any, batch: dict[str, Any]) -> Callable[[], int]:
    """An update of learners.distillation."""
    from stimloop.components.parts.imitation import Imitation

    core = Imitation(brain, learning_rate=1e-3, truncate=0, rate_penalty=0.0, weight_penalty=0.0, max_grad_norm=1.0)

    def learn() -> int:
        core.advance(batch)
        return 1

    return learn


def _reinforces(torch: Any, brain: Any, batch: dict[str, Any]) -> Callable[[], int]:
    """An update of learners.recurrent_sac, with the two critics as published."""
    from stimloop.components.critics.recurrent_q import RecurrentQ
    from stimloop.components.parts.recurrent_actor_critic import RecurrentActorCritic
    from stimloop.loops.lanes import Lanes

    critic = RecurrentQ()
    for name in ("observation", "action"):
        critic.inputs[name] = critic.inputs[name].sized((batch[name].shape[-1],))
    critic.build(Lanes.of(1), 0)
    core = RecurrentActorCritic(brain, critic, batch["action"].shape[-1], learning_rate=3e-4, gamma=0.99, tau=0.005,
                                ent_coef="auto", target_entropy="auto", truncate=0, max_grad_norm=None)
    drawing = torch.Generator().manual_seed(0)

    def learn() -> int:
        core.advance(batch, drawing)
        return 1

    return learn


def measure() -> dict[str, Any]:
    """Return microseconds of a tick, and how many times as fast sequences are learned as by plain torch."""
    import torch

    torch.set_num_threads(1)
    checks = []
    for name, (observation, action) in SIZES.items():
        brain, acting = _brain(observation, action), _brain(observation, action)
        seen = torch.randn(BATCH, TIME, observation, generator=torch.Generator().manual_seed(0))
        batch = _minibatch(torch, observation, action)
        imitates = _imitates(_brain(observation, action), batch)
        reinforces = _reinforces(torch, _brain(observation, action), batch)
        found = interleave({"imitates": lambda learn=imitates: timed(learn),
                            "reinforces": lambda learn=reinforces: timed(learn),
                            "tick": lambda brain=acting, size=observation: _tick(brain, size),
                            "ours": lambda brain=brain, seen=seen: _ours(brain, seen),
                            "plain": lambda brain=brain, seen=seen: _plain(brain.network, torch, seen)}, ROUNDS)
        checks += [check(f"{name}: a tick of one lane, processor", [1e6 * value for value in found["tick busy"]], "us",
                         at_most=250),
                   check(f"{name}: forth and back, {BATCH} x {TIME} ticks", found["ours busy"], "s"),
                   check(f"{name}: an update by imitation, {BATCH} x {TIME} steps", found["imitates busy"], "s"),
                   check(f"{name}: an update of recurrent soft actor-critic", found["reinforces busy"], "s"),
                   ratio_check(f"{name}: plain torch / ours", found["plain busy"], found["ours busy"], at_least=1.2)]
    return {"checks": checks, "notes": ["processor time: what else the machine does counts little"]}
