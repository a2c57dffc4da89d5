"""What a report shows of an action value: what it promised, and what followed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from . import canvas, tables

_HEADS = ("steps", "it said", "what followed", "bias", "spread", "deviation of what followed", "correlation")
_MEANING = ("What the critic said of each observation and the action that was taken there, when it was taken, against "
            "the discounted rewards that followed in the same episode. Bias is the mean of what it said less what "
            "followed (above 0: it promises too much), spread the standard deviation of that. Where an episode was cut "
            "off, what the critic said at its end stands for the rest; steps where that counts for more than a quarter "
            "are left out. A critic that learns with an entropy bonus counts that too, which no reward shows; and what "
            "followed is due to the policy of that time, with its exploration.")


def section(known: list[dict[str, Any]]) -> str | None:
    """Return pictures and numbers of each critic (`critic_returns.facts`) as HTML; None where there is none."""
    return "".join(map(_one, known)) or None


def _one(found: Mapping[str, Any]) -> str:
    if found["missing"]:
        return f"<p class=note>{escape(found['critic'])} cannot be judged: {escape(found['missing'])}.</p>"
    head = (f"<p class=note>{escape(found['critic'])}, taught by {escape(found['learner'])} with a discount of "
            f"{found['gamma']:g}; {found['steps']} steps, in whose returns its own later judgement counts for "
            f"{found['own']:.0%} on average.</p>")
    lines = [[f"{part['from']:.0f} to {part['to']:.0f}", *map(tables.cell, _numbers(part))] for part in found["parts"]]
    lines.append(["all", *map(tables.cell, _numbers(found))])
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    heads = "".join(f"<th>{head}</th>" for head in ((found["axis"], *_HEADS[1:])))
    return (f"{head}{canvas.svg(draw(found))}<div class=wide><table><tr>{heads}</tr>{rows}</table></div>"
            f"<p class=note>{escape(_MEANING)}</p>")


def _numbers(told: Mapping[str, Any]) -> list[float]:
    return [told[key] for key in ("value", "came", "bias", "spread", "deviation", "correlation")]


def draw(found: Mapping[str, Any]) -> Any:
    """Return the figure: what was said and what followed over the run, and how far they are apart."""
    figure, axes = canvas.grid(2, 2, 2.1)
    curve = found["curve"]
    for i, (key, words) in enumerate((("value", "it said"), ("came", "followed"))):
        axes[0].plot(curve["at"], curve[key], ".-", lw=1.2, color=canvas.COLOURS[i], label=words)
    axes[0].set_title("value of what was done", fontsize=8.5, loc="left")
    canvas.legend(axes[0])
    apart = [value - came for value, came in zip(curve["value"], curve["came"], strict=True)]
    axes[1].axhline(0.0, ls="--", lw=1.0, color=canvas.COLOURS[canvas.GREY])
    axes[1].plot(curve["at"], apart, ".-", lw=1.2, color=canvas.COLOURS[0])
    axes[1].set_title("it said too much by", fontsize=8.5, loc="left")
    for axis in axes:
        axis.set_xlabel(found["axis"], fontsize=8)
        axis.set_ylabel("discounted reward", fontsize=8)
    return figure
