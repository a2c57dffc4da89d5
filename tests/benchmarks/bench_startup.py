"""Start-up: `stimloop --help`, and load, validate and build of a YAML with 500 components."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .common import check

COMPONENTS = 500
REPEATS = 25


def document(components: int = COMPONENTS) -> str:
    """Return a YAML of a body and chains of gains, ten long, each listening to it: all wired, all with parameters."""
    lines = ["name: many", "until: 1 s", "components:",
             "  body: {type: bodies.point_mass, inputs: [{action: g0.output}]}",
             "  source: {type: basics.constant, params: {value: [0.1, 0.2], period: 20 ms}}"]
    for i in range(components - 2):
        source = "source.output" if i % 10 == 0 else f"g{i - 1}.output"
        lines.append(f"  g{i}: {{type: basics.gain, params: {{gain: 0.5, offset: [1e-3, 0]}}, "
                     f"inputs: [{{input: {source}}}]}}")
    return "\n".join(lines) + "\n"


def help_seconds() -> list[float]:
    """Wall seconds of whole `stimloop --help` processes."""
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "stimloop.assemblies.cli", "--help"], check=True, capture_output=True)
        found.append(time.perf_counter() - start)
    return found


def build_milliseconds() -> list[float]:
    """Milliseconds of load, validate and build in a process that has its libraries imported."""
    import stimloop as sl

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.yaml"
        path.write_text(document())
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            loop = sl.load(path).build()
            found.append((time.perf_counter() - start) * 1000)
            assert len(loop.components) == COMPONENTS
            loop.close()
    return found[1:]  # the first one imports


def measure() -> dict:
    """Return both figures with the bounds of the page."""
    return {"name": "startup", "settings": {"components": COMPONENTS, "repeats": REPEATS},
            "checks": [check("help_s", help_seconds(), "s", at_most=0.4),
                       check("build_500_ms", build_milliseconds(), "ms", at_most=150)]}
