"""PgBouncer, between a service and PostgreSQL."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from lab.run.services.postgres_server import as_postgres
from lab.run.services.service import Recipe, Service, ServiceError, running


class PgBouncer(Service):
    """A PgBouncer whose clients all are PostgreSQL's user `postgres`."""


@contextlib.contextmanager
def pgbouncer(
    database: str, *, mode: str = "transaction", size: int = 1, settings: str = ""
) -> Iterator[PgBouncer]:
    """PgBouncer in front of `database`, a URL: `size` connections to it, lent for a
    `mode`: "session", "transaction" or "statement". `settings` are further lines of its
    section [pgbouncer]. Raises ServiceError."""
    parts = urlsplit(database)
    program = pgbouncer_program()
    name = parts.path.removeprefix("/")

    def argv(folder: Path, port: int) -> list[str | Path]:
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"""\
[databases]
{name} = host={parts.hostname} port={parts.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
{settings}
""",
            "utf-8",
        )
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        return [*as_postgres(), program, config]

    recipe = Recipe(
        "PgBouncer",
        f"postgresql://postgres@127.0.0.1:{{port}}/{name}",
        argv,
        ready="process up",
        taken="Address already in use",
    )
    with running(PgBouncer, recipe) as service:
        yield service


def pgbouncer_program() -> str:
    """The path of PgBouncer. Raises ServiceError that names the Debian package."""
    # Debian's place is on root's PATH only
    if found := shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer"):
        return found
    raise ServiceError(
        "PgBouncer: not installed — Debian: apt-get install pgbouncer (see apt.txt)"
    )
