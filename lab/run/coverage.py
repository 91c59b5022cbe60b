"""Which lines of the snippets ran, from the coverage that V8 writes."""

import json
from pathlib import Path
from urllib.parse import unquote

from lab import SNIPPETS


def executed(folder: Path, snippets: Path = SNIPPETS) -> dict[str, set[int]]:
    """Lines (from 1) that ran, by path below `snippets`, from V8 coverage files in `folder`.

    A line ran unless, in every process that loaded the file, one range that V8
    counted zero times covers all of it. Source: the Inspector protocol's
    `Profiler.takePreciseCoverage`, as NODE_V8_COVERAGE writes it. A process that was
    killed while it wrote leaves half a file, which proves nothing: it is passed over.
    """
    found: dict[str, set[int]] = {}
    for report in sorted(folder.glob("coverage-*.json")):
        try:
            scripts = json.loads(report.read_text("utf-8"))["result"]
        except ValueError:
            continue
        for script in scripts:
            url = unquote(script["url"])
            if not url.startswith(f"file://{snippets}/") or "/node_modules/" in url:
                continue
            path = Path(url.removeprefix("file://"))
            if not path.is_file():  # JavaScript from a notebook's cell
                continue
            text = path.read_text("utf-8")
            counts = _paint(len(text), script["functions"])
            lines = found.setdefault(str(path.relative_to(snippets)), set())
            offset = 0
            for number, line in enumerate(text.split("\n"), 1):
                inside = range(
                    offset + len(line) - len(line.lstrip()), offset + len(line.rstrip())
                )
                if any(counts[at] for at in inside):
                    lines.add(number)
                offset += len(line) + 1
    return found


def _paint(length: int, functions: list[dict]) -> list[int]:
    """The count of each character: that of the innermost range around it."""
    ranges = [item for function in functions for item in function["ranges"]]
    ranges.sort(key=lambda item: (item["startOffset"], -item["endOffset"]))
    counts = [0] * length
    for item in ranges:
        start, stop = item["startOffset"], min(item["endOffset"], length)
        counts[start:stop] = [item["count"]] * (stop - start)
    return counts
