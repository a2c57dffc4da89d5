"""`stimloop import`: a policy from elsewhere becomes weights and a few lines of an assembly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem

KINDS = ("sb3", "torchscript", "onnx")
HEADS = ("gaussian", "clipped", "categorical")
_RUNS_CODE = ("sb3", "torchscript")  # formats whose loading may run code that the file brings


def command(kind: str, file: Path, target: Path | None, trust: bool, head: str) -> tuple[dict[str, Any], str]:
    """Write the artifact; return facts and the text to print."""
    if kind not in KINDS:
        raise AssemblyError([Problem(f"{kind!r} is no kind of model", "import", f"Choose from {', '.join(KINDS)}.")])
    if head and head not in HEADS:
        raise AssemblyError([Problem(f"there is no head {head!r}", "--head", f"Choose from {', '.join(HEADS)}.")])
    if not file.is_file():
        raise AssemblyError([Problem("there is no such file", str(file), "Give the path of a saved model.")])
    if kind in _RUNS_CODE and not trust:
        raise AssemblyError([Problem("loading such a file runs code that it may bring", str(file),
                                     "If you trust where it comes from, say --trust.")])
    target = target or file.with_suffix(".safetensors")
    _check_target(target)
    from . import chains, from_graphs, from_sb3

    chain = from_sb3.chain(file) if kind == "sb3" else getattr(from_graphs, kind)(file, head)
    found = chains.imported(chain, file)
    snippet = chains.save(found, target, f"{kind} {file.name}")
    facts = {"weights": str(target), "params": found.params(), "largest_difference": found.error,
             "observations": len(chain.observations)}
    return facts, (f"{target}: acts as {file.name} does, within {found.error:.1g} on {len(chain.observations)} "
                   f"observations\n\n{snippet}")


def _check_target(target: Path) -> None:
    """Refuse, before the work, a file to write that could not be found again as weights."""
    if target.suffix != ".safetensors":
        raise AssemblyError([Problem("weights are files that end in .safetensors", str(target),
                                     f"Write for example --to {target.with_suffix('.safetensors')}.")])
    if target.exists():
        raise AssemblyError([Problem("there is such a file already", str(target), "Choose another with --to.")])
    if not target.parent.is_dir():
        raise AssemblyError([Problem("there is no such folder", str(target.parent), "Make it, or choose another file "
                                     "with --to.")])
