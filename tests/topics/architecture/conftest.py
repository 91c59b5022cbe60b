"""Fixtures that several files of these tests take."""

import contextlib
import secrets
import shutil

import pytest

from lab.run import node, process, services

from .shared import HERE, TOPIC, Database


@pytest.fixture(scope="module")
def server():
    """One PostgreSQL for the tests of a file; they take a database each."""
    if why := services.missing("postgresql"):
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            running = stack.enter_context(services.postgres())
        yield running


@pytest.fixture
def database(server):
    return Database(server)


@pytest.fixture
def copied(tmp_path):
    """A copy of the chapter's snippets, to be changed; gives its folder."""
    target = tmp_path / "snippets" / TOPIC
    shutil.copytree(HERE, target)
    (target.parent / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    (target.parent / "validation").symlink_to(node.SNIPPETS / "validation")
    return target


@pytest.fixture
def shop(tmp_path):
    """Serves a version as a customer sees it: a client that says who it is. The
    module that wraps the app passes the dependencies; `deps` is JavaScript."""

    @contextlib.contextmanager
    def serve(app, url="", deps="", models=None, root=HERE, customer="ann"):
        path = tmp_path / f"serve-{secrets.token_hex(4)}.mjs"
        given = ["authenticate", deps]
        before = (
            "const authenticate = async (req) => {\n"
            "  const id = req.get('X-Customer');\n  return id ? { id } : null;\n};\n"
        )
        if models:
            before += f"import {{ createModels }} from '{(root / models).as_uri()}';\n"
            given.append("models: await createModels({ ...deps })")
        text = node.with_deps(root / app, ", ".join(filter(None, given)), before)
        path.write_text(text)
        env = {"DATABASE_URL": url} if url else {"DATABASE_URL": ""}
        with node.serve(path, env=env) as running:
            with running.client(headers={"X-Customer": customer}) as client:
                client.output = running.output
                yield client

    return serve


@pytest.fixture
def read_committed(copied):
    """The chapter's snippets, with PostgreSQL's default in the place of serializable."""
    shutil.copyfile(copied / "transaction.naive.mjs", copied / "transaction.mjs")
    return copied
