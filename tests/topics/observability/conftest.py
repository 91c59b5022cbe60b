"""Fixtures that several files of these tests take."""

import secrets

import pytest

from lab import SNIPPETS
from lab.run import node


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = ""):
        path = tmp_path / f"served-{secrets.token_hex(4)}.mjs"
        if not (packages := tmp_path / "node_modules").exists():
            packages.symlink_to(SNIPPETS / "node_modules")
        path.write_text(node.with_deps(f"observability/{snippet}", deps, before))
        return path

    return write
