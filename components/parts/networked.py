"""What components share whose networks are all that they have learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...loops.component import Component
from ...loops.storage import artifact
from .networks import SharedArrays


class Networked(Component):
    """A component around one network: its learned part is the network's arrays, by name."""

    random = True
    network: SharedArrays
    weights: str | None = None  # artifact to begin with

    def take_weights(self) -> None:
        """Take the weights of the artifact, if one is given; sizes that differ are an error that names both sides."""
        if self.weights is not None:
            self.network.set(artifact.flat(artifact.take(
                self.weights, artifact.nested(self.network.arrays), meaning=self.meaning)))

    @property
    def meaning(self) -> dict[str, str]:
        """What the weights mean beside their sizes."""
        return {"activation": str(getattr(self.network, "activation", ""))}

    def parameters(self) -> list[Any]:
        """Return torch parameters that share memory with the weights; change them in place."""
        return list(self.network.parameters().values())

    def move(self, device: Any) -> None:
        """Let the torch parameters lie on a device; see `SharedArrays.move`."""
        self.network.move(device)

    def state_dict(self) -> dict[str, Any]:
        self.network.gather()
        return {"learned": artifact.nested({name: array.copy() for name, array in self.network.arrays.items()})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "learned" in state:
            artifact.check(artifact.nested(self.network.arrays), state["learned"], type(self).__name__)
            self.network.set(artifact.flat(state["learned"]))
