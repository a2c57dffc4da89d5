"""Policies as TorchScript or ONNX files hold them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .chains import OBSERVATIONS, Chain, Layer, in_one_line, refused

_REMEDY = "Make the module in Python and use brains.torch_module."
_SILENT = ("Identity", "Flatten", "Cast", "Reshape", "Clip")  # steps of a graph that a policy's own door repeats


def _chain(layers: list[Layer], head: str, ask: Any, file: Path) -> Chain:
    if not layers:
        raise refused(file, "it holds no linear layers", _REMEDY)
    for (above, _), (_, below) in zip(layers[1:], layers[:-1], strict=True):
        if above.shape[1] != len(below):
            raise refused(file, f"its layers do not follow each other: one has {len(below)} neurons, the next "
                                f"{above.shape[1]} inputs", _REMEDY)
    *hidden, out = layers
    heads = [head] if head else ["gaussian", "clipped"]
    seen = np.random.default_rng(0).standard_normal((OBSERVATIONS, layers[0][0].shape[1])).astype(np.float32)

    def done(observations: np.ndarray) -> np.ndarray:
        said = ask(observations)
        return said.argmax(axis=-1) if head == "categorical" else np.clip(said, -1, 1)

    return Chain(hidden, out, None, heads, done, seen)


def torchscript(file: Path, head: str = "") -> Chain:
    """Return the layers of a TorchScript module: its linear parameters, in their order."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # no more are made, but there are many
            module = torch.jit.load(str(file), map_location="cpu").eval()
    except Exception as error:  # of a file that is something else, anything may come
        raise refused(file, f"torch cannot load it: {in_one_line(error)}",
                      "Give a file that torch.jit.save wrote.") from error
    _check_precision(file, {str(tensor.dtype).removeprefix("torch.") for tensor in module.parameters()})
    tensors = [tensor.detach().numpy() for _, tensor in module.named_parameters()]
    layers = [(weight, bias) for weight, bias in zip(tensors[::2], tensors[1::2], strict=False)
              if weight.ndim == 2 and bias.shape == (len(weight),)]
    if 2 * len(layers) != len(tensors):
        raise refused(file, "it holds more than linear layers with a bias each", _REMEDY)

    def ask(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(observations)).numpy()

    return _chain(layers, head, ask, file)


def _check_precision(file: Path, kinds: set[str]) -> None:
    """Refuse numbers of another precision: such a module answers only to observations like itself."""
    if other := sorted(kinds - {"float32"}):
        raise refused(file, f"its weights are {', '.join(other)}, and policies here compute in float32",
                      "Convert it before it is saved: model.float().")


def onnx(file: Path, head: str = "") -> Chain:
    """Return the layers of an ONNX graph that is one chain of linear layers."""
    try:
        import onnx as library
        from onnx.reference import ReferenceEvaluator
    except ModuleNotFoundError as error:
        raise refused(file, "onnx is not installed", 'Run: pip install "stimloop[import]"') from error
    try:
        model = library.load(str(file))
        arrays = {each.name: library.numpy_helper.to_array(each) for each in model.graph.initializer}
    except Exception as error:  # the library raises what its parser raises
        raise refused(file, f"onnx cannot read it: {in_one_line(error)}", "Give a .onnx file.") from error
    if not model.graph.node or not model.graph.input:
        raise refused(file, "onnx cannot read it: it holds no graph", "Give a .onnx file.")
    layers: list[Layer] = []
    for node in model.graph.node:
        _follow(node, arrays, layers, file)
    try:
        evaluator, name = ReferenceEvaluator(model), model.graph.input[0].name
    except Exception as error:  # as above
        raise refused(file, f"onnx cannot run it: {in_one_line(error)}", _REMEDY) from error

    def ask(observations: np.ndarray) -> np.ndarray:
        shape = [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
        if shape and shape[0] == 1:  # exported for one observation at a time
            return np.concatenate([evaluator.run(None, {name: row[None]})[0] for row in observations])
        return np.asarray(evaluator.run(None, {name: observations})[0])

    return _chain(layers, head, ask, file)


def _gemm(given: list[np.ndarray], settings: dict[str, Any], file: Path) -> Layer:
    """Return the layer alpha * values @ weight + beta * bias, its factors within weight and bias."""
    if settings.get("transA", 0):
        raise refused(file, "its graph has a step 'Gemm' with transA: observations are to be rows", _REMEDY)
    weight = given[0] if settings.get("transB", 0) else given[0].T
    bias = given[1] if len(given) == 2 else np.zeros(1, weight.dtype)
    if bias.size not in (1, len(weight)):
        raise refused(file, f"its graph has a step 'Gemm' whose bias has the shape {bias.shape}, not one number for "
                            f"each of {len(weight)} neurons", _REMEDY)
    full = np.broadcast_to(bias.reshape(-1), len(weight))
    return (np.float32(settings.get("alpha", 1)) * weight, np.float32(settings.get("beta", 1)) * full)


def _follow(node: Any, arrays: dict[str, np.ndarray], layers: list[Layer], file: Path) -> None:
    """Take one step of a graph: a linear layer, the bias of one, or an activation (which one, acting alike tells)."""
    kind, given = node.op_type, [arrays[name] for name in node.input if name in arrays]
    settings = {each.name: each.f or each.i for each in node.attribute}
    if kind == "Gemm" and 1 <= len(given) <= 2 and given[0].ndim == 2:
        layers.append(_gemm(given, settings, file))
    elif kind == "MatMul" and len(given) == 1 and given[0].ndim == 2:
        layers.append((given[0].T, np.zeros(given[0].shape[1], np.float32)))
    elif kind == "Add" and len(given) == 1 and layers and given[0].shape == layers[-1][1].shape:
        layers[-1] = (layers[-1][0], layers[-1][1] + given[0])
    elif kind not in ("Relu", "Tanh", *_SILENT):
        raise refused(file, f"its graph has a step {kind!r}", _REMEDY)
