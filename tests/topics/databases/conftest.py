"""Fixtures that several files of these tests take."""

import contextlib

import pytest

from lab.run import node, process, services

from .shared import HERE, Database

EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC;"
WHO = "(req) => ({ id: req.get('X-Customer') ?? 'ann' })"


@pytest.fixture(scope="package")
def server():
    """One PostgreSQL for the topic."""
    if why := services.missing("postgresql"):
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            settings = {"deadlock_timeout": "50ms", "max_connections": 60}
            running = stack.enter_context(services.postgres(**settings))
        running.sql("CREATE DATABASE shop")
        yield running


@pytest.fixture(scope="package")
def tables():
    """The statements that make the shop's tables, in an empty schema."""
    schema = (HERE / "schema.mjs").as_uri()
    text = node.printed(f"import {{ SCHEMA }} from '{schema}'; console.log(SCHEMA);")
    return f"{EMPTY} {text}"


@pytest.fixture
def database(server, tables):
    """The shop's database as new. To copy one takes much longer than to empty it."""
    shop = Database(server, "shop")
    others = f"FROM pg_stat_activity WHERE datname = '{shop.name}'"
    server.sql(f"SELECT pg_terminate_backend(pid) {others}")
    process.until(lambda: server.sql(f"SELECT count(*) {others}") == "0")
    shop.sql(tables)
    return shop


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
