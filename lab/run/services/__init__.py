"""Real services for tests and notebooks: Redis, PostgreSQL, PgBouncer, Prometheus, a
proxy.

Each is a context manager: ready when the block begins, ended when it is left,
whatever happened in it, its data in a temporary directory that is removed.
"""

from lab.run.services.pgbouncer_server import PgBouncer, pgbouncer, pgbouncer_program
from lab.run.services.postgres_server import (
    Postgres,
    postgres,
    postgres_programs,
    replica,
)
from lab.run.services.prometheus_server import Prometheus, prometheus, prometheus_program
from lab.run.services.redis_server import Redis, redis
from lab.run.services.reverse_proxy import Proxy, nginx, nginx_program, proxy
from lab.run.services.service import NotOurs, Service, ServiceError, free_port, listens

__all__ = [
    "NotOurs", "PgBouncer", "Postgres", "Prometheus", "Proxy", "Redis", "Service",
    "ServiceError", "free_port", "listens", "missing", "nginx", "pgbouncer", "postgres",
    "prometheus", "proxy", "redis", "replica",
]  # fmt: skip


def missing(package: str) -> str | None:
    """Why a service cannot run here, None if it can. `package` is the Debian package:
    "nginx", "pgbouncer", "postgresql" or "prometheus"."""
    looked_for = {
        "nginx": nginx_program,
        "pgbouncer": pgbouncer_program,
        "postgresql": postgres_programs,
        "prometheus": prometheus_program,
    }
    try:
        looked_for[package]()
    except ServiceError as error:
        return str(error)
    return None
