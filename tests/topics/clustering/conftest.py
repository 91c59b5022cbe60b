"""Fixtures that several files of these tests take."""

import contextlib
import itertools

import pytest

from lab.run import node

from .shared import BIG, CREW, LEAVING, SNIPPETS


@pytest.fixture
def program(tmp_path):
    """Writes a program that imports what stands in `snippets/` as './clustering/…'."""
    written = itertools.count()

    def write(source: str):
        path = tmp_path / f"program-{next(written)}.mjs"
        path.write_text(source.replace("'./clustering/", f"'{SNIPPETS}/clustering/"))
        return path

    return write


@pytest.fixture
def crew(program):
    """Writes a cluster that is supervised within `limits`. `worker` is what a worker
    runs, `primary` what the primary does before it."""

    def write(worker: str = "await shop();", limits: str = "count: 2", primary: str = ""):
        return program(CREW % (primary, limits, worker))

    return write


@pytest.fixture
def leaving(program):
    """Serves a program that drains on SIGTERM. `/held` and `/stream` are answered, or
    end, on SIGUSR2; `/big` is more than the kernel's buffers take; `then` is run right
    after the drain has begun."""

    @contextlib.contextmanager
    def serve(*, patience=60_000, quiet=60_000, way="drain()", then="", tls=""):
        values = ("s" if tls else "", BIG, tls, patience, quiet, way, then)
        with node.serve(program(LEAVING % values)) as server:
            yield server

    return serve
