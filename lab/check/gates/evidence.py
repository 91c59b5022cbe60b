"""Measured values and figures: what a page names is recorded, what is recorded is shown."""

import datetime
import html
import json
import re
from collections.abc import Iterator

from lab.check import Problem, seals, syntax
from lab.check.content import Tree, drawing


def references(tree: Tree) -> Iterator[Problem]:
    """Measured values, figures and versions that a page names."""
    used = {claim.key for page in tree.pages.values() for claim in page.claims}
    for page in tree.pages.values():
        for number, key in page.measured:
            used.add(key)
            entry = tree.evidence.get(key)
            if entry is None or "value" not in entry:
                yield Problem(
                    "measured",
                    f"{page.path}:{number}",
                    f"no measured value '{key}' in docs/evidence/",
                    "fix the key, or record it with `make evidence`",
                )
        for number, key in page.figures:
            used.add(key)
            path = drawing(tree, key)
            if path is None:
                yield Problem(
                    "figure",
                    f"{page.path}:{number}",
                    f"no figure '{key}' in docs/evidence/ or docs/assets/",
                    "fix the key, or record it with `make evidence`",
                )
            elif 'aria-label="' not in tree.files[path]:
                yield Problem(
                    "figure",
                    path,
                    "a drawing without text alternative",
                    'add role="img" and aria-label="what it shows" to its <svg>',
                )
        for number, name in page.versions:
            if name not in tree.versions:
                yield Problem(
                    "version",
                    f"{page.path}:{number}",
                    f"no locked version of '{name}'",
                    "use the name of a package in a lock file, or `node`",
                )
    for key in sorted(tree.evidence.keys() - used):
        topic = key.split("/")[0]
        yield Problem(
            "evidence-unused",
            f"docs/evidence/{topic}.json",
            f"'{key}' is shown nowhere",
            "show it, or stop recording it and run `make evidence`",
        )


def evidence(tree: Tree) -> Iterator[Problem]:
    """Evidence is JSON, within its own bounds, and of the versions that are locked."""
    for path in tree.under("docs/evidence/", ".json"):
        try:
            json.loads(tree.files[path])
        except ValueError as error:
            yield Problem(
                "evidence", path, f"not JSON: {error}", "run `make evidence` again"
            )
    for key, entry in tree.evidence.items():
        place = f"docs/evidence/{key.split('/')[0]}.json"
        value = entry.get("value")
        above, below = entry.get("above"), entry.get("below")
        if isinstance(value, int | float) and (
            (above is not None and value <= above)
            or (below is not None and value >= below)
        ):
            yield Problem(
                "evidence", place, f"'{key}' is {value:g}, outside its own bounds",
                "evidence is not edited: run `make evidence`",
            )  # fmt: skip
        yield from _own_spread(key, entry, place)
        for name, version in entry.get("versions", {}).items():
            locked = tree.versions.get(name)
            if locked and locked.split(".")[0] != version.split(".")[0]:
                yield Problem(
                    "evidence-stale",
                    place,
                    f"'{key}' was recorded with {name} {version}, locked is {locked}",
                    f"run `make evidence TOPIC={key.split('/')[0]}`",
                )


def sealed(tree: Tree) -> Iterator[Problem]:
    """Evidence is what was recorded, and its code is what recorded it."""
    changed: dict[tuple[str, str], list[str]] = {}
    for key, entry in tree.evidence.items():
        topic = key.split("/")[0]
        place = f"docs/evidence/{topic}.json"
        again = f"evidence is not edited: restore it from git, or run `make evidence TOPIC={topic}`"
        path = f"docs/evidence/{entry['figure']}" if "figure" in entry else ""
        if entry.get("seal") != seals.of_entry(entry, tree.files.get(path)):
            yield Problem(
                "evidence-seal", place, f"'{key}' or its drawing is not as it was recorded",
                again,
            )  # fmt: skip
        if path in tree.files:
            label = re.search(r'aria-label="([^"]*)"', tree.files[path])
            title = re.search(r"<title[^>]*>([^<]*)</title>", tree.files[path])
            for found in filter(None, (label, title)):
                if html.unescape(found[1]) != entry.get("alt"):
                    yield Problem(
                        "evidence-alt", path,
                        f"says '{found[1][:50]}…', its record '{str(entry.get('alt'))[:50]}…'",
                        again,
                    )  # fmt: skip
        source = entry.get("source", "")
        text = tree.files.get(source)
        code = syntax.recording(source, text, key) if text else ""
        if not code:
            yield Problem(
                "evidence-source", place, f"'{key}' is recorded by nothing in {source or 'any file'}",
                f"`{source}` must name the key, or run `make evidence TOPIC={topic}`",
            )  # fmt: skip
        elif code != entry.get("code"):
            changed.setdefault((topic, source), []).append(key.split("/")[1])
    for (topic, source), names in changed.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield Problem(
            "evidence-code", source,
            f"what it records has changed since it was recorded: {', '.join(names[:3])}{more}",
            f"run `make check`, which measures again and keeps what still holds, or "
            f"`make evidence TOPIC={topic}`",
        )  # fmt: skip
    shown = {f"docs/evidence/{entry.get('figure')}" for entry in tree.evidence.values()}
    for path in sorted(set(tree.under("docs/evidence/", ".svg")) - shown):
        yield Problem(
            "evidence-orphan", path, "a drawing that no record has", "delete it"
        )


def _own_spread(key: str, entry: dict, place: str) -> Iterator[Problem]:
    value, spread = entry.get("value"), entry.get("spread")
    inside = not isinstance(value, int | float) or (
        isinstance(spread, list) and len(spread) == 2 and spread[0] <= value <= spread[1]
    )
    if not inside:
        yield Problem(
            "evidence", place, f"'{key}' is {value:g}, outside its own spread {spread}",
            "evidence is not edited: run `make evidence`",
        )  # fmt: skip
    # a day's grace: it is tomorrow already in the east
    latest = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    if not "2000" < str(entry.get("date")) <= latest.isoformat():
        yield Problem(
            "evidence", place, f"'{key}' was recorded on {entry.get('date')}",
            "evidence is not edited: run `make evidence`",
        )  # fmt: skip
