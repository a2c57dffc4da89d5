"""Finding and making environments of Gymnasium's registry, and the time one step of them takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np

from ...loops.errors import nearest, place, short
from ...loops.time import SECOND, Clock, say_period
from . import rendering
from .allowed import import_allowed

_RETURNS = {"reset": "(observation, info)", "step": "(observation, reward, terminated, truncated, info)"}


def make(env: str, params: dict[str, Any], max_steps: int | None, known: Iterable[str] | None = None) -> Any:
    """Make the environment `env` from the registry, wrapped as it was registered.

    Raises ValueError with the nearest name when it is unknown, and when `module:Name` asks for an import that nobody
    allowed. `known` limits which names count.
    """
    module, colon, _ = env.partition(":")
    if colon:
        import_allowed(module, f"env {env!r}")
    elif env not in gymnasium.registry or (known is not None and env not in known):
        hint = ""
        if known is None and env.startswith(("myo", "motor")):
            hint = " MyoSuite's environments are made by bodies.myosuite."
        raise ValueError(f"env {env!r} is not registered.{hint} "
                         f"{nearest(env, gymnasium.registry if known is None else known)}")
    limit = {} if max_steps is None else {"max_episode_steps": max_steps or -1}
    try:
        with rendering.importing(), _without_advice(env):
            return gymnasium.make(env, disable_env_checker=True, **limit, **params)
    except gymnasium.error.NameNotFound as error:
        raise ValueError(_unregistered(env)) from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise ValueError(f"env {env!r} needs a package that is not there: {error}") from error
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"env {env!r} cannot be made: {error}") from error
    except TypeError as error:
        raise ValueError(f"env {env!r} does not take these env_params {params}: {error}") from error


@contextmanager
def _without_advice(env: str) -> Iterator[None]:
    """Let MuJoCo not print, nor log to a file, that attributes of an environment's own model are deprecated.

    That is advice to its authors. All else that MuJoCo warns of while it compiles a model is a warning of Python's.
    """
    of_mujoco = env in gymnasium.registry and "mujoco" in str(gymnasium.registry[env].entry_point)
    if not of_mujoco or find_spec("mujoco") is None:
        yield
        return
    import mujoco

    def heard(text: str) -> None:
        if "is deprecated" not in text:
            warnings.warn(text, stacklevel=2)

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(heard)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _unregistered(env: str) -> str:
    """Say what a module registers instead, or how it would register an environment that is asked of it."""
    module, _, name = env.rpartition(":")
    there = sorted(key for key, spec in gymnasium.registry.items() if module and module in (
        str(spec.entry_point).partition(":")[0], getattr(spec.entry_point, "__module__", "")))
    if there:
        return f"env {env!r}: {module} registers no environment {name!r}. It registers {', '.join(there)}"
    plain = name.partition("-v")[0]
    return (f"env {env!r}: {module or 'nobody'} registers no environment {name!r}. Gymnasium makes what is registered, "
            f"so let the module say: gymnasium.register({f'{plain}-v0'!r}, entry_point={f'{module}:{plain}'!r}, "
            f"max_episode_steps=200), and write env: {module}:{plain}-v0")


def registered_steps(env: str) -> int:
    """Return the number of steps after which the registry truncates an episode of `env`; 0 means never."""
    return gymnasium.spec(env).max_episode_steps or 0


def own_period(env: Any, attribute: str = "dt") -> tuple[int | Clock, list[str]]:
    """Return the time one step of an environment takes, and what to warn of where it can only be guessed.

    It is the environment's own `attribute`, or `tau`; its frames per second are a guess.
    """
    base = env.unwrapped
    dt = next((dt for name in (attribute, "tau") if isinstance(dt := getattr(base, name, None), (int, float))), 0)
    if dt > 0:
        period = round(dt * SECOND)
        if abs(period - dt * SECOND) > 1e-6 * period:
            raise ValueError(f"one step of {type(base).__name__} takes {dt!r} s, which is not a whole number of "
                             "nanoseconds; say how long it is: period: 20 ms")
        return period, []
    rate = base.metadata.get("render_fps")
    if isinstance(rate, (int, float)) and rate > 0:
        ticks = Fraction(rate).limit_denominator(1000)
        exact = SECOND / ticks
        period = int(exact) if exact.denominator == 1 else Clock(ticks.numerator, ticks.denominator)
        return period, [f"{type(base).__name__} does not say how long one of its steps takes; its {rate:g} frames per "
                        f"second are taken for it: {say_period(period)}. Write the period to mean what you want"]
    raise ValueError(f"{type(base).__name__} does not say how long one of its steps takes; say it: period: 20 ms")


def physics_step(env: Any, attribute: str = "dt") -> int | None:
    """Return the nanoseconds by which one step advances an environment's world; None where it does not say."""
    try:
        own, guessed = own_period(env, attribute)
    except ValueError:
        return None
    return own if isinstance(own, int) and not guessed else None


def asked_period(env: Any, asked: int | Clock | None, attribute: str = "dt") -> tuple[int | Clock, list[str]]:
    """Return the period of a body, its environment's own unless asked for, and what to warn of when they differ."""
    if asked is None:
        return own_period(env, attribute)
    try:
        own, guessed = own_period(env, attribute)
    except ValueError:
        return asked, []  # the environment does not say, so nothing is contradicted
    if own == asked or guessed:
        return asked, []
    return asked, [f"ticks every {say_period(asked)}, but each tick advances its world by {say_period(own)}: "
                   "its physics does not run at the pace of the loop's time"]


def first_steps(name: str, env: Any, action: Any) -> tuple[list[Any], dict[str, Any]]:
    """Begin an episode and make one step; return what was shown each time, and all that was told as info.

    Raises ValueError where `reset` or `step` fail, or answer otherwise than Gymnasium's environments do.
    """
    begun = answer(name, "reset", 2, lambda: env.reset(seed=0))
    stepped = answer(name, "step", 5, lambda: env.step(action))
    _, reward, terminated, truncated, _ = stepped
    for what, value, kinds, wanted in (("reward", reward, "biuf", "one number"),
                                       ("terminated", terminated, "biu", "True or False"),
                                       ("truncated", truncated, "biu", "True or False")):
        number = np.asarray(value) if np.isscalar(value) or isinstance(value, np.ndarray) else None
        if number is None or number.shape or number.dtype.kind not in kinds:
            raise ValueError(f"{what} of {name} is {short(value)}; Gymnasium's step returns {wanted} there")
    return [begun[0], stepped[0]], {**begun[1], **stepped[4]}


def answer(name: str, what: str, size: int, ask: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what `reset` or `step` answered, if it has the parts it should have; raises ValueError where not."""
    try:
        told = ask()
    except Exception as error:  # whatever a user's environment raises is told as its own fault
        raise ValueError(f"{what} of {name} raised {type(error).__name__}: {error} ({place(error)}). Gymnasium's "
                         f"{what} returns {_RETURNS[what]}") from error
    if not isinstance(told, tuple) or len(told) != size:
        found = f"{len(told)} things" if isinstance(told, tuple) else f"a {type(told).__name__}"
        raise ValueError(f"{what} of {name} returns {found}, not {_RETURNS[what]} as Gymnasium has it")
    if not isinstance(told[-1], Mapping):
        raise ValueError(f"info of {name}, the last that its {what} returns, is {short(told[-1])}, not a dictionary; "
                         "write {} where there is nothing to tell")
    return told
