"""The properties of policies, learners and models."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..component import Component, Inputs
from ..lanes import Lanes
from .compare import same
from .driver import Driver, NotApplicable, Subject
from .world import Plan, draw


def _quiet_policy(subject: Subject, lanes: Lanes) -> Any:
    """Return a policy that does not explore."""
    if not hasattr(subject.make(), "respond"):
        raise NotApplicable("offers no respond")
    try:
        return subject.fresh(lanes, explore=False)
    except NotApplicable:
        policy = subject.fresh(lanes)
    if policy.random:
        raise NotApplicable("draws, and has no parameter `explore` to switch that off")
    return policy


def array(value: Any) -> np.ndarray:
    """Return an array, whichever library holds it."""
    for method in ("detach", "cpu", "numpy"):
        value = getattr(value, method)() if hasattr(value, method) else value
    return np.asarray(value)


def _same_memory(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same_memory(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_same_memory(x, y) for x, y in zip(a, b, strict=True))
    return np.allclose(array(a), array(b), rtol=1e-4, atol=1e-5)


def policy_responds(subject: Subject) -> str:
    """Policies: `step` equals `respond` plus keeping the memory; a replayed roll-out ends in the same memory."""
    policy = _quiet_policy(subject, subject.lanes(2))
    driver = subject.drive(policy, Plan(steps=1, episodes="one"), _apart(policy))
    driver.run(2)  # FIRST is behind it: from here on every tick is an ordinary step
    memory = policy.memory()
    for _ in range(6):
        answer, memory = policy.respond(_step_spied(driver), memory)
        told = driver.trace[-1][1]
        for name in answer.keys() & told.keys():
            if not np.allclose(array(answer[name]).reshape(told[name].shape), told[name], rtol=1e-4, atol=1e-5):
                raise AssertionError(f"step published another {name} than respond answers to the same inputs")
        if "action" not in answer:
            raise AssertionError(f"respond answers {', '.join(answer) or 'nothing'}, but no action")
        if not _same_memory(memory, policy.memory()):
            raise AssertionError("respond returns another memory than the one step keeps")
    policy.close()
    return ""


def _apart(policy: Component) -> list[str]:
    """Return optional inputs that no row of a batch can hold (events, what has no lanes), or that wake by themselves.

    All others are wired: an answer may hang on a current or an injury as much as on the observation.
    """
    return [name for name, port in policy.inputs.items() if port.optional and name != "status"
            and (port.kind == "event" or not port.per_lane or port.wakes)]


def _step_spied(driver: Driver) -> dict[str, Any]:
    """Step once and return the inputs that the component was given."""
    step, values = driver.component.step, dict[str, Any]()

    def spy(now: int, inputs: Inputs) -> dict[str, Any]:
        values.update({name: value for name, value in inputs.items() if name != "status"})
        return step(now, inputs)

    driver.component.step = spy  # type: ignore[method-assign]
    try:
        if not driver.advance():
            raise AssertionError("nothing wakes it: a policy needs a period, or an observation that wakes it")
        return values
    finally:
        driver.component.step = step  # type: ignore[method-assign]


def policy_evaluates(subject: Subject) -> str:
    """Policies: `evaluate` of what was sampled, given all that the step was given, gives the same log-probability."""
    example = subject.make()
    if not hasattr(example, "respond") or not hasattr(example, "evaluate"):
        raise NotApplicable("offers no evaluate")
    if "log_prob" not in example.outputs:
        raise NotApplicable("publishes no log_prob")
    try:
        policy: Any = subject.fresh(subject.lanes(7), explore=True)
    except NotApplicable:
        policy = subject.fresh(subject.lanes(7))
    driver = subject.drive(policy, Plan(steps=1, lanes=7, episodes="one"), _apart(policy))
    driver.run(2)
    for _ in range(6):
        memory = policy.memory()
        values = _step_spied(driver)
        told = driver.trace[-1][1]
        if "log_prob" not in told:
            raise NotApplicable("published no log_prob with its action")
        log_prob, _ = policy.evaluate(values, told["action"], memory)
        if not np.allclose(array(log_prob).reshape(-1), told["log_prob"].reshape(-1), rtol=1e-3, atol=1e-3):
            raise AssertionError(f"sampled with log-probability {told['log_prob'].reshape(-1)[:3]}, "
                                 f"evaluate says {array(log_prob).reshape(-1)[:3]}")
    policy.close()
    return ""


def learner_updates(subject: Subject) -> str:
    """Learners: what they use changes only when `updates` counts up, or a model when `fits` does."""
    if subject.folder != "learners":
        raise NotApplicable("is no learner")
    learner = subject.fresh(subject.lanes(2))
    targets = {name: used for name, used in learner.used.items()
               if offers(used, "parameters") or offers(used, "weights")}
    if not targets:
        raise NotApplicable("uses nothing with parameters or synapses")
    driver = subject.drive(learner, Plan(steps=60))
    counted = {"updates": 0.0, "fits": 0.0}
    before = _parameters(targets)
    while len(driver.trace) < 60 and driver.advance():
        said, last, after = driver.trace[-1][1], counted, _parameters(targets)
        counted = {name: float(np.asarray(said.get(name, count))) for name, count in last.items()}
        for name, used in targets.items():
            counters = ("updates", "fits") if offers(used, "predict") else ("updates",)
            if all(counted[counter] == last[counter] for counter in counters) and not same(before[name], after[name]):
                raise AssertionError(f"changed the {name} it uses in a step whose output {' or '.join(counters)} did "
                                     "not count up")
        before = after
    learner.close()
    return f"{counted['updates']:g} updates" + (f", {counted['fits']:g} fits" if counted["fits"] else "")


def _parameters(targets: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: used.parameters() if offers(used, "parameters") else [used.weights()]
               for name, used in targets.items()}
    return {name: {str(i): array(part).copy() for i, part in enumerate(parts)} for name, parts in numbers.items()}


def offers(component: Any, *methods: str) -> bool:
    """Can the component be asked these things? (An attribute of that name is no method.)"""
    return all(callable(getattr(component, method, None)) for method in methods)


def questions(component: Component, method: str, count: int) -> list[np.ndarray]:
    """Return what a role is asked: observations [count, n], and actions too where a value hears them."""
    size, rng = getattr(component, "input_size", None), np.random.default_rng(0)
    if size is None and "observation" in component.inputs and len(component.inputs["observation"].shape) == 1:
        size = component.inputs["observation"].shape[0]
    if not isinstance(size, int):
        raise NotApplicable(f"offers {method}, but no observation vector or `input_size` says how wide")
    asked = [rng.standard_normal((count, size)).astype(np.float32)]
    if method == "value" and "action" in component.inputs:
        asked.append(np.stack([draw(component.inputs["action"], rng) for _ in range(count)]))
    return asked


def _model(subject: Subject, count: int) -> tuple[Component, Any, list[np.ndarray]]:
    """Return a model, what to ask it, and that many questions."""
    for method in ("predict", "value"):
        if offers(subject.make(), method):
            component = subject.fresh(subject.lanes(1))
            return component, getattr(component, method), questions(component, method, count)
    raise NotApplicable("offers neither predict nor value")


def model_rows(subject: Subject) -> str:
    """Models: a batch of one equals a row of a batch."""
    component, ask, batch = _model(subject, 5)
    whole, row = (array(_first(ask(*[native(component, part[rows]) for part in batch])))
                  for rows in (slice(5), slice(2, 3)))
    axis = [i for i, n in enumerate(whole.shape) if n == 5][:1]
    if not axis or not np.allclose(np.take(whole, [2], axis[0]), row, rtol=1e-4, atol=1e-5):
        raise AssertionError("the answer to a batch of one is not that row of the answer to a batch of five")
    component.close()
    return ""


def model_gradient(subject: Subject) -> str:
    """Models: the gradient reaches the inputs."""
    component, ask, batch = _model(subject, 3)
    if not _uses_torch(component):
        raise NotApplicable("has no torch parameters")
    given, *others = (native(component, part) for part in batch)
    given.requires_grad_()
    answer = _first(ask(given, *others))
    if not answer.requires_grad:
        raise AssertionError("the answer does not depend on the input by any gradient (detached, or no_grad)")
    answer.sum().backward()
    if given.grad is None or not bool((given.grad != 0).any()):
        raise AssertionError("no gradient reaches the input")
    component.close()
    return ""


def model_loss(subject: Subject) -> str:
    """Models: the loss is one number a row, whoever stands beside it, and its gradient reaches the parameters."""
    if not offers(subject.make(), "predict", "loss"):
        raise NotApplicable("offers no predict and loss")
    component, _, (given,) = _model(subject, 5)
    model: Any = component
    target = array(_first(model.predict(native(component, given)))) + np.float32(0.5)

    def loss(rows: slice) -> Any:
        return model.loss(native(component, given[rows]), native(component, target[rows]))

    whole = loss(slice(5))
    if array(whole).shape != (5,) or not np.allclose(array(whole)[2:3], array(loss(slice(2, 3))), rtol=1e-4, atol=1e-5):
        raise AssertionError("the loss of one row alone is not that row of the loss [5] of a batch of five")
    if _uses_torch(component):
        whole.sum().backward() if whole.requires_grad else None
        if not any(part.grad is not None and bool((part.grad != 0).any()) for part in model.parameters()):
            raise AssertionError("no gradient of the loss reaches the parameters")
    component.close()
    return ""


def plastic_synapses(subject: Subject) -> str:
    """Plastic brains: the index names the neurons at both ends of every synapse that a lane has a weight of."""
    if not offers(subject.make(), "weights", "set_weights"):
        raise NotApplicable("offers no weights to set")
    brain: Any = subject.fresh(subject.lanes(2))
    if not offers(brain, "synapses"):
        raise AssertionError("offers weights, but no `synapses` that says which neurons they join")
    index, weights = np.asarray(brain.synapses()), np.asarray(brain.weights())
    if weights.ndim != 2 or len(weights) != brain.lanes.count:
        raise AssertionError(f"its weights are {weights.shape}, not [{brain.lanes.count} lanes, synapses]")
    if index.shape != (weights.shape[1], 2) or index.dtype.kind not in "iu" or (index < 0).any():
        raise AssertionError(f"its synapses are {index.shape} of {index.dtype}, not two numbers from 0 on for each of "
                             f"{weights.shape[1]} weights")
    before, wanted = np.array(weights), np.array(weights) + np.ones((), weights.dtype)
    brain.set_weights(wanted, np.array([False, True]))
    after = np.asarray(brain.weights())
    if not (same(after[0], before[0]) and same(after[1], wanted[1])):
        raise AssertionError("set_weights(weights, lanes) writes others than the lanes of the mask, or other weights")
    brain.close()
    return f"{len(index)} synapses"


def _uses_torch(component: Any) -> bool:
    return offers(component, "parameters") and any(hasattr(p, "detach") for p in component.parameters())


def native(component: Component, rows: np.ndarray) -> Any:
    """Return rows in the library of the component's parameters."""
    return sys.modules["torch"].from_numpy(rows) if _uses_torch(component) else rows


def _first(answer: Any) -> Any:
    """Return the answer, or the first part of one in several."""
    if isinstance(answer, Mapping):
        answer = next(iter(answer.values()))
    return answer[0] if isinstance(answer, (tuple, list)) else answer
