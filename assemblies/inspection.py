"""Looking at an assembly without (or before) running it: wiring, latency, schedule, trace, checks, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..loops.errors import AssemblyError, Problem, counted
from ..loops.time import say, say_period

if TYPE_CHECKING:
    from .assembly import Assembly
    from .session import Outcome
    from .settings import Settings

_INSTANTS = 12  # shown by `show --schedule`


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned text, the keys of the first as heads."""
    if not rows:
        return "(none)"
    heads = list(rows[0])
    cells = [heads, *([_cell(row.get(head)) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
                     for line in cells)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def outcome_text(outcome: Outcome, earned: Mapping[str, Any] | None = None) -> str:
    """Return how a run ended and what was earned in it (as `earned.earned` says), for people."""
    facts = outcome.facts
    if outcome.reason == "already there":
        return (f"already there: the run stands at {facts['simulated_s']:,.3f} s; nothing was changed. To go "
                f"further give a later stop with --until\n{outcome.path}")
    whole, now, wall = facts["simulated_s"], facts["session_simulated_s"], f"{facts['wall_s']:,.1f} s"
    parts = [f"{outcome.reason}: {whole:,.3f} s simulated " + (
        f"in {wall}" if now == whole else f"in all, {now:,.3f} s of it now, in {wall}")]
    parts += [f"{facts['steps_per_s']:,.0f} steps/s"] if "steps_per_s" in facts else []
    parts.append(f"{facts['real_time_factor']:,.1f}x real time{_evaluation_share(facts)}")
    lines = [", ".join(parts), *_earned_lines(facts, earned or {}), str(outcome.path)]
    if outcome.reason == "interrupted":
        lines.append(outcome.way_on)
    return "\n".join(lines)


def _evaluation_share(facts: Mapping[str, float]) -> str:
    """What part of the wall time went into evaluations, of which the speeds know nothing."""
    spent = facts["evaluation_s"]
    share = f"{100 * spent / facts['wall_s']:.0f} % of the time ({spent:,.1f} s)" if spent else ""
    return f" without evaluation, which took {share}" if spent else ""


def _earned_lines(facts: Mapping[str, float], earned: Mapping[str, Any]) -> list[str]:
    made = ([", ".join(counted(facts[key], key.removesuffix("s")) for key in ("steps", "episodes"))]
            if "steps" in facts else [])
    returns = earned.get("returns", {})
    made += [f"mean return {found['return']:.4g} in the last {found['episodes']}"
             + (f" episodes of {body}" if len(returns) > 1 or not made else "") for body, found in returns.items()]
    return ["; ".join(made)] * bool(made) + [
        f"evaluations/{name}: mean return {found['return']:.4g} in {counted(found['episodes'], 'episode')} after "
        f"{counted(found['steps'], 'step')}" for name, found in earned.get("evaluations", {}).items()]


def dry_run(assembly: Assembly, allowed: Settings, until: str | None) -> tuple[str, dict[str, Any]]:
    """Build an assembly and say what would run."""
    from ..assemblies import recording
    from ..loops.until import Until

    with assembly.build(allowed) as loop:
        stop = until or assembly.until
        sizes = recording.estimate(loop, Until.parse(stop)) if stop else {}
        notices = [str(problem) for problem in loop.notices]
    facts = {"name": assembly.name, "hash": assembly.hash, "variant": assembly.origin.variant, "until": stop,
             "lanes": assembly.lanes, "seed": assembly.seed, "recorded_mb": sum(sizes.values()) / 1e6,
             "assembly": assembly.document(), "notices": notices}
    head = (f"# {assembly.name}, variant {assembly.origin.variant}, hash {assembly.hash[:8]}, "
            f"about {facts['recorded_mb']:.1f} MB if everything is recorded\n")
    return head + assembly.to_yaml() + "".join(f"# notice: {notice}\n".replace("\n  ", "\n#   ")
                                               for notice in notices), facts


def trace_table(assembly: Assembly, allowed: Settings, instants: int) -> tuple[str, dict[str, Any]]:
    """Run the first instants and return what was published in them, in order."""
    from ..loops.loop import Loop
    from .checking import build

    rows: list[dict[str, Any]] = []
    with build(assembly, allowed, lambda system, problems: Loop(replace(system, evaluations={}), problems)) as loop:
        for key in loop.cells:
            loop.tap(key, lambda now, value, key=key: rows.append(
                {"time": say(now), "port": key, "value": _brief(value)}))
        for _ in range(instants):
            following = loop.next_instant()
            if following is None:
                break
            loop.run(following + 1)
    return table(rows), {"trace": rows}


def _brief(value: Any) -> str:
    import numpy as np

    if hasattr(value, "index") and hasattr(value, "lane"):
        return counted(len(value), "event")
    array = np.asarray(value)
    text = np.array2string(array, precision=3, threshold=8, edgeitems=2, max_line_width=200, separator=" ")
    return " ".join(text.split())[:100]


def assembly_facts(assembly: Assembly, allowed: Settings, latency: bool, schedule: bool) -> tuple[dict[str, Any], str]:
    """Return the wiring of an assembly, and on request its latencies and its first instants."""
    from ..loops.drawing import text as draw

    with assembly.build(allowed) as loop:
        chains = loop.graph.chains
        periods = {name: say_period(component.period) for name, component in loop.components.items()
                   if component.period is not None}
        drawing, order = draw(loop.graph), list(loop.graph.order)
        notices = [str(problem) for problem in loop.notices if not problem.what.startswith("nobody listens")]
    facts: dict[str, Any] = {"name": assembly.name, "about": assembly.get("about"), "until": assembly.until,
                             "variants": list(assembly.variants), "hash": assembly.hash, "order": order,
                             "periods": periods, "assembly": assembly.document(), "notices": notices}
    lines = [f"{assembly.name}  (hash {assembly.hash[:8]}, until {assembly.until}, lanes {assembly.lanes})"]
    lines += [assembly.get("about")] if assembly.get("about") else []
    lines += ["", drawing, ""]
    lines += [f"{name} steps every {period}" for name, period in periods.items()]
    if latency:
        facts["latency"] = [{"chain": chain.path, "nominal_ns": chain.nominal,
                             "shortest_ns": chain.shortest if chain.is_foreseen else None,
                             "longest_ns": chain.longest if chain.is_foreseen else None} for chain in chains]
        lines += ["", "latency of each closed chain:", *(f"  {chain}" for chain in chains)]
    if schedule:
        from ..loops.schedule import schedule as first_instants

        facts["schedule"] = first_instants(assembly.system(settings=allowed), _INSTANTS)
        lines += ["", "first instants:", facts["schedule"]]
    lines += [f"notice: {notice}" for notice in notices]
    return facts, "\n".join(lines).rstrip()


def check_component(name: str, examples: int) -> tuple[bool, dict[str, Any], str]:
    """Check a component class against the contract; naming it on the command line is the consent to import it."""
    from ..catalogue.lookup import example_uses, find
    from ..loops import conformance
    from . import round_trip

    module = name.partition(":")[0]
    cls = find(name, allow=(module,), folders=(Path.cwd(),))
    done = conformance.check(cls, folder=name.partition(".")[0] if ":" not in name else None, examples=examples,
                             uses=example_uses(cls))
    if done.results[0].ok:  # what cannot be made can show nothing else
        done = replace(done, results=(done.results[0], round_trip.check(cls, name), *done.results[1:]))
    return done.ok, {"component": name, "ok": done.ok, "failed": list(done.failed)}, done.text()


def check_assembly(assembly: Assembly, allowed: Settings) -> tuple[bool, dict[str, Any], str]:
    """Check an assembly, each of its variants, its `small` and each value of its `sweep` without running anything."""
    from ..loops.errors import short
    from .checking import check

    problems = check(assembly.resolve(), allowed)
    errors = [str(p) for p in problems.errors]
    layers: list[tuple[str, dict[str, Any]]] = [(f"variant {name}", {"variant": name}) for name in assembly.variants]
    if assembly.get("small"):
        layers.append(("small", {"small": True}))
    layers += [(f"sweep {address}={short(value)}", {"sweep": {address: value}})
               for address, values in (assembly.get("sweep") or {}).items() for value in values]
    for which, layer in layers:
        found = [str(p) for p in _errors(assembly, layer, allowed)]
        errors += [f"{which}: {text}" for text in found if text not in errors]
    results = {"ok": not errors, "errors": errors, "notices": [str(p) for p in problems.notices]}
    unheard = [p.what.removeprefix("nobody listens to ") for p in problems.notices if p.what.startswith("nobody")]
    lines = [f"error: {text}" for text in errors]
    lines += [f"notice: {p}" for p in problems.notices if not p.what.startswith("nobody")]
    lines += [f"notice: nobody listens to {', '.join(unheard)}"] if unheard else []
    lines.append(f"{assembly.name}: {counted(len(errors), 'error') if errors else 'no errors'}")
    return not errors, results, "\n".join(lines)


def _errors(assembly: Assembly, layer: Mapping[str, Any], allowed: Settings) -> list[Problem]:
    from .checking import check

    try:
        return check(assembly.resolve(**layer), allowed).errors
    except AssemblyError as error:  # what the layer says cannot even be put in
        return error.problems
