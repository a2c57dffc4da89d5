"""The page on stimulation safety names every rule with the code that stands in the log."""

from __future__ import annotations

import re
from pathlib import Path

from stimloop.components.parts.stimulation_limits import Rule

PAGE = Path(__file__).resolve().parents[2] / "docs" / "safety.md"


def test_the_table_of_rules_is_the_enum() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| \S.*\|$", PAGE.read_text(), re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(rule.value, rule.name) for rule in Rule]
