"""Signs that a learned model says less of its doubt than it should, or far more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LEVEL, _LEAST = 0.9, 0.7  # of an interval: the share that it should hold, and the one below which it is told
_FEWEST = 30  # steps from which a share is told: of fewer, honest intervals may hold so little by chance
_HALF, _MOST = 0.5, 0.85  # a share that an interval should hold, and the one above which deviations are double
_MATTERS = 0.1  # claimed deviation of a step, as a share of that of the observation or reward: below it is no noise
_WORDS = {"observation": "changes of the observation", "reward": "rewards"}


def too_sure(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each model of a run (`model_facts.facts`) whose intervals hold far too little."""
    return [text for found in known if not found["missing"] and found["steps"] >= _FEWEST for text in _told(found)]


def too_wary(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each model of a run whose intervals hold far too much, about what it is not sure of."""
    return [text for found in known if not found["missing"] and found["steps"] >= _FEWEST for text in _wide(found)]


def _wide(found: Mapping[str, Any]) -> list[str]:
    coverage, doubt = found["coverage"], found["doubt"]
    half, most = (coverage["nominal"].index(level) for level in (_HALF, _LEVEL))
    high = [f"{coverage[what][half]:.0%} of the {words}" for what, words in _WORDS.items()
            if coverage[what][half] > _MOST and coverage[what][most] > _LEVEL and doubt[what] > _MATTERS]
    if not high:
        return []
    return [f"{found['model']} is less sure than it could be: its intervals of {_HALF:.0%} hold {' and '.join(high)} "
            f"(on {found['on']}). What it imagines is noisier than what comes. Give it more fits, for deviations "
            "settle later than means, or imagine without noise (deterministic_obs, deterministic_rewards)."]


def _told(found: Mapping[str, Any]) -> list[str]:
    coverage = found["coverage"]
    at = coverage["nominal"].index(_LEVEL)
    low = [f"{coverage[what][at]:.0%} of the {words}" for what, words in _WORDS.items() if coverage[what][at] < _LEAST]
    if not low:
        return []
    return [f"{found['model']} is surer than it should be: its intervals of {_LEVEL:.0%} hold {' and '.join(low)} (on "
            f"{found['on']}). Give it more steps or fits before it is used, or rely less on it: shorter roll-outs, "
            "more real rows."]
