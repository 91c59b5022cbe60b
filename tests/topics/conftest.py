"""Fixtures that tests of several topics take."""

import contextlib
import textwrap

import pytest

from lab.run import node


@pytest.fixture
def app(tmp_path):
    """Serves JavaScript that exports createApp, with the snippets' packages; `@/` is the
    snippets' folder."""
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")

    @contextlib.contextmanager
    def serve(source: str, **options):
        path = tmp_path / "app.mjs"
        folder = node.SNIPPETS.as_uri()
        path.write_text(textwrap.dedent(source).replace("@/", f"{folder}/"))
        with node.serve(path, **options) as server:
            yield server

    return serve
