"""Signs that nothing can have been learned: a learner that never updated, a model never fitted, no episode's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...loops.errors import counted
from ...loops.storage.runs import Run
from .model_record import learner_of, models
from .reading import entry, parameters, said


def never_updated(run: Run) -> list[str]:
    """Learners that are there and never learned, with the likely cause; not those which nothing ever reached."""
    found, deaf = [], {str(text).partition(".")[0] for text in said(run, "unheard", [])}
    for key, facts in run.streams.items():
        name, _, port = key.partition(".")
        if port == "updates" and facts.kind == "metric" and name not in deaf and not (
                facts.rows and run.columns(key)["value"].read(facts.rows - 1).any()):
            found.append(f"{name} never updated: {_cause(run, name)}")
    return found


def _cause(run: Run, name: str) -> str:
    """Compare the steps that were made with what a learner waits for."""
    steps, params = _steps(run), parameters(run, name)
    lanes = max(said(run, "lanes", 1), 1)
    for waits, each in (("learning_starts", 1), ("min_buffer", 1), ("n_steps", lanes)):
        number = params.get(waits)
        if run.bodies and isinstance(number, int) and steps <= number * each:
            of_lanes = f" in each of {lanes} lanes" if each > 1 else ""
            return (f"the run made {counted(steps, 'step')}, and it begins after {waits} = {number}{of_lanes}. Run "
                    f"longer, or lower {name}.params.{waits}.")
    begins, every = max(_whole(params, "learning_starts"), _whole(params, "min_buffer")), _whole(params, "train_freq")
    if run.bodies and steps - begins < every:
        return (f"the run made {counted(steps, 'step')}, of which {steps - begins} came after the first {begins}, and "
                f"it updates after each train_freq = {every} of these. Run longer, or lower {name}.params.train_freq.")
    if params.get("insert") == "episode_end" and not any(map(_ended, map(run.episodes, run.bodies))):
        return (f"insert: episode_end remembers a step when its episode is over, and none was. Run longer, or write "
                f"{name}.params.insert: step.")
    if params.get("cost") and run.streams[f"{name}.updates"].rows:
        return (f"with cost: {params['cost']} the first fit of its model was not done when the run ended. Run longer, "
                "or let learning cost less.")
    if params.get("unfinished") == "drop" and all(_at_most_one_step(run.episodes(body)) for body in run.bodies):
        return ("unfinished: drop left out all of its steps, for each was the last of an episode, and nobody saw what "
                "came of it. Let episodes last longer, or write restart: next_tick at the body.")
    return (f"the run made {counted(steps, 'step')}, and nothing says why. Look at the wires of {name} (stimloop "
            "show), and at whether it hears of every step.")


def _whole(params: Mapping[str, Any], name: str) -> int:
    """Return a parameter that is a whole number; 0 where it is none."""
    return number if isinstance(number := params.get(name), int) else 0


def never_fitted(run: Run) -> list[str]:
    """Who acts by a model whose weights are those drawn by chance, and who was to practise in one.

    Not where that is told of the learner: that it never updated, or that its share of real steps never fell.
    """
    found, components = [], said(run, "assembly", {}).get("components")
    for model in models(run):
        learner = learner_of(run, model)
        found += _unfitted(run, model, learner)
        if parameters(run, model).get("weights") is not None or (learner is not None and (
                run.streams[f"{learner}.model_loss"].rows or not run.streams[f"{learner}.updates"].rows)):
            continue
        for name in components if isinstance(components, dict) else ():
            uses = entry(run, name).get("uses")
            if name != learner and isinstance(uses, dict) and model in uses.values():
                found.append(f"{name} acts by {model}, which nobody fitted: what it predicts is drawn by chance. Add a "
                             f"learners.model_fit, or give it what was learned elsewhere: {model}.params.weights.")
    return found


def _unfitted(run: Run, model: str, learner: str | None) -> list[str]:
    """Is there a learner that was to practise in this model, and learned without?"""
    if learner is None or parameters(run, model).get("weights") is not None:
        return []
    params, practised = parameters(run, learner), run.streams.get(f"{learner}.q_loss")
    if practised is None or not practised.rows or run.streams[f"{learner}.model_loss"].rows:
        return []
    first, _, *shares = _schedule(params.get("ratio_schedule"))
    if min(shares) >= 1 or (shares[0] >= 1 and _last_epoch(run, params) <= first):
        return []
    remedy = (f"Let {learner}.params.model_train_end_epoch be later, or learning_starts."
              if params.get("model_train_end_epoch") is not None else
              "There were never enough steps whose successor was seen: run longer.")
    return [f"{learner} never fitted its model, so that it imagined nothing and learned from real steps alone. "
            f"{remedy}"]


def _last_epoch(run: Run, params: Mapping[str, Any]) -> int:
    """Return the epoch in which a run ended, of a learner that counts epochs."""
    return max(0, _steps(run) - params["learning_starts"]) // params["epoch_length"]


def never_begun(run: Run) -> list[str]:
    """Schedules of epochs that stayed at their first value because the run ended before the first of their epochs."""
    found, components = [], said(run, "assembly", {}).get("components")
    for name in components if isinstance(components, dict) else ():
        params = parameters(run, name)
        epoch, starts = params.get("epoch_length"), params.get("learning_starts")
        if not (isinstance(epoch, int) and isinstance(starts, int) and epoch > 0):
            continue
        last = _last_epoch(run, params)
        for key in ("rollout_schedule", "ratio_schedule"):
            first, _, value, then = _schedule(params.get(key))
            if value != then and last <= first > 0:
                found.append(f"{name}.params.{key} goes from {value:g} to {then:g} from epoch {first:g} on, and the "
                             f"run ended in epoch {last}: it stayed at {value:g}. Run longer, or write earlier epochs.")
    return found


def _schedule(given: Any) -> list[float]:
    """Return [first epoch, last epoch, value at the first, value at the last]; zeros for what is none."""
    fits = isinstance(given, list) and len(given) == 4 and all(isinstance(number, int | float) for number in given)
    return given if fits else [0, 0, 0, 0]


def _steps(run: Run) -> int:
    """Return how many steps all bodies made."""
    return sum(int(run.episodes(body)["length"].sum()) for body in run.bodies)


def _at_most_one_step(episodes: Any) -> bool:
    """Has none of a table of episodes a step whose successor belongs to it?"""
    return bool(len(episodes) and (episodes["length"] <= 1).all())


def no_episode(run: Run) -> list[str]:
    """Is there a body none of whose episodes ended?"""
    return [f"No episode ended{'' if len(run.bodies) == 1 else f' of {body}'}. Run longer, or lower max_steps of the "
            "body; what is learned from whole episodes waits for them." for body in run.bodies
            if not _ended(run.episodes(body))]


def _ended(episodes: Any) -> bool:
    """Has one of a table of episodes ended?"""
    return bool((episodes["how"] != "running").any())
