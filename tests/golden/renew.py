"""Renews golden traces: `python tests/golden/renew.py NAME --because "why they may differ now"`.

NAME is a shipped assembly, or `all`. The reason is written into the file, below those before it; without one nothing
is renewed, and neither is a trace that has not changed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MUJOCO_GL": "disable"}


def main(arguments: list[str] | None = None) -> int:
    """Renew the traces named on the command line; exit code 2 when no reason is given."""
    from golden import shipped_traces as golden
    from stimloop.assemblies.loading import shipped

    parser = argparse.ArgumentParser(description="Makes the present traces of shipped assemblies the golden ones.")
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, {', '.join(shipped())}")
    parser.add_argument("--because", required=True, metavar="REASON", help="why the traces may differ from before")
    chosen = parser.parse_args(arguments)
    if not chosen.because.strip():
        parser.error('a golden trace is renewed for a reason: --because "..."')
    if unknown := set(chosen.names) - {"all", *shipped()}:
        parser.error(f"no shipped assembly {', '.join(sorted(unknown))}; there are {', '.join(shipped())}")
    for name in shipped() if "all" in chosen.names else chosen.names:
        found, before = golden.traces(name), golden.read(name)
        apart = list(golden.differences(before.get("variants", {}), found, exact=True))
        if before and golden.is_exact(before) and not apart:
            say(f"{name}: nothing has changed, nothing is renewed")
            continue
        golden.write(name, found, chosen.because)
        say("\n  ".join([f"{name}: renewed", *apart]))
    return 0


def say(line: str) -> None:
    """Tell what was done."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)  # before NumPy is loaded
    sys.path.insert(0, str(TESTS))
    sys.exit(main())
