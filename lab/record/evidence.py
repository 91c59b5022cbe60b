"""Measured values and figures: hold them to their bounds; record them.

An ordinary run measures afresh and holds the value to the bounds that the code
states. Only `make evidence` also writes: each value goes to a file of its own in
a staging folder, and when the whole topic has passed, `publish` makes
`docs/evidence/<topic>.json` of them, so that nothing is ever half-recorded and
what is no longer measured disappears.

An entry of that file: `value` (number, or text), `unit`, `n` and `spread`
([min, max] of the samples), `above`/`below` (the bounds asserted; neither:
"recorded, not asserted"), `what`, `source`, `versions`, `date`. A figure's entry
has `figure` (the SVG beside it), `alt` and `data` (column -> values) instead of
value and unit. `code` is a digest of what recorded it, without comments and layout;
`seal` is one of all that the entry says, and of its drawing.
"""

import datetime
import json
import math
import os
import re
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import BUILD, EVIDENCE, ROOT, GuideError
from lab.check import seals, syntax
from lab.check.pages import VERDICTS
from lab.run import locks

RECORD = "GUIDE_RECORD"  # set by `make evidence`: the staging folder
STAGING = BUILD / "evidence"
FRESH = "GUIDE_FRESH"  # set by `make check`: a folder for what an ordinary run measures
FRESHLY = BUILD / "fresh"
CHANGED = "evidence-code"  # the gates' code for a record that other code has made
KEY = r"[a-z0-9]+(?:-[a-z0-9]+)*"  # a topic, and a name within it


class EvidenceError(GuideError):
    """A value left its bounds, or a record cannot be read or written."""


def hold(
    key: str,
    samples: float | str | Sequence[float],
    unit: str,
    what: str,
    *,
    source: str,
    above: float | None = None,
    below: float | None = None,
    verdict: str = "",
) -> float | str:
    """Hold the median of `samples` to its bounds; record it when asked to.

    `key` is `topic/name`, `what` says in a sentence what was measured, `source`
    is the notebook or test that does it. Bounds are exclusive; with neither the
    value is recorded, not asserted. Where the key is a claim's, `verdict` is what the
    value proves of it, which the gates read here. Returns the value. Raises EvidenceError when
    it is out of bounds or not a number.
    """
    if verdict not in ("", *VERDICTS):
        raise EvidenceError(f"{source}: {key}: verdict '{verdict}' — one of {VERDICTS}")
    value, n, spread = _summary(key, samples)
    for bound, wrong, word in (
        (above, lambda: value <= above, "above"),
        (below, lambda: value >= below, "below"),
    ):
        if bound is not None and wrong():
            raise EvidenceError(
                f"{source}: {key} is {value:g} {unit}, must be {word} {bound:g} "
                f"(n={n}, {spread[0]:g} to {spread[1]:g}) — the claim no longer "
                "holds here, or the experiment is too small; do not widen the bound"
            )
    entry = {"value": value, "unit": unit, "n": n, "spread": spread}
    entry |= {"above": above, "below": below, "what": what}
    _record(key, entry, source)
    return value


def recording() -> bool:
    """Whether this run writes what it measures (`make evidence`). An ordinary run may
    repeat less: one round decides whether a bound holds, several show the spread."""
    return RECORD in os.environ


def figure(
    key: str, svg: str, alt: str, data: Mapping[str, Sequence], *, source: str
) -> None:
    """Record a figure (see `lab.record.figure`) with its text alternative and data."""
    topic, name = split(key)
    if folder := _folder():
        Path(folder, topic).mkdir(parents=True, exist_ok=True)
        Path(folder, topic, f"{name}.svg").write_text(svg, "utf-8")
    columns = {column: list(values) for column, values in data.items()}
    entry = {"figure": f"{topic}/{name}.svg", "alt": alt, "data": columns}
    _record(key, entry, source)


def shown(entry: Mapping) -> str:
    """A value as a page prints it: three significant digits and the unit."""
    value, unit = entry["value"], entry["unit"]
    if not isinstance(value, str):
        value = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        value = value.replace(",", "\N{NARROW NO-BREAK SPACE}")
    # "×" and "%" are written close, a word or an SI unit with a space
    return f"{value}{unit}" if unit in ("×", "%") else f"{value} {unit}".strip()


def publish(topics: Sequence[str]) -> list[Path]:
    """Turn what was staged for `topics` into docs/evidence/; return the files."""
    written = []
    for topic in topics:
        staged = STAGING / topic
        names = sorted(staged.glob("*.json"))
        if not names:
            continue
        entries = {path.stem: _sealed(topic, path) for path in names}
        target = EVIDENCE / topic
        shutil.rmtree(target, ignore_errors=True)
        for svg in sorted(staged.glob("*.svg")):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(svg, target / svg.name)
        written.append(_write(topic, entries))
    return written


def refresh(topic: str) -> tuple[list[str], list[str]]:
    """After an ordinary run that measured what changed code records: seal again what says
    the same as before. Returns the names of entries that were sealed, and of those that
    now say something else (bounds, unit, words, columns), which only `make evidence` can
    record. An entry that was edited stays as it is."""
    path = EVIDENCE / f"{topic}.json"
    entries = json.loads(path.read_text("utf-8")) if path.exists() else {}
    same, others = [], []
    for name, entry in entries.items():
        fresh = FRESHLY / topic / f"{name}.json"
        source = ROOT / entry["source"]
        if not fresh.exists() or not source.exists():
            continue
        code = _code(f"{topic}/{name}", entry["source"])
        drawing = _drawing(EVIDENCE / entry["figure"]) if "figure" in entry else None
        if code == entry.get("code") or entry.get("seal") != seals.of_entry(
            entry, drawing
        ):
            continue
        if _kept(json.loads(fresh.read_text("utf-8"))) != _kept(entry):
            others.append(name)
            continue
        entry["code"] = code
        entry["seal"] = seals.of_entry(entry, drawing)
        same.append(name)
    if same:
        _write(topic, entries)
    return same, others


def _kept(entry: Mapping) -> list:
    """What a run that only measures again leaves as it is."""
    said = [
        entry.get(name) for name in ("unit", "above", "below", "what", "alt", "source")
    ]
    return [*said, list(entry.get("data", ()))]


def _sealed(topic: str, staged: Path) -> dict:
    entry = json.loads(staged.read_text("utf-8"))
    entry["code"] = _code(f"{topic}/{staged.stem}", entry["source"])
    drawing = _drawing(staged.with_suffix(".svg")) if "figure" in entry else None
    return entry | {"seal": seals.of_entry(entry, drawing)}


def _code(key: str, source: str) -> str:
    path = ROOT / source
    return syntax.recording(source, path.read_text("utf-8"), key) if path.exists() else ""


def _drawing(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _write(topic: str, entries: Mapping) -> Path:
    path = EVIDENCE / f"{topic}.json"
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    text = json.dumps(entries, indent=2, ensure_ascii=False)
    path.with_suffix(".new").write_text(text + "\n", "utf-8")
    path.with_suffix(".new").replace(path)
    return path


def _folder() -> str | None:
    """Where what is measured is written to, if anywhere."""
    return os.environ.get(RECORD) or os.environ.get(FRESH)


def split(key: str) -> tuple[str, str]:
    """`topic/name` in two. Raises EvidenceError when the key is anything else."""
    if not re.fullmatch(f"{KEY}/{KEY}", key):
        raise EvidenceError(
            f"evidence key '{key}': not of the form topic/name — use lower-case "
            "words with hyphens, e.g. event-loop/stall-ratio"
        )
    topic, name = key.split("/")
    return topic, name


def _summary(key, samples) -> tuple[float | str, int, list[float]]:
    if isinstance(samples, str):
        return samples, 1, [0, 0]
    values = [samples] if isinstance(samples, int | float) else list(samples)
    if not values or not all(math.isfinite(value) for value in values):
        raise EvidenceError(f"{key}: {values} is not a measurement — look at the run")
    rounded = [float(f"{value:.4g}") for value in (min(values), max(values))]
    return float(f"{statistics.median(values):.4g}"), len(values), rounded


def _record(key: str, entry: dict, source: str) -> None:
    topic, name = split(key)
    if not (folder := _folder()):
        return
    locked = locks.versions()
    entry |= {
        "source": source,
        "versions": {pack: locked[pack] for pack in ("node", "express")},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    path = Path(folder, topic, f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry, ensure_ascii=False), "utf-8")
