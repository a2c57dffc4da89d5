"""The dynamics ensemble against plain torch modules: steps of a fit, and rows imagined by the assigned member only.

Plain torch is no peer: it says what autograd and torch.optim.Adam cost beside the products, which both must make.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .common import check, interleave, ratio_check, timed

INPUTS, OUTPUTS, HIDDEN, MEMBERS, BATCH, ROWS = 23, 18, [200] * 4, 7, 256, 20_000  # HalfCheetah
IMAGINED = 10_000


def measure(steps: int = 8, rounds: int = 25) -> dict[str, Any]:
    """Seconds per step of plain torch over ours, and per imagined row of all members over the assigned one."""
    import torch

    from stimloop.components.parts.dynamics_ensemble import DynamicsEnsemble
    from stimloop.components.parts.ensemble_fit import DECAYS, EnsembleFit

    from .plain_ensemble import PlainEnsemble

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, targets = torch.randn(ROWS, INPUTS), torch.randn(ROWS, OUTPUTS)
    net = DynamicsEnsemble(INPUTS, OUTPUTS, HIDDEN, MEMBERS, 5, seed=0)
    fit, plain = EnsembleFit(net), PlainEnsemble(INPUTS, OUTPUTS, HIDDEN, MEMBERS, DECAYS)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(ROWS, (MEMBERS, steps * BATCH), generator=generator)

    def ours() -> int:
        fit._pass((inputs, targets), drawn, generator)
        return steps

    def theirs() -> int:
        for chosen in drawn.split(BATCH, 1):
            plain.learn(inputs[chosen], targets[chosen])
        return steps

    rows, member = torch.randn(IMAGINED, INPUTS), torch.randint(MEMBERS, (IMAGINED,))

    @torch.no_grad()
    def assigned() -> int:
        net.assigned(rows, member)
        return IMAGINED

    @torch.no_grad()
    def all_members() -> int:
        mean, variance = net.forward(rows)
        every = torch.arange(IMAGINED)
        return len(mean[member, every] + variance[member, every])

    times = interleave({"ours": lambda: timed(ours), "plain": lambda: timed(theirs),
                        "assigned": lambda: timed(assigned), "all": lambda: timed(all_members)}, rounds)
    return {"name": "ensemble", "checks": [
        ratio_check("fit_vs_plain_torch", times["plain busy"], times["ours busy"]),
        check("fit_step_ms", np.multiply(times["ours busy"], 1e3).tolist(), "ms"),
        ratio_check("assigned_vs_all_members", times["all busy"], times["assigned busy"], at_least=3.0),
        check("imagined_row_us", np.multiply(times["assigned busy"], 1e6).tolist(), "us"),
    ], "settings": {"inputs": INPUTS, "outputs": OUTPUTS, "hidden": HIDDEN, "members": MEMBERS, "batch": BATCH,
                    "steps": steps, "rounds": rounds, "imagined": IMAGINED, "seconds": "of the processor"}}
