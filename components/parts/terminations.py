"""When an episode is over, as functions of a transition: a learned model of a world is asked, not the world.

A termination function takes observations, actions and the observations that followed, [batch, ...] each, as NumPy
arrays or as torch tensors on any device, and answers which transitions end an episode, bool [batch]. Those named here
are those of the environments of Gymnasium 1.2 (version 5) and of our hands. They are written with operators and
methods that both libraries have, so that this module imports neither.

The rules were held against `gymnasium.envs.mujoco` step by step (`termination_check`). Where its documentation and its
code differ, the code is followed: intervals that the pages call closed are open in Hopper, Walker2d and Humanoid. A
rule sees what was observed, so what an observation hides it cannot judge: speeds are clipped to 10 there, which is why
a hopper whose joints turn at 100 rad/s has ended in Gymnasium and not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...loops.errors import Problem, StimloopError, counted, nearest, place, reason
from .allowed import find_allowed

Termination = Callable[[Any, Any, Any], Any]  # observation, action, successor [batch, ...] -> bool [batch]

_INFINITE = float("inf")
_POLE = 0.6  # m, length of each pole of the double pendulum
GAIT_HEIGHT = 11  # place of the object's height in the observation of bodies.hand_gait: 9 joints, then x, y, z
DROPPED = 0.04  # m: an object whose middle is lower than this lies on the floor; see parts/hand_model.py
_RULES = re.compile(r"healthy_(z|angle|state)_range|terminate_when_unhealthy|exclude_current_positions_from_observation"
                    r"|xml_file")  # parameters of environments that change what ends an episode, or where it is seen


def _finite(values: Any) -> Any:
    """Which rows hold numbers only, bool [batch]; comparisons with what is no number are false."""
    return (abs(values) < _INFINITE).all(-1)


def never(observation: Any, action: Any, successor: Any) -> Any:
    """No transition ends an episode: HalfCheetah, Pendulum, the hand that turns a valve."""
    return (abs(successor) < 0).any(-1)


def inverted_pendulum(observation: Any, action: Any, successor: Any) -> Any:
    """The pole leans more than 0.2 rad, or something is no number."""
    return ~_finite(successor) | (abs(successor[..., 1]) > 0.2)


def inverted_double_pendulum(observation: Any, action: Any, successor: Any) -> Any:
    """The tip of the upper pole is at most 1 m high; observed are the sines (1, 2) and cosines (3, 4) of both angles.

    What a model predicts as sine and cosine need not lie on the circle: both are brought back to it. As in Gymnasium,
    what is no number ends nothing. Gymnasium's height is not brought up to date after the last physics step: in
    20 000 steps it was up to 0.3 mm beside the position observed, and 1 end in 11 693 was judged otherwise.
    """
    sine, cosine = successor[..., 1:3], successor[..., 3:5]
    length = (sine**2 + cosine**2).clip(min=1e-30) ** 0.5
    sine, cosine = sine / length, cosine / length
    both = cosine[..., 0] * cosine[..., 1] - sine[..., 0] * sine[..., 1]  # of the sum of the angles
    return _POLE * (cosine[..., 0] + both) <= 1.0


def hopper(observation: Any, action: Any, successor: Any) -> Any:
    """The torso is at 0.7 m or lower, leans 0.2 rad or more, or something is 100 or more, or no number."""
    height, rest = successor[..., 0], successor[..., 1:]
    healthy = (height > 0.7) & (height < _INFINITE) & (abs(successor[..., 1]) < 0.2) & (abs(rest) < 100.0).all(-1)
    return ~healthy


def walker2d(observation: Any, action: Any, successor: Any) -> Any:
    """The torso is outside the open interval from 0.8 to 2 m, or leans 1 rad or more, or either is no number."""
    height, lean = successor[..., 0], successor[..., 1]
    return ~((height > 0.8) & (height < 2.0) & (abs(lean) < 1.0))


def ant(observation: Any, action: Any, successor: Any) -> Any:
    """The torso is outside the closed interval from 0.2 to 1 m, or something observed is no number.

    The height is the first observation whether contact forces follow (105 numbers) or not (27).
    """
    height = successor[..., 0]
    return ~(_finite(successor) & (height >= 0.2) & (height <= 1.0))


def humanoid(observation: Any, action: Any, successor: Any) -> Any:
    """The torso is outside the open interval from 1 to 2 m, or its height is no number; truncated or whole observation.

    The height comes first in both.
    """
    height = successor[..., 0]
    return ~((height > 1.0) & (height < 2.0))


def hand_gait(observation: Any, action: Any, successor: Any) -> Any:
    """The middle of the object is lower than any that does not lie on the floor, or its height is no number."""
    return ~(successor[..., GAIT_HEIGHT] >= DROPPED)


NAMED: Mapping[str, Termination] = {
    "inverted_pendulum": inverted_pendulum, "inverted_double_pendulum": inverted_double_pendulum, "hopper": hopper,
    "walker2d": walker2d, "ant": ant, "humanoid": humanoid, "halfcheetah": never, "pendulum": never,
    "hand_valve": never, "hand_gait": hand_gait, "never": never,
}
READS: Mapping[Termination, int] = {  # how many numbers a rule needs to see
    never: 0, inverted_pendulum: 2, inverted_double_pendulum: 5, hopper: 2, walker2d: 2, ant: 1, humanoid: 1,
    hand_gait: GAIT_HEIGHT + 1}
_ENVIRONMENTS = {"InvertedPendulum": "inverted_pendulum", "InvertedDoublePendulum": "inverted_double_pendulum",
                 "Hopper": "hopper", "Walker2d": "walker2d", "Ant": "ant", "Humanoid": "humanoid",
                 "HalfCheetah": "halfcheetah", "Pendulum": "pendulum"}
_SAME = {"terminate_when_unhealthy": True, "exclude_current_positions_from_observation": True}
USUAL: Mapping[str, Mapping[str, Any]] = {  # parameters as they are by default
    "hopper": {**_SAME, "healthy_z_range": (0.7, _INFINITE), "healthy_angle_range": (-0.2, 0.2),
               "healthy_state_range": (-100.0, 100.0)},
    "walker2d": {**_SAME, "healthy_z_range": (0.8, 2.0), "healthy_angle_range": (-1.0, 1.0)},
    "ant": {**_SAME, "healthy_z_range": (0.2, 1.0)}, "humanoid": {**_SAME, "healthy_z_range": (1.0, 2.0)}}
_REMEDY = ("Write a function of (observation, action, successor) that returns bool [batch], name it "
           "termination: my_module:function and allow its module; if no episode ever ends, name never. "
           "`stimloop new environment NAME` writes one, `stimloop check-termination` compares it with the environment")
_BODIES = f"{__package__.rpartition('.')[0]}.bodies."


def find(name: str) -> Termination:
    """Return a termination function: one named here, or one's own as `my_module:function`, if that module is allowed.

    Raises ValueError for an unknown name (with the nearest known one), for a module that nobody allowed, and for what
    is no function.
    """
    if ":" in name:
        found = find_allowed(name, "termination")
        if not callable(found):
            raise ValueError(f"termination {name!r} is no function but a {type(found).__name__}; write one that takes "
                             "(observation, action, successor) and returns bool [batch]")
        return found  # type: ignore[no-any-return]
    if name not in NAMED:
        raise ValueError(f"termination {name!r} is unknown. {nearest(name, NAMED)} Your own is named "
                         "my_module:function")
    return NAMED[name]


def name_for_env(env: str, params: Mapping[str, Any] | None = None) -> str:
    """Return the name of the termination function of an environment's id: Hopper-v5 is `hopper`.

    Raises ValueError where none is known, and where `params` of the environment change its rules or its observation.
    """
    name = _known(env)
    if name is None:
        plain = _plain(env)
        close = nearest(plain, _ENVIRONMENTS)
        raise ValueError(f"it is not known when an episode of {env!r} ends. {close if 'Did' in close else ''} {_REMEDY}"
                         .replace("  ", " "))
    if changed := _changed(name, env, params or {}):
        raise ValueError(f"{changed}. {_REMEDY}")
    return name


def check_body(name: str, body: Any) -> list[Problem]:
    """Return why a rule named here is not that of the environment that a body is; nothing where one is a user's own."""
    own = type(body).__module__.startswith(_BODIES)
    env = str(getattr(body, "env", "")) or (type(body).__module__.rpartition(".")[2] if own else "")
    known = _known(env)
    if known is None or name not in NAMED:
        return []
    changed, where = _changed(known, env, getattr(body, "env_params", {})), "params.termination"
    if NAMED[name] is never:
        ends = NAMED[known] is not never and not changed
        return [Problem(f"no imagined episode ends, though those of {env} do", where, f"Write termination: {known}.",
                        notice=True)] if ends else []
    if NAMED[name] is not NAMED[known]:
        return [Problem(f"{name} is not the rule by which episodes of {env} end", where,
                        f"{_REMEDY}." if changed else f"Write termination: {known}.")]
    return [Problem(changed, where, f"{_REMEDY}.")] if changed else []


def _plain(env: str) -> str:
    return re.sub(r"-v\d+$", "", env)


def _known(env: str) -> str | None:
    """Return the name of the rule of an environment, however its id is written; None where none is known."""
    known = {re.sub(r"\W|_", "", key).lower(): name for key, name in
             [*_ENVIRONMENTS.items(), *((name, name) for name in NAMED)]}
    return known.get(re.sub(r"\W|_", "", _plain(env)).lower())


def _changed(name: str, env: str, params: Mapping[str, Any]) -> str:
    """Say which parameters make a rule another one; where no episode ends, none does."""
    usual = USUAL.get(name, {})
    changed = sorted(key for key, value in params.items() if _RULES.fullmatch(key) and not (
        key in usual and (tuple(value) if isinstance(value, list) else value) == usual[key]))
    if not changed or NAMED[name] is never:
        return ""
    return (f"{', '.join(changed)} of {env} change when its episodes end, or where that is seen, so the rule {name} "
            "does not hold")


class TerminationError(StimloopError, ValueError):
    """A termination function cannot be asked, answers otherwise than it must, or changes what it is asked about."""


def ended(function: Termination, observation: Any, action: Any, successor: Any) -> Any:
    """Return which transitions end an episode, bool [batch], as array or tensor.

    Raises TerminationError when the function raises, answers otherwise, or writes into a tensor that it is given.
    """
    _check_reads(function, int(successor.shape[-1]))
    given = {"observation": observation, "action": action, "successor": successor}
    before = {name: _writes(part) for name, part in given.items()}
    try:
        told = function(observation, action, successor)
    except (Exception, SystemExit) as error:  # whatever a user's function raises is told as its own fault
        raise TerminationError(f"{_called(function)} fails: {reason(error)} ({place(error)}). It is asked about "
                               f"observation, action and successor of shapes {_shapes(given)}") from error
    _check_answer(function, told, tuple(successor.shape[:-1]))
    _check_kept(function, [name for name, part in given.items() if _writes(part) != before[name]])
    return told


def ended_watched(function: Termination, observation: Any, action: Any, successor: Any) -> Any:
    """As `ended`, for those who ask seldom: numbers are compared too, since memory may be written to on other ways."""
    given = {"observation": observation, "action": action, "successor": successor}
    before = {name: part + 0 for name, part in given.items()}
    told = ended(function, observation, action, successor)
    _check_kept(function, [name for name, part in given.items() if not _same(part, before[name])])
    return told


def _check_reads(function: Termination, seen: int) -> None:
    name, needs = next(((rule.__name__, needs) for rule, needs in READS.items() if rule is function), ("", 0))
    if seen < needs:
        raise TerminationError(f"termination {name} reads {counted(needs, 'number')} of an observation, and this one "
                               f"has {seen}. Name the rule of this environment, or your own as my_module:function")


def _check_answer(function: Termination, told: Any, wanted: tuple[int, ...]) -> None:
    shape, kind = getattr(told, "shape", None), getattr(told, "dtype", None)
    if shape is None or kind is None or tuple(shape) != wanted:
        what = f"a {type(told).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise TerminationError(f"{_called(function)} answers {len(wanted)}-dimensional batches {wanted} with {what}; "
                               "return one bool for each transition: index the last axis, as in then[..., 0] < 0.7")
    if str(kind).rpartition(".")[2] != "bool":
        raise TerminationError(f"{_called(function)} answers with {kind}; return bool, as a comparison does")


def _check_kept(function: Termination, changed: list[str]) -> None:
    if changed:
        raise TerminationError(f"{_called(function)} changes the {' and '.join(changed)} that it is given, from which "
                               f"others learn; let it work on a copy, as in {changed[0]} = {changed[0]} + 0")


def _writes(part: Any) -> int:
    """Return how often a tensor was written to; of an array nobody counts."""
    return getattr(part, "_version", 0)


def _same(left: Any, right: Any) -> bool:
    return bool(((left == right) | ((left != left) & (right != right))).all())


def _shapes(given: Mapping[str, Any]) -> str:
    return ", ".join(str(list(part.shape)) for part in given.values())


def _called(function: Termination) -> str:
    return f"termination function {getattr(function, '__module__', '')}:{getattr(function, '__name__', function)}"
