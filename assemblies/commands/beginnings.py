"""Commands that begin something: an import, a component or an environment of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import JSON, allowing, emit, named, told


def import_(kind: Annotated[str, typer.Argument(metavar="KIND", help="sb3, torchscript or onnx")],
            file: Annotated[str, typer.Argument(callback=named, help="The saved model.")],
            to: Annotated[str, typer.Option(callback=named, help="Weights to write (default: beside it).")] = "",
            trust: Annotated[bool, typer.Option("--trust", help="Load it though that may run its code.")] = False,
            head: Annotated[str, typer.Option(help="What its output is: gaussian, clipped or categorical.")] = "",
            as_json: JSON = False) -> None:
    """Bring a policy trained elsewhere: writes weights, and prints the lines of an assembly that use them.

    Example: stimloop import sb3 model.zip --trust
    """
    with told(as_json):
        from ..importing.command import command

        facts, text = command(kind, Path(file), Path(to) if to else None, trust, head)
        emit(facts, as_json, text)


def component(name: Annotated[str, typer.Argument(callback=named, help="Name of the module, such as my_brain.")],
              as_json: JSON = False) -> None:
    """Write the skeleton of a component that passes the checks.

    Example: stimloop new component my_filter
    """
    with told(as_json):
        from ..listing import new_component

        path, text = new_component(name)
        emit({"file": path}, as_json, text)


def environment(name: Annotated[str, typer.Argument(callback=named, help="Of what is written, such as my_reach.")],
                env: Annotated[str, typer.Option(help="Id of the Gymnasium environment.")] = "InvertedPendulum-v5",
                as_json: JSON = False) -> None:
    """Begin learning in an environment of your own: an assembly, a termination function, and a test of that.

    Example: stimloop new environment my_reach --env my_package:Reach-v0
    """
    with told(as_json):
        from ..own_environment import new_environment

        files, text = new_environment(name, env, allowing([]))
        emit({"files": files}, as_json, text)
