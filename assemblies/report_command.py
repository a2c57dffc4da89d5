"""`stimloop report`: one page about a run, several runs side by side, or a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..loops.errors import RunError


def write(paths: Sequence[Path], to: Path | None) -> Path:
    """Write the report of one run, of several side by side (by default beside the first), or of a study."""
    from ..loops.storage.runs import Run
    from .study import find

    try:
        from .reports import page, study_page
    except ImportError as error:
        raise RunError(f'reports need {error.name}: pip install "stimloop[reports]"') from error
    if (study := find(paths[0])) is not None:
        if len(paths) > 1:
            raise RunError("a report is about one study, or about runs: name one study alone")
        return study_page.write_report(study, study.result(), to or study.folder / "report.html")
    return page.write_report([Run(path) for path in paths], to or paths[0].with_suffix(".html"))
