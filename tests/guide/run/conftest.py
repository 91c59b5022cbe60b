"""Fixtures that several files of these tests take."""

import contextlib
from pathlib import Path

import pytest

from lab.run import node, services

from .shared import ECHO


@pytest.fixture
def echo(tmp_path):
    """Starts servers that answer with the request as they saw it."""
    file = tmp_path / "echo.mjs"
    file.write_text(ECHO)
    with contextlib.ExitStack() as stack:
        yield lambda *args: stack.enter_context(node.serve(file, *args)).url


@pytest.fixture(params=["nginx", "node"])
def proxy(request):
    """Starts proxies of either kind in front of given URLs."""
    if request.param == "nginx" and (why := services.missing("nginx")):
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        yield lambda urls, **options: stack.enter_context(
            services.proxy(urls, kind=request.param, **options)
        )


@pytest.fixture
def snippet(tmp_path):
    """Writes a snippet to a file of its own."""

    def write(text: str, suffix: str = ".mjs") -> Path:
        path = tmp_path / f"fault{suffix}"
        path.write_text(text, "utf-8")
        return path

    return write
