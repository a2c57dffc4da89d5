"""What a reader of a run should know before looking at its curves, the weightiest first, each with its remedy."""

from __future__ import annotations

from ...components.parts import electrodes
from ...loops.errors import RunError
from ...loops.storage import checkpoint
from ...loops.storage.runs import Run
from ...loops.time import say
from . import learning_signs, stimulation_signs, value_signs
from .reading import said

_RESUMES = {"no": "{} cannot be saved, so this run cannot be resumed.",
            "restarts noise": "{} draws new noise when resumed: a resumed run differs from a whole one."}
_MOST = 3  # closed chains that are told one by one


def warnings(run: Run) -> list[str]:
    """Return sentences about what looks wrong; empty when nothing does.

    Of a run that failed, nothing is said that its failure may have brought about.
    """
    found, failed, dead = _ending(run), run.state == "failed", list[str]()
    found += [f"{str(text).splitlines()[0]}." for text in said(run, "unheard", []) if text and not failed]
    try:
        values = value_signs.look(run)
        found += value_signs.undefined(values)
        found += [] if failed else [*learning_signs.never_updated(run), *learning_signs.never_fitted(run),
                                    *learning_signs.never_begun(run), *learning_signs.no_episode(run)]
        dead = stimulation_signs.dead_electrodes(run)
        found += dead + value_signs.constant(values)
        found += value_signs.saturated(values) + value_signs.extreme(run, values) + stimulation_signs.limited(run)
    except RunError as error:
        found.append(f"Not all could be looked at: {error}. Bring back a copy of that file.")
    return found + _latency(run) + _resuming(run) + _notices(run, bool(dead))


def damaged(damage: str) -> str:
    """Return what to say of a run of which something can no longer be read."""
    return f"Damaged: {damage}. Take what is left, or bring back a copy."


def _ending(run: Run) -> list[str]:
    found = [damaged(run.damage)] if run.damage else []
    if run.state == "running":
        found.append("The run did not finish: it is running; look again when it has ended.")
    elif run.state != "finished":
        on = (f"go on with: stimloop resume {run.path}"
              if checkpoint.has_any(run.path / "checkpoints") else "begin a new run, for it has no checkpoint")
        error = said(run, "error", "") if run.state == "failed" else ""
        why = f" after {say(said(run, 'now', 0))}: {error.rstrip('.')}. When that is mended, " if error else "; "
        found.append(f"The run did not finish: it {'failed' if error else f'is {run.state}'}{why}{on}.")
    return found


def _latency(run: Run) -> list[str]:
    """Closed chains that act later than their delays add up to: `path: nominal A, acts like B`."""
    late = []
    for chain in map(str, said(run, "latency", [])):
        path, _, rest = chain.partition(": nominal ")
        nominal, _, acts = rest.partition(", acts like ")
        if acts and acts != nominal:
            late.append(f"{path} is {nominal} by its delays and acts like {acts}")
    if not late:
        return []
    more = f"; and {len(late) - _MOST} more" if len(late) > _MOST else ""
    return [f"Latency other than written: {'; '.join(late[:_MOST])}{more}. Give the slower component a period, let the "
            "input wake it, or take the wait as part of the loop."]


def _resuming(run: Run) -> list[str]:
    remedy = "Keep the run whole, or leave the component out."
    return [f"{_RESUMES.get(str(how), f'{{}} resumes: {str(how)[:60]!r}.').replace('{}', str(name))} {remedy}"
            for name, how in said(run, "resumes", {}).items()]


def _notices(run: Run, dead: bool) -> list[str]:
    """Return what the build noticed, sub-sampled inputs first, each with the way out that it names.

    Of dead electrodes it is left out where they are told already.
    """
    told = [text for text in map(str, said(run, "notices", []))
            if text and not text.split(": ", 1)[-1].startswith("nobody listens")
            and not (dead and electrodes.SILENCED in text)]
    told.sort(key=lambda text: "sub-sampled" not in text.partition("\n")[0])
    return [f"Notice: {'. '.join(line.strip() for line in text.splitlines() if line.strip())[:400]}" for text in told]
