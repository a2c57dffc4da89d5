"""From a type's name to its class: `bodies.cartpole` is components/bodies/cartpole.py and its one public class.

Nothing is imported until a name is asked for. Code outside the catalogue loads only if the user allowed its module.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..loops.errors import StimloopError, nearest, place, short

ROOT = __package__.rpartition(".")[0]  # the package that holds the four folders
FOLDER = Path(__file__).resolve().parent.parent / "components"
GROUP = "stimloop.components"  # entry points of other distributions: allowed by being installed
EXTRAS = {"torch": "torch", "gymnasium": "bodies", "mujoco": "bodies", "myosuite": "bodies", "dm_control": "bodies",
          "nengo": "spiking", "matplotlib": "reports", "imageio": "reports"}

_SHIPPED = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_FOREIGN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")


class LookupFailed(StimloopError, LookupError):
    """A type's name leads to no component; `fix` says what to write or allow."""

    def __init__(self, what: str, fix: str = "", missing: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.missing = missing  # the library that is not installed, when that is the reason

    def __str__(self) -> str:
        return f"{self.what}\n  {self.fix}" if self.fix else self.what


@lru_cache(maxsize=1)
def shipped() -> tuple[str, ...]:
    """Names of all shipped components, from the files that lie in the folders (nothing is imported)."""
    return tuple(sorted(f"{path.parent.name}.{path.stem}" for path in FOLDER.glob("*/*.py")
                        if path.parent.name != "parts" and not path.stem.startswith("_")))


@lru_cache(maxsize=1)
def installed() -> dict[str, Any]:
    """Entry points by name that other installed distributions offer."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def class_name(module: str) -> str:
    """Return the class that a component module must have: `safety_limiter` -> `SafetyLimiter`."""
    return "".join(word[:1].upper() + word[1:] for word in module.split("_"))


def name_of(cls: type) -> str:
    """Return how an assembly writes this class: `bodies.cartpole`, or `module:Class` outside the catalogue."""
    prefix = f"{ROOT}.components."
    if cls.__module__.startswith(prefix):
        name = cls.__module__[len(prefix):]
        if name in shipped() and cls.__name__ == class_name(name.partition(".")[2]):
            return name
    return f"{cls.__module__}:{cls.__qualname__}"


def find(name: str, allow: Collection[str] = (), folders: Sequence[Path] = ()) -> type:
    """Return the class of a type's name.

    `allow` holds the modules that the user lets assemblies load; `folders` are looked through for such modules when
    they are not importable as they stand.
    """
    if isinstance(name, str) and len(name) < 200:
        if _SHIPPED.fullmatch(name) and name in shipped():
            return _shipped_class(name)
        if match := _FOREIGN.fullmatch(name):
            return _foreign_class(match.group(1), match.group(2), allow, folders)
        if name in installed():
            return _component(installed()[name].load(), name)
    known = [*shipped(), *installed()]
    raise LookupFailed(f"there is no component {short(name)}", _nearest_type(str(name)[:200], known))


def allowed(module: str, allow: Collection[str]) -> bool:
    """Did the user allow this module, or a package that holds it?"""
    return any(module == entry or module.startswith(entry + ".") for entry in allow if entry)


def refusal(module: str) -> str:
    """The advice given where a module is not allowed."""
    if module == "__main__":
        return ("It was defined in a script, and nothing else can import it from there. Move it into a module\n"
                "(my_module.py), import it from there in the script, begin a new run, and resume that with\n"
                "--allow my_module")
    return (f"If you trust it, run with `--allow {module.partition('.')[0]}`, or write\n"
            f'allow = ["{module.partition(".")[0]}"] in stimloop.toml. An assembly cannot allow it itself.')


def _shipped_class(name: str) -> type:
    folder, _, module = name.partition(".")
    try:
        loaded = import_module(f"{ROOT}.components.{folder}.{module}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", ROOT):
            raise
        extra = EXTRAS.get(missing, "all")
        raise LookupFailed(f"{name} needs the library {missing!r}, which is not installed",
                           f'Run: pip install "stimloop[{extra}]"', missing) from error
    return _component(getattr(loaded, class_name(module), None), name)


def _foreign_class(module: str, attribute: str, allow: Collection[str], folders: Sequence[Path]) -> type:
    return _component(foreign(module, attribute, allow, folders), f"{module}:{attribute}")


def foreign(module: str, attribute: str, allow: Collection[str], folders: Sequence[Path]) -> Any:
    """Return what a module outside the catalogue calls `attribute`, if the user allowed the module."""
    if not allowed(module, allow):
        raise LookupFailed(f"{module}:{attribute} is code outside the catalogue, and {module!r} is not allowed",
                           refusal(module))
    value = _imported(module, folders)
    for part in attribute.split("."):
        if not hasattr(value, part) and module == "__main__":
            raise LookupFailed(f"{module}:{attribute} is not in the script that runs now", refusal(module))
        if not hasattr(value, part):
            raise LookupFailed(f"{module} has no {attribute!r}", nearest(part, (n for n in dir(value) if n[0] != "_")))
        value = getattr(value, part)
    return value


def _imported(module: str, folders: Sequence[Path]) -> Any:
    """Import a module that the user allowed; whatever is wrong in it is told as its own fault."""
    with _importable(module, folders):
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module + ".").startswith(error.name + "."):
                looked = " and ".join(dict.fromkeys(str(folder) for folder in folders))
                raise LookupFailed(f"there is no module {module!r}",
                                   f"Looked on Python's path and in {looked or '.'}. Where it lies elsewhere, run this "
                                   "in its folder, or put that on PYTHONPATH.") from error
            raise LookupFailed(f"importing {module}: {error}", "Install it, or mend the file.") from error
        except SystemExit as leaving:
            raise LookupFailed(f"importing {module} called sys.exit({leaving.code!r})",
                               "Guard what runs as a script by `if __name__ == \"__main__\":`.") from leaving
        except SyntaxError as error:
            raise LookupFailed(f"{module} is not valid Python: {error}", "Mend the file, then try again.") from error
        except Exception as error:
            raise LookupFailed(f"importing {module} raised {type(error).__name__}: {error} ({place(error)})",
                               "Mend the file, then try again.") from error


@contextmanager
def _importable(module: str, folders: Sequence[Path]) -> Iterator[None]:
    """Let a module that lies in one of the folders be imported, for this one import."""
    top = module.partition(".")[0]
    found = None
    if top not in sys.modules and find_spec(top) is None:
        found = next((str(f) for f in folders if (f / f"{top}.py").is_file() or (f / top).is_dir()), None)
    if found:
        sys.path.append(found)
    try:
        yield
    finally:
        if found:
            sys.path.remove(found)


def _component(value: Any, name: str) -> type:
    from ..loops.component import Component

    if not isinstance(value, type) or not issubclass(value, Component):
        raise LookupFailed(f"{name} is not a component", "A component is a class derived from stimloop.Component.")
    return value


def _nearest_type(name: str, known: Sequence[str]) -> str:
    """Find what was meant: the same last word in another folder first, then the closest spelling."""
    word = name.rpartition(".")[2]
    same = [k for k in known if k.rpartition(".")[2] == word]
    if len(same) == 1:
        return f'Did you mean "{same[0]}"?'
    hint = nearest(name, known)
    return hint if hint.startswith("Did") else f"{hint} `stimloop list components` shows all."


def example_uses(cls: type) -> dict[str, Callable[[], Any]]:
    """Return makers of what a component's example is to use, by reference."""
    def maker(kind: str, params: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: find(kind)(**params)

    return {name: maker(*wanted) for name, wanted in getattr(cls, "example_uses", {}).items()}
