"""Signs that a learned model says less of its doubt than it should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LEVEL, _LEAST = 0.9, 0.7  # of an interval: the share that it should hold, and the one below which it is told
_FEWEST = 30  # steps from which a share is told: of fewer, honest intervals may hold so little by chance
_WORDS = {"observation": "changes of the observation", "reward": "rewards"}


def too_sure(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each model of a run (`model_facts.facts`) whose intervals hold far too little."""
    return [text for found in known if not found["missing"] and found["steps"] >= _FEWEST for text in _told(found)]


def _told(found: Mapping[str, Any]) -> list[str]:
    coverage = found["coverage"]
    at = coverage["nominal"].index(_LEVEL)
    low = [f"{coverage[what][at]:.0%} of the {words}" for what, words in _WORDS.items() if coverage[what][at] < _LEAST]
    if not low:
        return []
    return [f"{found['model']} is surer than it should be: its intervals of {_LEVEL:.0%} hold {' and '.join(low)} (on "
            f"{found['on']}). Give it more steps or fits before it is used, or rely less on it: shorter roll-outs, "
            "more real rows."]
