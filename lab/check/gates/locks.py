"""Lock files: each is the lock of what stands beside it."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator

from lab.check import Problem
from lab.check.content import Tree
from lab.run.locks import package


def locks(tree: Tree) -> Iterator[Problem]:
    """A lock file names the requirements that stand in the file it was made from."""
    files = tree.files
    if {"pyproject.toml", "uv.lock"} <= files.keys():
        project = tomllib.loads(files["pyproject.toml"])
        name = project["project"]["name"]
        ours = package(files["uv.lock"], name)
        meta = ours.get("metadata", {})
        wanted = _requirements(project["project"].get("dependencies", []))
        groups = project.get("dependency-groups", {})
        have = _locked_requirements(meta.get("requires-dist", []))
        stale = wanted != have
        for group in groups:
            listed = meta.get("requires-dev", {}).get(group, [])
            stale |= _group(groups, group) != _locked_requirements(listed)
        if stale:
            yield Problem(
                "lock-stale", "uv.lock", "is not the lock of pyproject.toml",
                "run `uv lock` and commit both",
            )  # fmt: skip
    own = files.get("snippets/package.json")
    lock_text = files.get("snippets/package-lock.json")
    if own and lock_text:
        wanted, have = json.loads(own), json.loads(lock_text)["packages"][""]
        for kind in ("dependencies", "devDependencies", "engines"):
            if wanted.get(kind, {}) != have.get(kind, {}):
                yield Problem(
                    "lock-stale", "snippets/package-lock.json",
                    f"is not the lock of package.json ({kind} differ)",
                    "run `npm install` in snippets/ and commit both",
                )  # fmt: skip


def _requirements(lines: Iterable[str]) -> Counter:
    """(name, specifier parts) of requirement lines; markers are not looked at."""
    found = Counter()
    for line in lines:
        name, spec = re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*([^;]*)", line).groups()
        parts = frozenset(part.strip() for part in spec.split(",") if part.strip())
        found[name.lower().replace("_", "-"), parts] += 1
    return found


def _locked_requirements(items: list[dict]) -> Counter:
    return _requirements(f"{item['name']}{item.get('specifier', '')}" for item in items)


def _group(groups: dict, name: str) -> Counter:
    found: Counter = Counter()
    for item in groups[name]:
        if isinstance(item, dict):
            found += _group(groups, item["include-group"])
        else:
            found += _requirements([item])
    return found
