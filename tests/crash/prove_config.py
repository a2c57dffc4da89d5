"""Documents that a stranger might write: whatever they hold, reading them ends in AssemblyError or success.

`documents` makes YAML by rules (types, addresses, numbers, traps) and by damaging text; `watch` sees every import and
every act that a description has no business causing.

The second that a document may take is processor time of this process, all its threads together: on a busy machine wall
time counts other people's work, and a document cannot hide work from its own processor time. What it could hide is
waiting (for a pipe, a lock, a network), so wall time has a bound of its own, wide enough for any machine. Python's
collector walks through everything that is alive, and what Hypothesis remembers of earlier documents is most of that:
after 5,000 documents one collection took 0.5 s, whichever document it fell upon. So the rest of the process is frozen
while a document is read, and a collection then walks through what this document made.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import stimloop as sl
from stimloop.assemblies.checking import check
from stimloop.catalogue import index, lookup
from stimloop.loops.errors import AssemblyError

# Modules that are on Python's path and that nothing of ours imports: naming them must not import them.
FOREIGN = ("antigravity", "this", "ftplib", "poplib", "turtle", "xmlrpc", "idlelib", "nntplib", "sched", "pydoc_data")
ACTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename",
        "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.kill", "shutil.rmtree", "socket.connect",
        "socket.bind", "pty.spawn", "webbrowser.open", "ctypes.dlopen", "urllib.Request", "ftplib.connect"}
SECONDS = 1.0  # of processor time
WALL_SECONDS = 30.0  # for what waits instead of working
AT_ONCE = 1_000  # documents that Hypothesis draws before it may forget them

_seen: list[str] = []
_state = {"watching": False, "installed": False}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state["watching"]:
        return
    if event == "import" and str(arguments[0]).partition(".")[0] in FOREIGN:
        _seen.append(f"import {arguments[0]}")
    elif event == "exec" and Path(getattr(arguments[0], "co_filename", "")).stem in FOREIGN:
        _seen.append(f"run {arguments[0].co_filename}")  # an import by importlib raises no event of its own
    elif event in ACTS:
        _seen.append(f"{event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _seen.append(f"open {arguments[0]!r} to write")
    elif event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(("/etc", "/root/.ssh")):
        _seen.append(f"open {arguments[0]!r}")


@contextlib.contextmanager
def watch() -> Iterator[list[str]]:
    """Collect every forbidden act while open (an audit hook cannot be removed, so it is told when to look)."""
    if not _state["installed"]:
        sys.addaudithook(_hook)
        _state["installed"] = True
    _seen.clear()
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _state["watching"] = True
    try:
        yield _seen
    finally:
        _state["watching"] = False
        sys.dont_write_bytecode = before


def _types() -> st.SearchStrategy[str]:
    light = [name for name in lookup.shipped() if name not in ("bodies.myosuite", "bodies.gymnasium_env")]
    foreign = [f"{module}:{name}" for module in FOREIGN for name in ("System", "a.b", "__init__")]
    wrong = ["os:system", "subprocess:Popen", "builtins:eval", "basics.nothing", "basics", "../x", "bodies.", ".x",
             "stimloop.assemblies.cli:main", "a" * 300, "", "basics.gain.Gain", "parts.roles", "components.basics.gain"]
    heavy = st.sampled_from(["bodies.gymnasium_env", *light])
    return st.one_of(st.sampled_from(light), st.sampled_from(light), heavy, st.sampled_from([*foreign, *wrong]))


NAMES = st.sampled_from(["body", "brain", "limiter", "stimulator", "coprocessor", "x", "seed", "Y" * 80, "a b", "é",
                         ""])
PORTS = st.sampled_from(["observation", "action", "command", "current", "status", "output", "input", "reward", "x"])
SOURCES = st.builds(lambda name, port: f"{name}.{port}", NAMES, PORTS)
# what a plain scalar may be; written without quotes
PLAIN = st.sampled_from([
    "1", "0", "-1", "1e3", "5e-3", "1e999", ".inf", "-.inf", ".nan", "0x10", "012", "1:30", "on", "yes", "null", "~",
    "true", "20 ms", "50 Hz", "1 parsec", "-3 s", "1e30 s", "9" * 40, "9" * 900, "2026-11-20", "[32, 32]", "[]", "{}",
    "[[[1]]]", "{fraction: 0.5}", "{fraction: 2}", "{kind: x}", "'quoted'", "/etc/passwd", "../../secret", "~/x", "a:b",
    "antigravity:Env-v0", "this:X", "hand_tuned_elbow", "x.safetensors", "Pendulum-v1", "*a", "&a 1", "!x 1", "tanh",
    "!!python/name:os.system", "[1, a, null]", "1_000", "\"\\u0000\"", "é", "1.5", "100000000000"])
LARGE = ("100000000000", "9" * 40)
PARAMS = ["value", "gain", "offset", "period", "hidden", "lesion", "weights", "env", "peak", "channels", "latency", "x",
          "units", "command", "low", "high", "entries", "episodes", "steps", "window", "run", "component", "lanes",
          "placement", "dimensions", "max_steps", "activation", "head", "size", "index", "port", "seed", "decay"]


@st.composite
def components(draw: Any) -> str:
    """One component as flow YAML."""
    kind = draw(st.one_of(_types(), _types(), PLAIN))
    parts = [f"type: {kind}"]
    if draw(st.booleans()):
        own = sorted(index.load().get(kind, {}).get("parameters", {}).get("properties", {})) or PARAMS
        name = st.one_of(st.sampled_from(own), st.sampled_from(own), st.sampled_from(PARAMS))
        names = draw(st.lists(name, max_size=4, unique=draw(st.booleans())))
        parts.append("params: {" + ", ".join(f"{name}: {draw(PLAIN)}" for name in names) + "}")
    wires = draw(st.lists(st.one_of(
        SOURCES, st.builds(lambda p, s: f"{{{p}: {s}}}", PORTS, SOURCES),
        st.builds(lambda s, d, r: f"{{from: {s}, delay: {d}, reads: {r}}}", SOURCES, PLAIN,
                  st.sampled_from(["now", "hold", "mean", "all", "then"])),
        st.builds(lambda p, s: f"{{{p}: {{like: {s}}}}}", PORTS, SOURCES), PLAIN), max_size=3))
    if wires:
        parts.append(f"inputs: [{', '.join(wires)}]")
    if draw(st.integers(0, 4)) == 0:
        parts.append(f"uses: {{policy: {draw(NAMES)}, world: {draw(PLAIN)}}}")
    if draw(st.integers(0, 4)) == 0:
        parts.append(f"{draw(st.sampled_from(['seed', 'lanes', 'sed', 'type']))}: {draw(PLAIN)}")
    return "{" + ", ".join(parts) + "}"


ADDRESSES = st.one_of(
    st.builds(lambda n, k, p: f"{n}.{k}.{p}", NAMES, st.sampled_from(["params", "inputs", "uses", "parms"]),
              st.one_of(st.sampled_from(PARAMS), PORTS)), NAMES,
    st.sampled_from(["lanes", "until", "evaluate.test.episodes", "components", "", ".", "a.b.c.d.e", "brain..x"]))
CHANGES = st.lists(st.builds(lambda a, v: f"'{a}': {v}", ADDRESSES, st.one_of(PLAIN, components())), max_size=3)
TOP = st.one_of(
    st.builds(lambda k, v: f"{k}: {v}", st.sampled_from([
        "name", "seed", "lanes", "until", "record", "check", "checkpoint", "evaluate", "variants", "small", "sweep",
        "about", "allow", "_target_", "<<"]), PLAIN),
    st.builds(lambda c: f"variants: {{one: {{{', '.join(c)}}}}}", CHANGES),
    st.builds(lambda c: f"small: {{{', '.join(c)}}}", CHANGES),
    st.builds(lambda e, n, w: f"evaluate: {{test: {{every: {e}, episodes: {n}, without: [{w}]}}}}", PLAIN, PLAIN,
              NAMES))


@st.composite
def structured(draw: Any) -> str:
    """A whole document made by the rules."""
    lines = [draw(TOP) for _ in range(draw(st.integers(0, 3)))]
    lines.append("components:")
    lines += [f"  {draw(NAMES)}: {draw(components())}" for _ in range(draw(st.integers(0, 5)))]
    return "\n".join(lines) + "\n"


@st.composite
def damaged(draw: Any) -> str:
    """A good document with a piece cut out, doubled or replaced."""
    text = draw(st.sampled_from(_good()))
    start = draw(st.integers(0, len(text)))
    stop = min(len(text), start + draw(st.integers(0, 30)))
    traps = ["\n", ": ", "{", "}", "[", "]", "- ", "*a", "&a ", "!!", "\t", text[start:stop] * 2, "\x00", "\ud800",
             "---\n"]
    piece = draw(st.one_of(st.text(max_size=8), st.sampled_from(traps)))
    return text[:start] + piece + text[stop:]


def _good() -> list[str]:
    folder = Path(sl.__file__).parent / "assemblies"
    return [(folder / f"{name}.yaml").read_text() for name in ("point_mass", "cartpole_first")]


BOMBS = st.sampled_from([
    "a: &a [x,x]\n" + "".join(f"b{i}: &b{i} [*a,*a]\n" for i in range(40)), "[" * 100_000, "{a: " * 50_000,
    "components: " + "[" * 30 + "]" * 30, "a: 1\n" * 20_000, "? " * 5000, "- " * 5000, "'" * 9999, "#" * 100_000,
    "components: {" + ", ".join(f"c{i}: {{type: basics.constant}}" for i in range(200)) + "}",
    "!!set {a, b}", "%YAML 1.2\n---\na: 1",
    "x: " + "9" * 100_000, "x: |\n  " + "y" * 100_000])
documents = st.one_of(structured(), structured(), structured(), damaged(), st.text(max_size=200), BOMBS)


def read_and_check(text: str) -> bool:
    """Do with a document all that can be done without running it; is it accepted?"""
    try:
        assembly = sl.Assembly.from_yaml(text)
        written = assembly.to_yaml()
        if sl.Assembly.from_yaml(written).to_yaml() != written or len(assembly.hash) != 64:
            raise RuntimeError("what is written is not what is read")
        ok = not check(assembly).errors
        if ok and not any(large in text for large in LARGE):  # nobody promises memory for a hundred billion neurons
            assembly.build().close()
        for variant in assembly.variants:
            check(assembly.resolve(variant=variant, small=assembly.get("small") is not None))
    except AssemblyError as error:
        if not str(error):
            raise RuntimeError("an error without words") from error
        return False
    return ok


def warm_up() -> None:
    """Import every component first: what an import costs is no document's doing."""
    for name in lookup.shipped():
        with contextlib.suppress(lookup.LookupFailed):
            lookup.find(name)
    read_and_check("components: {body: {type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs: [b.action]},"
                   "b: {type: brains.mlp, inputs: [body.observation]}}")


@contextlib.contextmanager
def timed(told: dict[str, Any]) -> Iterator[None]:
    """Time what is done with one document, with everything older left out of collections."""
    gc.freeze()
    start, wall = time.process_time(), time.perf_counter()
    try:
        yield
    finally:
        seconds, waited = time.process_time() - start, time.perf_counter() - wall
        gc.unfreeze()
        told["slowest_s"] = max(told["slowest_s"], seconds)
        told["slowest_wall_s"] = max(told["slowest_wall_s"], waited)
    assert seconds <= SECONDS, f"{seconds:.2f} s of processor time"
    assert waited <= WALL_SECONDS, f"{waited:.2f} s of wall time"


def some(n: int, number: int, told: dict[str, Any]) -> None:
    """Read and check `n` documents, the `number`-th lot; raises at the first that does not end as it must."""

    @seed(number)
    @settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              report_multiple_bugs=False)
    @given(documents)
    def one(text: str) -> None:
        with timed(told), watch() as acts:
            accepted = read_and_check(text)
        told["documents"] += 1
        told["accepted"] += accepted
        assert not acts, acts

    one()


def prove_config(n: int = 100_000) -> dict[str, Any]:
    """Read and check `n` documents; holds when each ends in AssemblyError or success within a second, and no more."""
    os.environ.setdefault("MUJOCO_GL", "disable")
    warm_up()
    known = {name.partition(".")[0] for name in sys.modules}
    told: dict[str, Any] = {"documents": 0, "accepted": 0, "slowest_s": 0.0, "slowest_wall_s": 0.0,
                            "judged_by": "processor time of the process"}
    try:
        for number, first in enumerate(range(0, n, AT_ONCE)):
            some(min(AT_ONCE, n - first), number, told)
    except Exception as error:
        return {"holds": False, "error": f"{type(error).__name__}: {error}"[:2000],
                "notes": [str(note)[:2000] for note in getattr(error, "__notes__", ())], **told}
    foreign = sorted({name.partition(".")[0] for name in sys.modules} - known)
    return {"holds": told["documents"] >= n and not foreign, "imported": foreign, **told}
