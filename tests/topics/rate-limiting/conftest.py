"""Fixtures that several files of these tests take."""

import pytest

from lab.run import node

from .shared import TOPIC


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = "", name: str = "module"):
        path = tmp_path / f"{name}.mjs"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", deps, before))
        return path

    return write
