"""Pictures of MuJoCo worlds, drawn without a screen by whichever library of this machine can."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...loops.errors import RunError, reason

CHOICE = "MUJOCO_GL"  # the variable by which MuJoCo is told how to draw, read once when it is imported
WAYS = ("egl", "osmesa")  # that need no screen
_PLATFORM = "PYOPENGL_PLATFORM"  # MuJoCo sets it to the way it tries, and refuses another one that it finds
_GIVEN = os.environ.get(_PLATFORM)
_SECONDS = 60.0  # that a trial may take on a slow disk
_TRIAL = "import mujoco; context = mujoco.GLContext(8, 8); context.make_current(); context.free()"


def choose() -> None:
    """Choose how MuJoCo draws, before anything has imported it; what the user has chosen stands."""
    for driver in ("SDL_AUDIODRIVER", "SDL_VIDEODRIVER"):  # pygame, which draws the simple tasks, else looks for both
        os.environ.setdefault(driver, "dummy")
    if CHOICE in os.environ or "mujoco" in sys.modules or importlib.util.find_spec("mujoco") is None:
        return
    found = next(filter(works, WAYS), None)
    if found is not None:
        os.environ[CHOICE] = found


def works(way: str) -> bool:
    """Can MuJoCo draw in this way on this machine? Tried in a process of its own, for it may end it."""
    given = {} if _GIVEN is None else {_PLATFORM: _GIVEN}
    env = {**{name: told for name, told in os.environ.items() if name != _PLATFORM}, **given, CHOICE: way}
    try:
        done = subprocess.run([sys.executable, "-c", _TRIAL], env=env, capture_output=True, timeout=_SECONDS,
                              check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def remedy() -> str:
    """Say what to do where MuJoCo cannot draw."""
    found = next(filter(works, WAYS), None)
    if found is not None:
        return (f"This process began with {CHOICE}={os.environ.get(CHOICE, '')}; {found} works here: set "
                f"{CHOICE}={found} before Python starts")
    return (f"Neither of {', '.join(WAYS)} works here. Install a library that draws without a screen (on Debian and "
            f"Ubuntu: apt install libegl1 libgl1-mesa-dri, or libosmesa6), and set {CHOICE}=egl, or {CHOICE}=osmesa")


def doubt() -> str:
    """Say what is wrong with the chosen way of drawing; with a wrong one MuJoCo cannot even be imported."""
    chosen = os.environ.get(CHOICE, "")
    return "" if chosen in ("", "disable") or works(chosen) else f"\n{CHOICE}={chosen} does not work. {remedy()}"


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Say of every fault of a foreign renderer what could not be drawn, and what to do."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:  # each library that draws has its own kinds
        raise RunError(f"{what} cannot be drawn: {reason(error)}\nWhere MuJoCo draws: {remedy()}") from error


@contextmanager
def importing() -> Iterator[None]:
    """Say of whatever MuJoCo's import ends with that it is the chosen way of drawing, where that does not work."""
    try:
        yield
    except Exception as error:  # OpenGL without its library raises what its own code stumbles over
        said = "" if "mujoco" in sys.modules else doubt()
        if not said:
            raise
        raise RunError(f"MuJoCo cannot be imported: {reason(error)}{said}. Where nothing is to be drawn, "
                       f"{CHOICE}=disable works everywhere") from error


class Camera:
    """Looks at one MuJoCo world, by a camera of its model (None: from where all that can move is seen)."""

    def __init__(self, model: Any, name: str | None) -> None:
        self._model = model
        self._view: Any = name
        self._size = (0, 0)
        self._renderer: Any = None

    def take(self, data: Any, width: int, height: int) -> np.ndarray:
        """Return a picture [height, width, 3] uint8."""
        with telling("a MuJoCo world"):
            if self._size != (width, height):
                self._open(width, height)
            if self._view is None:
                self._view = self._see_all(data)
            self._renderer.update_scene(data, self._view)
            return np.array(self._renderer.render())

    def _open(self, width: int, height: int) -> None:
        import mujoco

        self.close()
        room = self._model.vis.global_  # of the buffer that is drawn into; nothing of the physics
        room.offwidth, room.offheight = max(room.offwidth, width), max(room.offheight, height)
        self._renderer = mujoco.Renderer(self._model, height, width)
        self._size = (width, height)

    def _see_all(self, data: Any) -> Any:
        """Return a camera that stands where every body that a joint can move is seen."""
        import mujoco

        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(self._model, camera)
        moving = self._model.body_weldid != 0  # not fixed to the world
        if moving.any():
            low, high = data.xpos[moving].min(axis=0), data.xpos[moving].max(axis=0)
            camera.lookat[:] = (low + high) / 2
            camera.distance = 3 * max(float(np.linalg.norm(high - low)), 0.1 * float(self._model.stat.extent))
        return camera

    def close(self) -> None:
        """Let go of the library that draws; may be called twice."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer, self._size = None, (0, 0)
