"""Fixtures that several files of these tests take."""

import contextlib
import textwrap

import pytest

from lab.run import node

from .shared import TOPIC


@pytest.fixture
def app(tmp_path):
    """Serves JavaScript that exports createApp, with the snippets' packages."""
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")

    @contextlib.contextmanager
    def serve(source: str):
        path = tmp_path / "app.mjs"
        folder = node.resolve(f"{TOPIC}/rules.mjs").parent.parent.as_uri()
        path.write_text(textwrap.dedent(source).replace("@/", f"{folder}/"))
        with node.serve(path) as server, server.client() as client:
            yield client

    return serve
