"""Measured values and figures: what a page names is recorded, what is recorded is shown."""

import json
from collections.abc import Iterator

from lab.check import Problem
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
        for name, version in entry.get("versions", {}).items():
            locked = tree.versions.get(name)
            if locked and locked.split(".")[0] != version.split(".")[0]:
                yield Problem(
                    "evidence-stale",
                    place,
                    f"'{key}' was recorded with {name} {version}, locked is {locked}",
                    f"run `make evidence TOPIC={key.split('/')[0]}`",
                )
