"""What several files of these tests share."""

import secrets
from pathlib import Path

from lab.run import node

TOPIC = "architecture"

HERE = node.SNIPPETS / TOPIC

TEA, POT = {"sku": "tea", "quantity": 1}, {"sku": "pot", "quantity": 1}


class Database:
    """A database of one test: `url`, and `sql(statement)` as lab.run.services has it."""

    def __init__(self, server) -> None:
        self.name = f"shop_{secrets.token_hex(4)}"
        server.sql(f"CREATE DATABASE {self.name}")
        self.url = server.url.rpartition("/")[0] + f"/{self.name}"
        self._sql = type(server).sql

    def sql(self, statement: str) -> str:
        return self._sql(self, statement)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} of {old!r}"
    path.write_text(text.replace(old, new), "utf-8")


# what is served, by version and store: the app's module, and its models if another's
APPS = {
    "one file, SQLite": ("onefile/app.mjs", None),
    "one file for a CLI, SQLite": ("onefile/app.cli.mjs", None),
    "one file, PostgreSQL": ("onefile/app.postgres.mjs", None),
    "MVC, SQLite": ("mvc/app.mjs", None),
    "MVC, PostgreSQL": ("mvc/app.mjs", "mvc/models.postgres.mjs"),
    "layered, SQLite": ("layered/app.mjs", None),
    "layered, PostgreSQL": ("layered/app.postgres.mjs", None),
}


def place(client, *items, **more):
    return client.post("/orders", json={"items": list(items), **more})


def many(sku, quantity):
    return {"sku": sku, "quantity": quantity}


FACTORIES = {
    "sqlite": "sqliteStore",
    "memory": "memoryStore",
    "postgres": "postgresStore",
}
