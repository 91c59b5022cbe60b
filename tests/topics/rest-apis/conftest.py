"""Fixtures that several files of these tests take."""

import contextlib

import pytest

from lab.run import node

from .shared import HARDENED, TOPIC, WHO, Users


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = ""):
        path = tmp_path / "module.mjs"
        deps = f"authenticate, {deps}"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", deps, WHO + before))
        return path

    return write


@pytest.fixture
def api(module):
    """Serves orders.mjs, or its twin; gives a client for each user."""

    @contextlib.contextmanager
    def serve(snippet: str = HARDENED, deps: str = "", before: str = "", **env: str):
        with node.serve(module(snippet, deps, before), env=env) as server:
            with contextlib.closing(Users(server)) as users:
                yield users

    return serve
