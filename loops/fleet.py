"""Processes on one machine or on many that do pieces of work side by side. This is the only file that knows Ray.

A fleet hosts work and nothing else: what belongs to whom, what has ended and what is left stands in the folders that
its processes share, so that a process, a machine or the fleet itself may be lost at any moment.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from .errors import RunError, StimloopError, short

STORE = 75 * 2**20  # bytes for objects that processes share: the least Ray takes, for ours share a folder instead
CONNECT_SECONDS = 10.0  # Ray itself looks for a cluster that is not there for minutes
# What decides how many threads a process computes with, and so how sums are rounded: as here, wherever it runs.
LIKE_HERE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MUJOCO_GL")


@dataclass(frozen=True)
class Ended:
    """A piece of work that is over: what it answered, or why it did not."""

    name: str
    answer: Any = None
    lost: str = ""  # how its process went: killed, or its machine is gone
    cancelled: bool = False  # it was interrupted before it could answer
    error: Exception | None = None  # what it raised


class Fleet:
    """Processes of a Ray cluster, started for the purpose or joined; one piece of work takes one of its CPUs.

    Nothing is started before the first piece of work. `close` ends a cluster that was started, and leaves one that
    was joined.
    """

    def __init__(self, address: str = "", size: int | None = None) -> None:
        """Prepare a fleet of `size` processes; raises RunError where Ray is not installed or `address` is none.

        Args:
            address: of a cluster to join: `host:port`, or `auto` for the one of this machine. Empty: start one here.
            size: pieces of work at once; None: as many as this machine has CPUs, or the cluster that is joined.
        """
        if find_spec("ray") is None:
            raise RunError('the package ray is not installed. Run: pip install "stimloop[cluster]", or share the work '
                           "among processes of this machine with --workers")
        if address and address != "auto":
            _host_and_port(address)
        self.address = address
        self.size = size if size is not None or address else _processors()
        self.running: dict[str, Any] = {}  # by name, Ray's promise of an answer
        self._ray: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        """Say what was started or joined."""
        if self._ray is None:
            return "Ray: nothing started yet"
        if not self.address:
            return f"Ray: started here, {self.size} CPUs"
        nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
        return f"Ray: joined {self.address}, nodes: {nodes}, CPUs: {self._ray.cluster_resources().get('CPU', 0):.0f}"

    @property
    def has_room(self) -> bool:
        """May another piece of work be started? Where nothing limits it, Ray lets work wait for a free CPU."""
        return self.size is None or len(self.running) < self.size

    def connect(self) -> bool:
        """Start or join the cluster; False where that was done before. Raises RunError where it cannot be."""
        if self._ray is not None:
            return False
        _settle_environment(own=not self.address)
        import ray

        if ray.is_initialized():
            raise RunError("Ray is in use already in this process: call ray.shutdown() before, and name its cluster "
                           "with address=\"auto\"")
        try:
            if self.address:
                self._join(ray)
            else:
                self._begin(ray)
        except BaseException:
            ray.shutdown()
            raise
        self._ray = ray
        return True

    def _begin(self, ray: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)
        try:
            ray.init(address="local", num_cpus=self.size, include_dashboard=False, object_store_memory=STORE,
                     _temp_dir=self._folder.name, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise RunError(f"Ray cannot be started here: {error}. It needs about 1 GB of memory for itself; --workers "
                           "alone shares the work among processes of this machine without it") from error

    def _join(self, ray: Any) -> None:
        like_here = {name: os.environ[name] for name in LIKE_HERE if name in os.environ}
        try:
            if self.address != "auto":
                socket.create_connection(_host_and_port(self.address), CONNECT_SECONDS).close()
            ray.init(address=self.address, runtime_env={"env_vars": like_here}, log_to_driver=False,
                     logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:  # RuntimeError: other versions
            raise RunError(f"the Ray cluster {self.address} cannot be joined: {error}. Start one with `ray start "
                           "--head` on its first machine and give the address that it prints, or leave --address out, "
                           "which starts one here") from error

    def start(self, name: str, work: Callable[..., Any], *args: Any) -> None:
        """Let a process of the fleet call `work(*args)`, a function of a module; it is not called a second time."""
        self.connect()
        task = self._ray.remote(num_cpus=1, max_retries=0)(_call)
        self.running[name] = task.options(name=name).remote(work, args)

    def ended(self, seconds: float) -> list[Ended]:
        """Return what is over; waits up to so many seconds for the first."""
        if not self.running:
            time.sleep(seconds)
            return []
        names = {promise: name for name, promise in self.running.items()}
        over, _ = self._ray.wait(list(names), num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(list(names), num_returns=len(names), timeout=0) if over else ([], [])
        return [self._answer(names[promise], promise) for promise in more]

    def _answer(self, name: str, promise: Any) -> Ended:
        errors = self._ray.exceptions
        del self.running[name]
        try:
            return Ended(name, self._ray.get(promise))
        except errors.TaskCancelledError:
            return Ended(name, cancelled=True)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.LocalRayletDiedError,
                errors.ObjectLostError) as error:
            return Ended(name, lost=str(error).partition("\n")[0] or type(error).__name__)
        except errors.RayTaskError as error:
            return Ended(name, error=error.cause if isinstance(error.cause, StimloopError) else error)

    def interrupt(self) -> None:
        """Ask all that is running to stop, as Ctrl-C would: each gets SIGINT once; what has not begun never will."""
        for promise in self.running.values():
            self._ray.cancel(promise)

    def close(self) -> None:
        """End a cluster that was started here, or leave the one that was joined; what still runs is killed."""
        if self._ray is not None:
            self._ray.shutdown()
        self._ray, self.running = None, {}
        if self._folder is not None:
            self._folder.cleanup()


def _processors() -> int:
    """Return how many CPUs this process may use; macOS only tells how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _call(work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Do a piece of work, in a process of the fleet."""
    return work(*args)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RunError(f"{short(address)} is no address of a Ray cluster. Write host:port, as `ray start --head` "
                       "prints it, or auto for the cluster of this machine")
    return host.strip("[]"), int(port)


def _settle_environment(own: bool) -> None:
    """Tell Ray, before it is loaded, to report to nobody, and to keep other users out of a cluster of our own.

    Ray would write a token for all clusters to the home directory, or let anybody in; here a cluster has a token that
    is known to its own processes alone. Whoever has chosen with RAY_AUTH_MODE, or has loaded Ray, has chosen.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if own and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
