"""Policies that Stable-Baselines3 saved."""

from __future__ import annotations

import json
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError
from .chains import OBSERVATIONS, Chain, Layer, in_one_line, refused

# module of the policy's class -> names of the algorithm's class, and where its hidden layers, its output and the
# logarithm of its deviation lie among the weights; where the hidden layers hold the output too, it is their last
KNOWN: dict[str, tuple[tuple[str, ...], str, str | None, str | None]] = {
    "sac": (("SAC",), "actor.latent_pi", "actor.mu", "actor.log_std"),
    "td3": (("TD3", "DDPG"), "actor.mu", None, None),
    "dqn": (("DQN",), "q_net.q_net", None, None),
    "common": (("PPO", "A2C"), "mlp_extractor.policy_net", "action_net", None),
}


def chain(file: Path) -> Chain:
    """Return the layers of a saved model's policy; it is loaded by the library itself, code and all."""
    algorithm, hidden, out, deviation = _kind(file)
    model = _load(file, algorithm)
    weights = {name: tensor.cpu().numpy() for name, tensor in model.policy.state_dict().items()}
    layers = _layers(weights, hidden)
    if not layers:
        raise refused(file, "its policy is not feed-forward (images, several observations, or recurrence)",
                      "Make the module in Python and use brains.torch_module.")
    last = layers.pop() if out is None else _layer(weights, out)
    spread = None if deviation is None else _layer(weights, deviation)
    choices = getattr(model.action_space, "n", None)
    if choices is None and not hasattr(model.action_space, "high"):
        raise refused(file, f"its actions are {model.action_space}", "Only vectors and single choices are taken.")
    if algorithm[0] == "PPO" and choices is None:
        last = _in_units(last, model.action_space)
    heads = ["categorical"] if choices is not None else ["clipped"] if algorithm[0] == "PPO" else ["gaussian"]
    return Chain(layers, last, spread, heads, _asker(model), _observations(model.observation_space))


def _kind(file: Path) -> tuple[tuple[str, ...], str, str | None, str | None]:
    """Return how to read a file, by the module that its policy's class comes from."""
    try:
        with zipfile.ZipFile(file) as archive:
            module = str(json.loads(archive.read("data"))["policy_class"]["__module__"])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, TypeError, ValueError,
            OSError) as error:
        raise refused(file, f"it is no model that Stable-Baselines3 saved ({type(error).__name__})",
                      "Give the .zip that model.save() wrote.") from error
    library, _, rest = module.partition(".")
    kind = rest.partition(".")[0]
    if library != "stable_baselines3" or kind not in KNOWN:
        raise refused(file, f"its policy comes from {module}", f"Known are models of {', '.join(_names())}; of others "
                      "make the module in Python and use brains.torch_module.")
    return KNOWN[kind]


def _names() -> list[str]:
    return [name for names, *_ in KNOWN.values() for name in names]


def _load(file: Path, algorithm: tuple[str, ...]) -> Any:
    try:
        import stable_baselines3
    except ModuleNotFoundError as error:
        raise refused(file, "stable-baselines3 is not installed", "Run: pip install stable-baselines3") from error
    told: Exception = RuntimeError("it names no algorithm")
    for name in algorithm:  # two share one kind of file
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions that saved it
                return getattr(stable_baselines3, name).load(file, device="cpu")
        except Exception as error:  # what is pickled in a file raises what it raises
            told = error
    raise refused(file, f"Stable-Baselines3 cannot load it: {in_one_line(told)}",
                  "Load and save it with the installed version.") from told


def _layers(weights: Mapping[str, np.ndarray], prefix: str) -> list[Layer]:
    """Return the linear layers of a sequence, in its order."""
    numbers = sorted(int(name.split(".")[-2]) for name in weights
                     if name.startswith(prefix + ".") and name.endswith(".weight"))
    return [_layer(weights, f"{prefix}.{number}") for number in numbers]


def _layer(weights: Mapping[str, np.ndarray], name: str) -> Layer:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _in_units(layer: Layer, space: Any) -> Layer:
    """Return a layer whose answer is in [-1, 1] where the given one's is within the space's bounds."""
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    weight, bias = (part.astype(np.float64) for part in layer)
    return ((weight / half[:, None]).astype(np.float32), ((bias - middle) / half).astype(np.float32))


def _asker(model: Any) -> Any:
    space = model.action_space

    def ask(observations: np.ndarray) -> np.ndarray:
        done = model.predict(observations, deterministic=True)[0]
        return done if hasattr(space, "n") else 2 * (done - space.low) / (space.high - space.low) - 1

    return ask


def _observations(space: Any) -> np.ndarray:
    if not hasattr(space, "high") or len(space.shape) != 1:
        raise AssemblyError(refused(Path("model"), f"it observes {space}", "Only vectors are taken.").problems)
    space.seed(0)
    return np.array([space.sample() for _ in range(OBSERVATIONS)], np.float32)
