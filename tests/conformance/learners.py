"""Sound learners, and variations that count or change what they should not."""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.components.parts import roles
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.port import Port
from stimloop.loops.status import is_step, status_input


class Counter(Component):
    """Counts steps and adds up reward, as a metrics learner does: sound."""

    def __init__(self) -> None:
        self.inputs = {"status": status_input(wakes=True), "reward": Port("reward")}
        self.outputs = {"steps": Port("steps so far", dtype="int64", per_lane=False),
                        "total": Port("sum of rewards", dtype="float64", per_lane=False)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.steps, self.total = 0, 0.0

    def step(self, now, inputs):
        if "status" in inputs.new:
            self.steps += int(is_step(inputs["status"]).sum())
        if "reward" in inputs.new:
            self.total += float(inputs["reward"].astype(np.float64).sum())
        return {"steps": self.steps, "total": np.array(self.total)}

    def state_dict(self):
        return {"steps": self.steps, "total": self.total}

    def load_state_dict(self, state):
        self.steps, self.total = state.get("steps", self.steps), state.get("total", self.total)


class CountsAgain(Counter):
    def step(self, now, inputs):
        inputs.new = inputs.new | {"reward"}
        return super().step(now, inputs)


class Learner(Counter):
    """Changes the policy it uses every fifth step, and says so: sound."""

    uses = {"policy": Use(type("Policy", (), {}), changes=True)}

    def __init__(self) -> None:
        super().__init__()
        self.outputs["updates"] = Port("updates so far", dtype="int64", per_lane=False)

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        updates = self.steps // 5
        if updates > self.updates:
            self.change()
        self.updates = updates
        return {**answer, "updates": updates}

    def change(self):
        for parameter in self.used["policy"].parameters():
            parameter += 0.1

    def reset(self, seed):
        super().reset(seed)
        self.updates = 0

    def state_dict(self):
        return {**super().state_dict(), "updates": self.updates}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.updates = state.get("updates", self.updates)


class ChangesAlways(Learner):
    def step(self, now, inputs):
        self.change()
        return super().step(now, inputs)


class TeachesAsItFits(ChangesAlways):
    """Counts fits of a model, which do not excuse that a policy changes."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs["fits"] = Port("fits so far", dtype="int64", per_lane=False)

    def step(self, now, inputs):
        return {**super().step(now, inputs), "fits": self.steps}


class Rehearses(Counter):
    """A learner that asks everyone whom it uses, and changes them every fifth step: sound."""

    uses = {"policy": Use(roles.Policy, changes=True), "critic": Use(roles.Value, changes=True),
            "model": Use(roles.Model, changes=True), "plastic": Use(roles.Plastic, changes=True),
            "world": Use(roles.Body, changes=True), "search": Use(roles.Search),
            "oracle": Use(type("Oracle", (), {}), optional=True)}

    def __init__(self) -> None:
        super().__init__()
        self.inputs["observation"] = Port("what is seen", (3,), wakes=True)
        self.outputs["updates"] = Port("updates so far", dtype="int64", per_lane=False)
        self.outputs["surprise"] = Port("what it finds in rehearsal", dtype="float64", per_lane=False)

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        updates = self.steps // 5
        surprise = self.rehearse(np.tanh(inputs["observation"]))
        if updates > self.updates:
            self.change()
        self.updates = updates
        return {**answer, "updates": updates, "surprise": surprise}

    def rehearse(self, seen):
        """Imagine one step from here, in a world of its own; the numbers add up to something finite."""
        used: Any = self.used
        action, memory = used["policy"].respond({"observation": seen}, used["policy"].memory())
        log_prob, entropy = used["policy"].evaluate({"observation": seen}, action["action"], memory)
        world = used["world"]
        world.reset(1)
        kept = world.state()
        push = np.clip(used["search"].choose(np.zeros((world.lanes.count, 2))) + 1, -1, 1)
        rows = [world.step(at, Inputs({"action": push}))["reward"].sum() for at in (0, 1)]
        world.set_state(kept)
        again = world.step(1, Inputs({"action": push}))["reward"].sum()
        value = used["critic"].value(used["model"].predict(seen)) + used["model"].loss(seen, seen)
        assert len(used["plastic"].synapses()) == used["plastic"].weights().shape[1]
        return float(log_prob.sum() + entropy.sum() + value.sum() + sum(rows) - again + used["plastic"].weights().sum())

    def change(self):
        for name in ("policy", "critic", "model"):
            for parameter in self.used[name].parameters():
                parameter += 0.1
        weights = self.used["plastic"].weights()
        self.used["plastic"].set_weights(weights + 0.1)
        self.used["plastic"].set_weights(weights + 0.2, np.arange(len(weights)) == 0)
        self.used["plastic"].set_learned(0)

    def reset(self, seed):
        super().reset(seed)
        self.updates = 0

    def state_dict(self):
        return {**super().state_dict(), "updates": self.updates}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.updates = state.get("updates", self.updates)


class RewiresAlways(Rehearses):
    def step(self, now, inputs):
        self.used["plastic"].set_weights(self.used["plastic"].weights() * 0.99)
        return super().step(now, inputs)


class AsksAnOracle(Counter):
    """Uses somebody for whom there is no stand-in."""

    uses = {"oracle": Use(type("Oracle", (), {}))}

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        return {**answer, "total": answer["total"] + self.used["oracle"].answer}


class StopsSoon(Counter):
    """Asks the run to stop after five steps: sound."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs["done"] = Port("is it over?", dtype="bool", per_lane=False)

    def step(self, now, inputs):
        return {**super().step(now, inputs), "done": np.array(self.steps >= 5)}
