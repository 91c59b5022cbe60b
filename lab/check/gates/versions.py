"""Versions: none is typed by hand, and what differs with another one has its note."""

import json
import re
from collections.abc import Iterator

from lab.check import Problem, seals
from lab.check.content import LOCKED, VERSIONS, Tree, failing

_TYPED_VERSION = re.compile(
    r"(?P<since>\b(?i:since|before|until|from|in|after)\s+)?"
    r"(?P<name>[A-Za-z@][\w./@-]*)[ @]v?(?P<number>\d+\.\d+(?:\.\d+)?)\b"
)


def typed_versions(tree: Tree) -> Iterator[Problem]:
    """A version of something that is locked is not typed by hand, unless it is history."""
    known = {name.lower(): name for name in tree.versions} | {"node.js": "node"}
    for page in tree.pages.values():
        for number, text in page.prose:
            if not re.search(r"\d\.\d", text):  # quickly done with most lines
                continue
            for found in _TYPED_VERSION.finditer(text):
                name = known.get(found["name"].lower())
                if name and not found["since"]:
                    yield Problem(
                        "version-typed",
                        f"{page.path}:{number}",
                        f"version typed by hand: '{found[0].strip()}'",
                        f"write {{version {name}}}; for history, 'since "
                        f"{found['name']} {found['number']}'",
                    )


def matrix(tree: Tree) -> Iterator[Problem]:
    """Each claim that fails with other versions has a note, and nothing else has."""
    try:
        json.loads(tree.files.get(VERSIONS, "{}"))
    except ValueError as error:
        yield Problem(
            "versions", VERSIONS, f"not JSON: {error}", "run `make versions` again"
        )
        return
    if tree.matrix and tree.matrix.get("seal") != seals.of_entry(tree.matrix, None):
        yield Problem(
            "versions", VERSIONS, "it is not what was written when the versions were run",
            "it is not edited: restore it from git, or run `make versions`",
        )  # fmt: skip
    for name, version in tree.matrix.get("columns", {}).get(LOCKED, {}).items():
        locked = tree.versions.get(name)
        if locked and locked.split(".")[0] != version.split(".")[0]:
            yield Problem(
                "versions-stale", VERSIONS,
                f"was made with {name} {version}, locked is {locked}",
                "run `make versions`",
            )  # fmt: skip
    made = {claim.key for page in tree.pages.values() for claim in page.claims}
    found = {key: columns for key in tree.matrix.get("claims", {}) if
             (columns := failing(tree, key))}  # fmt: skip
    for key in sorted(found.keys() - made):
        yield Problem(
            "versions-stale", VERSIONS, f"'{key}' fails, and no page claims it",
            "run `make versions`",
        )  # fmt: skip
    noted: set[str] = set()
    for page in tree.pages.values():
        for note in page.differences:
            place = f"{page.path}:{note.line}"
            told = set(note.columns)
            if note.key in noted:
                yield Problem(
                    "note-doubled", place, f"a second note on {note.key}", "join the two"
                )
            elif note.key not in found:
                yield Problem(
                    "note-unfounded", place,
                    f"a note on {note.key}, which fails in no column of {VERSIONS}",
                    "remove it, or fix the key",
                )  # fmt: skip
            elif told != (columns := set(found[note.key])):
                yield Problem(
                    "note-columns", place,
                    f"{note.key} fails in {', '.join(sorted(columns))}; the note is on "
                    f"{', '.join(sorted(told)) or 'none'}",
                    "list each column that fails behind `answer:`, where the answer is "
                    "another one, or behind `proof:`, where only the proof cannot run",
                )  # fmt: skip
            if not note.body.strip():
                yield Problem(
                    "note-columns", place, f"the note on {note.key} is empty",
                    "say what differs there, and why",
                )  # fmt: skip
            noted.add(note.key)
    for key in sorted((found.keys() & made) - noted):
        yield Problem(
            "note-missing", VERSIONS,
            f"'{key}' fails in {', '.join(found[key])}, and no page says why",
            f"find out, and write `/// differs | {key}` on docs/versions.md",
        )  # fmt: skip
