"""mbrl-lib 0.2.0 as a worker: it fits its ensemble and updates its SAC when it is told to, and says how long that took.

`run.py mopac` starts it in its own environment with a file of rows, and the two take turns over a pipe: a line
`<work> <pieces>` is answered by a line of JSON, seconds of one piece by the wall and by the processor. Run by itself
(`make bench-peers`) it tells its own figures on rows it draws. Only what mbrl-lib documents is used: GaussianMLP and
OneDTransitionRewardModel under ModelTrainer, BootstrapIterator, and the SAC that its MBPO configurations name.
"""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from time import perf_counter, process_time
from typing import Any

import gymnasium
import numpy as np
import torch
from mbrl.models import GaussianMLP, ModelTrainer, OneDTransitionRewardModel
from mbrl.third_party.pytorch_sac_pranz24.sac import SAC
from mbrl.util.replay_buffer import BootstrapIterator, ReplayBuffer

BATCH, MEMBERS, ELITES, LAYERS, WIDTH, ACTOR = 256, 7, 5, 4, 200, 256
Work = Callable[[int], int]  # is told how many pieces, says how many it did


def drawn() -> dict[str, np.ndarray]:
    """Draw rows of HalfCheetah's sizes, for a run without `run.py`."""
    rng, rows = np.random.default_rng(0), 20_000
    return {"observation": rng.standard_normal((rows, 17), np.float32),
            "action": rng.uniform(-1, 1, (rows, 6)).astype(np.float32), "reward": rng.standard_normal(rows, np.float32),
            "successor": rng.standard_normal((rows, 17), np.float32), "terminated": np.zeros(rows, np.float32)}


def buffer_of(rows: Mapping[str, np.ndarray]) -> ReplayBuffer:
    """Put all rows into a buffer of their number."""
    count, seen, done = len(rows["reward"]), rows["observation"].shape[1:], rows["action"].shape[1:]
    buffer = ReplayBuffer(count, seen, done, rng=np.random.default_rng(0))
    ended = rows["terminated"].astype(bool)
    buffer.add_batch(rows["observation"], rows["action"], rows["successor"], rows["reward"], ended, ended & False)
    return buffer


def fitting(buffer: ReplayBuffer) -> Work:
    """Steps of ModelTrainer.train over a bootstrap iterator, without its evaluation between passes.

    A call is one pass over as many rows as make the pieces wanted: its batches (drawn, normalised, turned to tensors),
    its loss, its way back and its Adam, and what the trainer does for each batch besides.
    """
    rows = buffer.get_all()
    seen, done = rows.obs.shape[1], rows.act.shape[1]
    network = GaussianMLP(seen + done, seen + 1, "cpu", num_layers=LAYERS, ensemble_size=MEMBERS, hid_size=WIDTH,
                          learn_logvar_bounds=True, activation_fn_cfg={"_target_": "torch.nn.SiLU"})
    model = OneDTransitionRewardModel(network, normalize=True, num_elites=ELITES)
    model.update_normalizer(rows)
    trainer = ModelTrainer(model, optim_lr=1e-3, weight_decay=5e-5)

    iterators: dict[int, BootstrapIterator] = {}

    def work(pieces: int) -> int:
        if pieces not in iterators:
            iterators[pieces] = BootstrapIterator(rows[:pieces * BATCH], BATCH, MEMBERS, shuffle_each_epoch=True,
                                                  permute_indices=False, rng=np.random.default_rng(0))
        losses, _ = trainer.train(iterators[pieces], num_epochs=1, evaluate=False, silent=True)
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"mbrl-lib's loss is {losses[-1]}: it does not fit any more")
        return math.ceil(min(pieces * BATCH, len(rows)) / BATCH)

    return work


def updating(buffer: ReplayBuffer) -> Work:
    """Updates of SAC, each with the minibatch it draws from the buffer."""
    actions = buffer.action.shape[1]
    settings = Namespace(gamma=0.99, tau=0.005, alpha=0.2, policy="Gaussian", target_update_interval=1,
                         automatic_entropy_tuning=True, target_entropy=-float(actions), hidden_size=ACTOR,
                         device="cpu", lr=3e-4)
    space = gymnasium.spaces.Box(-1, 1, (actions,), np.float32)
    agent, made = SAC(buffer.obs.shape[1], space, settings), [0]

    def work(pieces: int) -> int:
        for _ in range(pieces):
            agent.update_parameters(buffer, BATCH, made[0])
            made[0] += 1
        return pieces

    return work


def timed(work: Work, pieces: int) -> dict[str, Any]:
    """Return seconds of one piece, by the wall and by the processor."""
    wall, busy = perf_counter(), process_time()
    did = work(pieces)
    return {"wall": (perf_counter() - wall) / did, "busy": (process_time() - busy) / did, "pieces": did}


def main(arguments: list[str]) -> int:
    """Answer orders from standard input; without a file of rows, tell the own figures."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    buffer = buffer_of(np.load(arguments[0]) if arguments else drawn())
    works = {"fit": fitting(buffer), "update": updating(buffer)}
    if not arguments:
        for name, work in works.items():
            work(10)
            sys.stdout.write(f"mbrl-lib {name}: {timed(work, 40)['wall'] * 1e3:.3g} ms\n")
        return 0
    for line in sys.stdin:
        name, pieces = line.split()
        sys.stdout.write(json.dumps(timed(works[name], int(pieces))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
