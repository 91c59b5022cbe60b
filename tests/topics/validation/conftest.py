"""Fixtures that several files of these tests take."""

import contextlib

import pytest


@pytest.fixture
def app(app):
    """As that of all topics, but gives a client."""

    @contextlib.contextmanager
    def serve(source: str):
        with app(source) as server, server.client() as client:
            yield client

    return serve
