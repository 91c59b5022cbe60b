"""Seals: short digests that tell whether what was recorded or read still is what it was.

They hold against carelessness. Against malice stands measuring again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def short(*parts: str) -> str:
    """Twelve characters that stand for these texts, in their order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def of_entry(entry: Mapping, drawing: str | None) -> str:
    """The seal of an entry of evidence: over all that it says, and its drawing's file."""
    said = {name: value for name, value in entry.items() if name != "seal"}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return short(text, drawing or "")


def write(path: Path, made: Mapping[str, str]) -> bool:
    """Write a file of seals, or take it away when there are none; whether it changed."""
    before = path.read_text("utf-8") if path.exists() else ""
    text = json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if not made:
        path.unlink(missing_ok=True)
        return bool(before)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return text != before
