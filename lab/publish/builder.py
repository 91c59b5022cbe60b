"""Build the site, and serve it with live reload."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from lab import ROOT, GuideError

QUIET = {"NO_MKDOCS_2_WARNING": "1"}  # Material's notice about MkDocs 2
MKDOCS = (sys.executable, "-m", "lab.publish")


class SiteError(GuideError):
    """The site cannot be built or served."""


def serve(port: int) -> None:
    """`mkdocs serve` on 127.0.0.1, with live reload. Raises SiteError when the
    port is taken."""
    with socket.socket() as probe:
        # as the server does: a port in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SiteError(
                f"port {port}: something else listens there — stop it, or take "
                f"another one: make serve PORT={port + 1}"
            ) from None
    # in place of this process, so that whoever ends it ends the server
    address = f"127.0.0.1:{port}"
    argv = [*MKDOCS, "serve", "--dev-addr", address]
    os.chdir(ROOT)
    os.execve(sys.executable, argv, {**os.environ, **QUIET})


def build(folder: Path | None = None, config: Path | None = None, **env: str) -> None:
    """`mkdocs build --strict` of the guide, or of another `config`, with `env` added to
    the environment. Raises SiteError when it fails."""
    where = ["--site-dir", str(folder)] if folder else []
    where += ["--config-file", str(config)] if config else []
    done = subprocess.run(
        [*MKDOCS, "build", "--strict", *where],
        cwd=ROOT,
        env={**os.environ, **QUIET, **env},
        check=False,
    )
    if done.returncode:
        raise SiteError("mkdocs build: failed — its warnings are above")
