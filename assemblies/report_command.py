"""`stimloop report`: one page about a run, several runs side by side, or a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..loops.errors import RunError


def write(paths: Sequence[Path], to: Path | None) -> Path:
    """Write the report of one run, of several side by side (by default beside the first), or of a study."""
    return Path(command(paths, to)["report"])


def command(paths: Sequence[Path], to: Path | None) -> dict[str, Any]:
    """Write a report; returns where it stands, and what was found of the runs' models, critics and patients."""
    from ..loops.storage.runs import Run
    from .study import find

    try:
        from .reports import critic_returns, model_facts, page, patient_facts, study_page
    except ImportError as error:
        raise RunError(f'reports need {error.name}: pip install "stimloop[reports]"') from error
    if (study := find(paths[0])) is not None:
        if len(paths) > 1:
            raise RunError("a report is about one study, or about runs: name one study alone")
        return {"report": str(study_page.write_report(study, study.result(), to or study.folder / "report.html"))}
    runs = [Run(path) for path in paths]
    models = [model_facts.facts(run) for run in runs]
    patients = [patient_facts.facts(run) for run in runs]
    written = page.write_report(runs, to or paths[0].with_suffix(".html"), models, patients)

    def of_runs(known: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        return [{"run": str(run.path), **found} for run, each in zip(runs, known, strict=True) for found in each]

    return {"report": str(written), "models": of_runs(models), "patients": of_runs(patients),
            "critics": of_runs(critic_returns.facts(run) for run in runs)}
