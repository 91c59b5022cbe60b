"""Fixtures that several files of these tests take."""

import contextlib

import pytest

from lab.run import node, process, services

from .shared import HERE, TEMPLATE, Database, fresh

WHO = "(req) => ({ id: req.get('X-Customer') ?? 'ann' })"


@pytest.fixture(scope="package")
def server():
    """One PostgreSQL for the topic; the tests take a database each."""
    if why := services.missing("postgresql"):
        pytest.skip(why)
    schema = f"""
    import {{ SCHEMA }} from '{(HERE / "schema.mjs").as_uri()}';
    console.log(SCHEMA);
    """
    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            settings = {"deadlock_timeout": "50ms", "max_connections": 60}
            running = stack.enter_context(services.postgres(**settings))
        running.sql(f"CREATE DATABASE {TEMPLATE}")
        Database(running, TEMPLATE).sql(node.printed(schema))
        yield running


@pytest.fixture
def database(server):
    return fresh(server)


@pytest.fixture
def shop(tmp_path, database):
    """Serves a module that exports createApp on the test's database; `deps` is
    JavaScript."""

    @contextlib.contextmanager
    def serve(snippet, deps="", **options):
        path = tmp_path / f"serve-{snippet}"
        given = f"url: '{database.url}', authenticate: {WHO}, {deps}"
        path.write_text(node.with_deps(HERE / snippet, given))
        with node.serve(path, **options) as running:
            yield running

    return serve
