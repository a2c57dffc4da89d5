"""Networks that are handed more than they are to look at."""

from __future__ import annotations

from typing import Any

from .ensembles import Ensemble


class BlindEnsemble(Ensemble):
    """Perceptrons that leave the first numbers of every input aside: what is known only about the rest.

    Args:
        skips: how many they leave aside.
        inputs: numbers that they are handed, those included; the rest as `Ensemble`.
    """

    def __init__(self, skips: int, inputs: int, hidden: list[int], outputs: int, activation: str, seeds: list[int]
                 ) -> None:
        super().__init__(inputs - skips, hidden, outputs, activation, seeds)
        self.skips = skips

    def forward(self, values: Any) -> Any:
        """Return what each member says [members, batch, outputs] of inputs [batch, inputs]."""
        return super().forward(values[:, self.skips:])
