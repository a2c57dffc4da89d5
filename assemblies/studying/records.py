"""Small records in the folders of cells: written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...loops.storage.atomic import replace_file

DONE, FAILED, BEST, STUDY = "done.json", "failed.json", "best.json", "study.json"


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write a record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, [json.dumps(content, indent=1, default=str).encode()], sync=True)


def read(file: Path) -> dict[str, Any]:
    """Return what a record says; {} where there is none yet."""
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return {}
