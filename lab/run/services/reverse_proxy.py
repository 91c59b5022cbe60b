"""A reverse proxy: nginx as it is when nobody tuned it, or some lines of Node."""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lab.run import node
from lab.run.services.service import Recipe, Service, ServiceError, is_local, running

PROXY = Path(__file__).with_name("proxy.mjs")
BALANCE = ("round-robin", "least-connections", "client-address")
FORWARDED = ("append", "overwrite", "pass")


class Proxy(Service):
    """A reverse proxy; `kind` says which: "nginx" or "node"."""

    kind = ""


@contextlib.contextmanager
def proxy(
    upstreams: str | Sequence[str],
    *,
    kind: str | None = None,
    balance: str = "round-robin",
    forwarded: str = "append",
    keepalive: int = 0,
    websocket: bool = False,
    retry: bool = True,
    cache: bool = False,
    location: str = "",
    source: str = "127.0.0.2",
) -> Iterator[Proxy]:
    """A reverse proxy in front of `upstreams`, URLs of this machine, as nginx is when
    nobody tuned it: HTTP/1.0 to the upstreams, answers buffered, a failed GET tried on
    the next upstream. A module that is only right behind a tuned proxy fails its test.

    `kind` is "nginx", "node" (some lines of Node with the same contract, for where
    there is no nginx), or None: nginx where it is installed.
    `balance`: "round-robin", "least-connections", or "client-address", which sends
    a client to the same upstream every time.
    `forwarded` says what becomes of X-Forwarded-For: "append" adds the client's
    address to it, "overwrite" puts that address in its place, "pass" leaves it as the
    client sent it. X-Forwarded-Proto is always set, Host is the client's.
    `keepalive` is how many idle connections to the upstreams are kept; with 0
    each request takes a new one. `websocket` passes the upgrade on. Both make nginx
    speak HTTP/1.1 to the upstreams (the Node proxy always does, and never buffers: a
    test about streams takes nginx). `retry` sends a GET or HEAD whose upstream fails
    to the next one; an upstream that failed is asked again by the next request, so
    that the turns can be counted (nginx waits ten seconds unless told).
    `cache` keeps each 200 for a minute, by its URL, unless the upstream forbids it, as
    a CDN that was told to cache does; it forces nginx, and so does `location`, text for
    nginx's `location /`.
    `source` is the address that the upstreams see: not that of the tests' own
    clients, since `trust proxy: 'loopback'` would trust them too.

    Raises ServiceError.
    """
    urls = [upstreams] if isinstance(upstreams, str) else list(upstreams)
    own = cache or bool(location)  # what the lines of Node do not know
    kind = kind or ("nginx" if own or _installed() else "node")
    _check_proxy(urls, kind, balance, forwarded, own, source)
    options = {
        "upstreams": urls, "balance": balance, "forwarded": forwarded,
        "keepalive": keepalive, "websocket": websocket, "retry": retry,
        "source": source, "cache": cache,
    }  # fmt: skip
    recipe = _nginx(options, location) if kind == "nginx" else _node_proxy(options)
    with running(Proxy, recipe) as service:
        service.kind = kind
        yield service


def nginx(upstreams: str | Sequence[str], **options):
    """`proxy` with `kind="nginx"`: ServiceError names the Debian package when it is
    missing."""
    return proxy(upstreams, kind="nginx", **options)


def _check_proxy(urls, kind, balance, forwarded, own, source) -> None:
    for given, allowed in (
        (kind, ("nginx", "node")), (balance, BALANCE), (forwarded, FORWARDED),
    ):  # fmt: skip
        if given not in allowed:
            raise ServiceError(f"proxy: no '{given}' — choose from {', '.join(allowed)}")
    if kind == "node" and own:
        raise ServiceError(
            "proxy: the Node one does not read nginx's directives and has no cache — "
            "leave `location` and `cache` out, or take kind='nginx'"
        )
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "http" or not is_local(parts.hostname) or not parts.port:
            raise ServiceError(
                f"proxy: '{url}' is no upstream — give http://127.0.0.1:PORT"
            )
    if not urls:
        raise ServiceError("proxy: no upstream — give the URL of at least one server")
    with socket.socket() as probe:
        try:
            probe.bind((source, 0))
        except OSError:
            raise ServiceError(
                f"proxy: nothing here can connect from {source} — Linux has all of "
                f"127.0.0.0/8; macOS: sudo ifconfig lo0 alias {source}"
            ) from None


def _node_proxy(options: dict) -> Recipe:
    def argv(_folder: Path, port: int) -> list[str | Path]:
        return [node.binary(), PROXY, json.dumps({**options, "port": port})]

    return Recipe(
        "Node proxy",
        "http://127.0.0.1:{port}",
        argv,
        ready="^listening",
        taken="EADDRINUSE",
    )


def _nginx(options: dict, location: str) -> Recipe:
    program = nginx_program()

    def argv(folder: Path, port: int) -> list[str | Path]:
        config = folder / "nginx.conf"
        config.write_text(_nginx_config(options, location, folder, port), "utf-8")
        return [program, "-p", folder, "-c", config, "-e", "stderr"]

    return Recipe(
        "nginx",
        "http://127.0.0.1:{port}",
        argv,
        ready="start worker process ",
        taken="Address already in use",
    )


def _installed() -> bool:
    try:
        return bool(nginx_program())
    except ServiceError:
        return False


def nginx_program() -> str:
    """The path of nginx. Raises ServiceError that names the Debian package."""
    # Debian's place is on root's PATH only
    if found := shutil.which("nginx") or shutil.which("/usr/sbin/nginx"):
        return found
    raise ServiceError(
        "nginx: not installed — Debian: apt-get install nginx (see apt.txt)"
    )


def _nginx_config(options: dict, location: str, folder: Path, port: int) -> str:
    balance = {
        "round-robin": "",
        "least-connections": "least_conn;",
        "client-address": "hash $remote_addr;",  # ip_hash takes all of 127.0.0 for one
    }[options["balance"]]
    # max_fails=0: an upstream that failed is asked again by the next request
    servers = "\n".join(
        f"server {urlsplit(url).netloc} max_fails=0;" for url in options["upstreams"]
    )
    keepalive = f"keepalive {options['keepalive']};" if options["keepalive"] else ""
    forwarded = {
        "append": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "overwrite": "proxy_set_header X-Forwarded-For $remote_addr;",
        "pass": "",
    }[options["forwarded"]]
    connection = '""' if options["keepalive"] else "close"
    modern = options["keepalive"] or options["websocket"]
    version = "proxy_http_version 1.1;" if modern else ""  # else nginx's own default
    upgrade = ""
    if options["websocket"]:
        upgrade = "proxy_set_header Upgrade $http_upgrade;"
        connection, before = "$to_upstream", connection
        upgrade_map = (
            f"map $http_upgrade $to_upstream {{ default upgrade; '' {before}; }}"
        )
    else:
        upgrade_map = ""
    retry = "error timeout" if options["retry"] else "off"
    temporary = "\n".join(
        f"{what}_temp_path {folder}/{what};"
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # one worker: each has a turn of its own, and the turns shall be countable
    return f"""\
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  {temporary}
  {f"proxy_cache_path {folder}/cache keys_zone=kept:1m;" if options["cache"] else ""}
  {upgrade_map}
  upstream behind {{ {balance} {servers} {keepalive} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://behind;
      proxy_bind {options["source"]};
      {version}
      proxy_next_upstream {retry};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Connection {connection};
      {upgrade}
      {forwarded}
      {"proxy_cache kept; proxy_cache_valid 200 1m;" if options["cache"] else ""}
      {location}
    }}
  }}
}}
"""
