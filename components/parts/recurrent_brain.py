"""What policy-like brains with memory share: when memory advances, begins anew or rests, one tick or many at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs
from ...loops.status import calm, idle
from . import flags
from .courses import CALM, Course
from .policy_brain import PolicyBrain

Memory = dict[str, Any]  # state [lanes, neurons], and whether each lane is `fresh`: begins at its next tick


class RecurrentBrain(PolicyBrain):
    """Answers to what is perceived, and to what was perceived before.

    A brain of this kind writes `forward`, `parameters`, `learned`, `learn` as any policy brain does, but its `forward`
    takes sequences: inputs [batch, time, ...], the state before them and what befalls it meanwhile.

    Memory advances once for each decision: a new observation, or a tick of the brain's own period. Woken by anything
    else the brain answers to the same question again, from the memory it had before, which then stays as it is.
    """

    neurons: int
    forget: Literal["first", "never"]

    def forward(self, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None, state: Any = None,  # type: ignore[override]
                course: Course = CALM) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Return what the heads say, and activity by port, [batch * time, ...], and the last state [batch, neurons]."""
        raise NotImplementedError

    def reset(self, seed: int) -> None:
        """Forget the exploration so far, and everything perceived."""
        super().reset(seed)
        self._memory = self._before = self.new_memory(self.lanes.count)

    def new_memory(self, rows: int) -> Memory:
        """Return the memory of so many rows that have perceived nothing yet."""
        return {"state": np.zeros((rows, self.neurons), np.float32), "fresh": np.ones(rows, bool)}

    def memory(self) -> Memory:
        """Return the state of the neurons [lanes, neurons], and whether a lane is `fresh`: begins at its next tick."""
        return {name: part.copy() for name, part in self._memory.items()}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Answer to what is perceived now, and remember it."""
        question = self.question(now, inputs)
        self._forget(inputs)
        decides = self.decides(now, inputs)
        if decides:
            self._before = self._memory
        if self.explore:
            question = {**question, "noise": self.exploration.noise}
        answer, after = self.respond(question, self._before)
        if decides:
            self._memory = after
        return self.exploration.override(answer, question.get("status")) if self.explore else answer

    def _forget(self, inputs: Inputs) -> None:
        """Let lanes begin anew whose episode does, or that were told to forget."""
        gone = None
        if self.forget == "first" and "status" in inputs.new:
            status = inputs["status"]
            gone = None if not isinstance(status, list) and calm(status) else flags.begun(status, inputs.previous)
        if "forget" in inputs.new and len(inputs["forget"].lane):
            gone = np.zeros(self.lanes.count, bool) if gone is None else gone.copy()
            gone[inputs["forget"].lane] = True
        if gone is not None and gone.any():
            self._memory, self._before = ({**kept, "fresh": kept["fresh"] | gone}
                                          for kept in (self._memory, self._before))

    def respond(self, inputs: Mapping[str, Any], memory: Any = None) -> tuple[dict[str, Any], Any]:
        """Answer to inputs named as the ports, any batch size, one tick on from a memory; NumPy in, NumPy out.

        Tensors in, gradients out; `noise` asks for exploration, as for any policy brain. Rows that ended or wait are
        answered 0, and their memory stays. A memory of one row serves any number; without one, all begin anew.
        """
        told, after = self.respond_sequence({name: _with_time(value) for name, value in inputs.items()}, memory)
        return {name: value[:, 0] for name, value in told.items()}, after

    @np.errstate(all="ignore")  # what is not finite is told at the port, in words
    def respond_sequence(self, inputs: Mapping[str, Any], memory: Any = None, first: Any = None, truncate: int = 0
                         ) -> tuple[dict[str, Any], Any]:
        """Answer to whole sequences at once: what `respond` would say tick by tick, and the memory after the last.

        What reaches the neurons from outside is worked out for all ticks together, before the first.

        Args:
            inputs: named as the ports, [batch, time, ...] each; arrays, or tensors for gradients. Optional ones may be
                left out. `noise` [batch, time, ...] asks for exploration. With a `status`, rows that ended or wait
                rest; without one, all go on to the end.
            memory: before the first tick, as `memory()` says it; without one, all begin anew.
            first: [batch, time] bool: an episode begins at this tick, so the state starts anew before it.
            truncate: gradients reach back over so many ticks and no further; 0: over all.
        """
        given = {name: value for name, value in inputs.items() if value is not None}
        state, course, status = self._course(given, memory, first, truncate)
        heads, activity, after = self.forward(given, self.wanted(given), state, course)
        flat = {name: joined(value) for name, value in (("noise", given.get("noise")), ("status", status))
                if value is not None}
        batch, time = given["observation"].shape[:2]
        told = {name: value.reshape(batch, time, *value.shape[1:])
                for name, value in self.answered(heads, activity, flat).items()}
        return told, {"state": after, "fresh": self._still_fresh(course, len(after))}

    def evaluate(self, inputs: Mapping[str, Any], action: Any, memory: Any = None) -> tuple[Any, Any]:
        """Return log-probability and entropy [batch] of actions taken one tick on from a memory, as tensors."""
        import torch

        told = self.evaluate_sequence({name: _with_time(value) for name, value in inputs.items()},
                                      torch.as_tensor(action)[:, None], memory)
        return told[0][:, 0], told[1][:, 0]

    def evaluate_sequence(self, inputs: Mapping[str, Any], action: Any, memory: Any = None, first: Any = None,
                          truncate: int = 0) -> tuple[Any, Any]:
        """Return log-probability and entropy [batch, time] of actions [batch, time, ...], as tensors with gradients.

        Arguments are those of `respond_sequence`.
        """
        import torch

        given = {name: torch.as_tensor(value) for name, value in inputs.items() if value is not None}
        state, course, _ = self._course(given, memory, first, truncate)
        heads, _, _ = self.forward(given, None, state, course)
        action = torch.as_tensor(action)
        log_prob, entropy = self.judged(heads, joined(action))
        return log_prob.reshape(action.shape[:2]), entropy.reshape(action.shape[:2])

    def _course(self, given: Mapping[str, Any], memory: Any, first: Any, truncate: int
                ) -> tuple[Any, Course, np.ndarray | None]:
        """Return the state before the first tick, what befalls it, and the status as an array [batch, time]."""
        seen = given["observation"]
        batch, time = seen.shape[:2]
        memory = self.new_memory(batch) if memory is None else memory
        begins, fresh = None if first is None else _array(first).astype(bool), _array(memory["fresh"])
        if fresh.any():
            begins = np.zeros((batch, time), bool) if begins is None else begins
            begins[:, 0] |= fresh
        status = None if "status" not in given else _array(given["status"])
        injured = None if "injury" not in given else _array(given["injury"]) >= 0.5
        frozen = None if status is None or calm(status) else idle(status)
        state = memory["state"]
        if not isinstance(seen, np.ndarray):
            import torch

            state = torch.as_tensor(state, device=seen.device)
        if len(state) != batch:
            state = state.repeat(batch, 0) if isinstance(state, np.ndarray) else state.expand(batch, -1)
        return state, Course(begins, frozen, injured, truncate), status

    @staticmethod
    def _still_fresh(course: Course, batch: int) -> np.ndarray:
        """Return which rows [batch] have not ticked since they began anew."""
        fresh = np.zeros(batch, bool)
        if course.frozen is None or course.begins is None:
            return fresh
        for begins, frozen in zip(course.begins.T, course.frozen.T, strict=True):
            fresh = (fresh | begins) & frozen
        return fresh

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "memory": self.memory(),
                "before": {name: part.copy() for name, part in self._before.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if "memory" in state:
            self._memory, self._before = ({"state": np.array(kept["state"], np.float32),
                                           "fresh": np.array(kept["fresh"], bool)}
                                          for kept in (state["memory"], state["before"]))


def _array(value: Any) -> np.ndarray:
    """Return what only asks yes or no as an array, whichever library holds it."""
    return value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()


def _with_time(value: Any) -> Any:
    """Return rows [batch, ...] as sequences of one tick; what has no rows (events) does not belong to an answer."""
    return value[:, None] if hasattr(value, "shape") and value.ndim else None


def joined(value: Any) -> Any:
    """Return [batch, time, ...] as [batch * time, ...]."""
    return value.reshape(value.shape[0] * value.shape[1], *value.shape[2:])
