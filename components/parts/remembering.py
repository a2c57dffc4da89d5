"""Perceptrons that are told, beside their inputs, what a memory of the last of these inputs says.

The memory is one layer of long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers,
Schmidhuber and Cummins 2000): i, f, o = sigmoid(drive), g = tanh(drive), with drive = W s + U h + b; c <- f c + i g;
h = o tanh(c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.seeds import derive
from .ensembles import Ensemble, all_through, rows_through
from .gated_memory import tick

Memory = Mapping[str, Any]  # `said` and `cell` [batch, members, cells]: what the cells said and hold


class RememberingEnsemble(Ensemble):
    """An ensemble each of whose members hears the history of some inputs through a memory of its own.

    The last `kept` inputs enter the memory, and what it then says is joined to all inputs: so the
    present ones count twice, directly and as the newest of the history. Arrays are `memory/heard` W
    [members, 4 * cells, kept], `memory/said` U [members, 4 * cells, cells] and `memory/bias` [members, 4 * cells],
    which begin uniform within 1 / sqrt(cells), as in torch.
    """

    def __init__(self, inputs: int, kept: int, hidden: list[int], outputs: int, activation: str, cells: int,
                 seeds: list[int]) -> None:
        super().__init__(inputs + cells, hidden, outputs, activation, seeds)
        self.kept, self.cells = kept, cells
        draws, bound = [np.random.default_rng(derive(seed, "memory")) for seed in seeds], 1 / np.sqrt(cells)
        for name, shape in (("heard", (4 * cells, kept)), ("said", (4 * cells, cells)), ("bias", (4 * cells,))):
            self.arrays[f"memory/{name}"] = np.stack([rng.uniform(-bound, bound, shape) for rng in draws]
                                                     ).astype(np.float32)

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self.arrays["memory/bias"])

    def fresh(self, batch: int) -> dict[str, np.ndarray]:
        """Return the memory of so many rows to which nothing was done yet."""
        return {name: np.zeros((batch, self.members, self.cells), np.float32) for name in ("said", "cell")}

    def forward(self, values: Any, memory: Memory | None = None) -> Any:
        """Return what each member says [members, batch, outputs] of inputs [batch, inputs], one tick on from a memory.

        The memory is that of each row; without one nothing was done before. Or it is what `prepared` made of one.
        """
        return self.answer(values, memory)[0]

    def answer(self, values: Any, memory: Memory | None = None) -> tuple[Any, dict[str, Any]]:
        """Return what each member says, as `forward`, and the memory after that."""
        said, cell = self._ticked(values, memory)
        if isinstance(values, np.ndarray):
            both: Any = np.concatenate([np.broadcast_to(values, (len(said), *values.shape)), said], axis=2)
        else:
            import torch

            both = torch.cat([values.expand(len(said), *values.shape), said], dim=2)
        return super().forward(both), {"said": said.swapaxes(0, 1), "cell": cell.swapaxes(0, 1)}

    def remember(self, values: Any, memory: Memory | None = None) -> dict[str, Any]:
        """Return the memory [batch, members, cells] one tick on."""
        return {name: part.swapaxes(0, 1) for name, part in
                zip(("said", "cell"), self._ticked(values, memory), strict=True)}

    def prepared(self, memory: Memory | None, batch: int) -> dict[str, Any]:
        """Return a memory for many questions: what it adds to the gates, `drive`, is worked out once, as tensors."""
        import torch

        known = {name: torch.as_tensor(part) for name, part in (memory or self.fresh(batch)).items()}
        with torch.no_grad():
            drive, cell = self._before(known["cell"], known)
        return {"drive": drive.swapaxes(0, 1), "cell": cell.swapaxes(0, 1)}

    def _ticked(self, values: Any, memory: Memory | None) -> tuple[Any, Any]:
        """Return what the cells say and hold [members, batch, cells] one tick on."""
        drive, cell = self._before(values, self.fresh(len(values)) if memory is None else memory)
        heard = self.arrays_for(values)["memory/heard"]
        new = values[..., -self.kept:]
        if isinstance(values, np.ndarray):
            return tick(drive + rows_through(new[None], heard, np.zeros((1, 1), np.float32)), cell)
        return tick(drive.baddbmm(new.expand(len(heard), *new.shape), heard.transpose(1, 2)), cell)

    def _before(self, like: Any, memory: Memory) -> tuple[Any, Any]:
        """Return what a memory adds to the gates [members, batch, 4 * cells], and holds [members, batch, cells]."""
        arrays = self.arrays_for(like)
        if isinstance(like, np.ndarray):
            known: dict[str, Any] = {name: np.asarray(part).swapaxes(0, 1) for name, part in memory.items()}
            through: Any = rows_through
        else:
            import torch

            known = {name: torch.as_tensor(part, device=like.device).swapaxes(0, 1) for name, part in memory.items()}
            through = all_through
        if "drive" in known:
            return known["drive"], known["cell"]
        return through(known["said"], arrays["memory/said"], arrays["memory/bias"]), known["cell"]

    def sequence(self, values: Any, memory: Memory | None = None) -> Any:
        """Return what each member says [members, batch, time, outputs] of sequences [batch, time, inputs], as tensors.

        It is what `forward` would say tick by tick, with gradients that reach back to the first tick, not beyond.
        """
        import torch

        from .lstm import ticks

        batch, time = values.shape[:2]
        said = ticks(*self._driven(values, memory))  # [time, members, batch, cells]
        told = said.permute(1, 2, 0, 3).reshape(self.members, batch * time, self.cells)
        flat = values.reshape(batch * time, -1)
        both = torch.cat([flat.expand(self.members, *flat.shape), told], dim=2)
        return super().forward(both).view(self.members, batch, time, -1)

    def memories(self, values: Any) -> dict[str, Any]:
        """Return the memory before each tick [batch, time, members, cells] of sequences [batch, time, inputs]."""
        from .lstm import run

        said, cell, _, _ = run(*self._driven(values, None))
        return {"said": said[:-1].permute(2, 0, 1, 3), "cell": cell[:-1].permute(2, 0, 1, 3)}

    def _driven(self, values: Any, memory: Memory | None) -> tuple[Any, Any, Any, Any]:
        """Return what reaches the gates from outside at every tick, U, and what the cells said and held before."""
        import torch

        arrays = self.arrays_for(values)
        memory = self.fresh(len(values)) if memory is None else memory
        said, cell = (torch.as_tensor(memory[name], device=values.device).transpose(0, 1) for name in ("said", "cell"))
        kept = values[..., -self.kept:].transpose(0, 1)  # [time, batch, kept]
        driven = all_through(kept.flatten(0, 1)[None], arrays["memory/heard"], arrays["memory/bias"])
        return driven.unflatten(1, kept.shape[:2]).transpose(0, 1), arrays["memory/said"], said, cell
