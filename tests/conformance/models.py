"""A sound model in torch, and variations whose batches or gradients are wrong."""

from __future__ import annotations

from stimloop.loops.component import Component


class Model(Component):
    """Predicts with a torch layer: sound."""

    input_size = 4

    def __init__(self) -> None:
        self.inputs, self.outputs = {}, {}

    @classmethod
    def example(cls):
        return cls()

    def build(self, lanes, seed):
        super().build(lanes, seed)
        import torch

        self.layer = torch.nn.Linear(4, 2)

    def predict(self, input, generator=None):
        return self.layer(input)

    def loss(self, input, target):
        answer = self.predict(input)
        answer = answer if hasattr(answer, "shape") else next(iter(answer.values())) if isinstance(
            answer, dict) else answer[0]
        return (answer - target).square().sum(-1)

    def parameters(self):
        return self.layer.parameters()


class LooksAtTheBatch(Model):
    def predict(self, input, generator=None):
        return self.layer(input - input.mean(0))


class Detached(Model):
    def predict(self, input, generator=None):
        return self.layer(input.detach())


class Distribution(Model):
    """Predicts a mean and a deviation by name: sound."""

    def predict(self, input, generator=None):
        mean = self.layer(input)
        return {"mean": mean, "deviation": mean.exp()}


class Pair(Model):
    """Predicts a mean and a deviation as a pair: sound."""

    def predict(self, input, generator=None):
        mean = self.layer(input)
        return mean, mean.exp()


class WithoutGradient(Model):
    def predict(self, input, generator=None):
        import torch

        with torch.no_grad():
            return self.layer(input)


class Saturated(Model):
    """Its answer has a gradient, which is zero everywhere."""

    def predict(self, input, generator=None):
        return self.layer(input) * 0


class LosesInTheMean(Model):
    def loss(self, input, target):
        return super().loss(input, target).mean()


class LosesByItsNeighbours(Model):
    def loss(self, input, target):
        found = super().loss(input, target)
        return found / found.sum()


class LosesWithoutGradient(Model):
    def loss(self, input, target):
        return super().loss(input, target).detach()
