"""Fixtures that several files of these tests take."""

import contextlib

import pytest

from lab.run import node

from .shared import CHECK, ENV, TOPIC


@pytest.fixture
def shop(tmp_path):
    """Serves shop.mjs (or the naive app) with one user; gives the server."""

    @contextlib.contextmanager
    def serve(snippet: str = "shop.mjs", env: dict | None = None, deps: str = ""):
        path = tmp_path / f"served-{snippet}"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", f"check, {deps}", CHECK))
        with node.serve(path, env={**ENV, **(env or {})}) as server:
            yield server

    return serve
