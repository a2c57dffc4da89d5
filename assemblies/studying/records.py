"""Small records in the folders of cells: written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...loops.errors import RunError
from ...loops.storage.atomic import replace_file

DONE, FAILED, BEST, STUDY = "done.json", "failed.json", "best.json", "study.json"
_NEEDED = {DONE: ("run", "kept"), BEST: ("value", "steps"), STUDY: ("study",)}  # what others read without asking


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write a record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, [json.dumps(content, indent=1, default=str).encode()], sync=True)


def read(file: Path) -> dict[str, Any]:
    """Return what a record says; {} where there is none yet. Raises RunError where it is damaged."""
    try:
        said = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from None
    needed = _NEEDED.get(file.name, ())
    if not isinstance(said, dict) or any(key not in said for key in needed):
        raise _damaged(file, f"it is no mapping with {', '.join(needed)}" if needed else "it is no mapping")
    return said


def _damaged(file: Path, why: str) -> RunError:
    return RunError(f"{file} cannot be read as the record of a study: {why}. Remove the file: the same command "
                    "writes it anew")
