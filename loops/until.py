"""When a run stops: `40 min`, `30000 steps`, `10 episodes of body`, `learner.done`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .errors import TimeError
from .time import parse_duration, say

_COUNT = re.compile(r"\s*([0-9][0-9_]*)\s*(steps?|episodes?)(?:\s+of\s+([A-Za-z_]\w*))?\s*")
_PORT = re.compile(r"\s*([A-Za-z_]\w*)\.([A-Za-z_]\w*)\s*")


@dataclass(frozen=True)
class Until:
    """A stop: simulated `time` (ns), a count of `steps` or `episodes` of a body, or a laneless bool `port`."""

    kind: Literal["time", "steps", "episodes", "port"]
    amount: int = 0
    component: str | None = None  # the body counted, or the port's component
    port: str = ""

    @staticmethod
    def parse(text: str | int | Until) -> Until:
        """Read a stop; an int is nanoseconds. Raises TimeError with the forms that are understood."""
        if isinstance(text, Until):
            return text
        if isinstance(text, int) and not isinstance(text, bool):
            if text < 0:
                raise TimeError(f"a stop at {text} ns lies before the beginning; write 0 or more, such as '10 s'")
            return Until("time", int(text))
        if not isinstance(text, str):
            raise TimeError(f"{text!r} is not a stop; write '40 min', '30000 steps', '10 episodes' or 'learner.done'")
        if match := _COUNT.fullmatch(text):
            kind: Literal["steps", "episodes"] = "steps" if match.group(2).startswith("step") else "episodes"
            return Until(kind, int(match.group(1)), match.group(3))
        if match := _PORT.fullmatch(text):
            return Until("port", 0, match.group(1), match.group(2))
        try:
            return Until("time", parse_duration(text))
        except TimeError:
            raise TimeError(f"{text!r} is not a stop; write '40 min', '30000 steps', '10 episodes' or 'learner.done'"
                            ) from None

    def __str__(self) -> str:
        if self.kind == "time":
            return say(self.amount)
        if self.kind == "port":
            return f"{self.component}.{self.port}"
        return f"{self.amount} {self.kind}" + (f" of {self.component}" if self.component else "")
