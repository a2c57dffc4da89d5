"""Where the time goes: seconds spent in each component's step, beside the loop's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .loop import Loop


class Profile:
    """Times every step of a loop's components from now on; `table()` says what each cost."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.seconds = dict.fromkeys(loop.nodes, 0.0)
        self.steps = dict.fromkeys(loop.nodes, 0)
        self._started, self._evaluated_before = time.perf_counter(), self._evaluated()
        for node in loop.plan:
            node.step = self._timed(node.name, node.step)

    def _timed(self, name: str, step: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        clock, seconds, steps = time.perf_counter, self.seconds, self.steps

        def timed(now: int, inputs: Any) -> dict[str, Any]:
            start = clock()
            outputs = step(now, inputs)
            seconds[name] += clock() - start
            steps[name] += 1
            return outputs

        return timed

    def _evaluated(self) -> float:
        return sum(evaluation.seconds for evaluation in self.loop.evaluations.values())

    def table(self) -> list[dict[str, Any]]:
        """Rows of component, steps, seconds, share of the wall time; evaluations and the loop itself come last."""
        total = time.perf_counter() - self._started
        rows = [{"component": name, "steps": self.steps[name], "seconds": round(spent, 6), "share": spent / total}
                for name, spent in sorted(self.seconds.items(), key=lambda item: -item[1])]
        evaluated = self._evaluated() - self._evaluated_before
        if self.loop.evaluations:
            rows.append({"component": "(evaluation)", "steps": None, "seconds": round(evaluated, 6),
                         "share": evaluated / total})
        rest = max(0.0, total - evaluated - sum(self.seconds.values()))
        rows.append({"component": "(loop and recorder)", "steps": max(self.steps.values(), default=0),
                     "seconds": round(rest, 6), "share": rest / total})
        return rows

    def close(self) -> None:
        """Stop timing."""
        for node in self.loop.plan:
            node.step = node.component.step
