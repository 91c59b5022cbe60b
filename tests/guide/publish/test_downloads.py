"""The ZIP of a topic's modules: what is in it, and that it starts by itself."""

import json
import os
import secrets
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from lab.publish import modules
from lab.run import process, services

from .shared import TREE

TAKEN = [slug for slug, topic in TREE.topics.items() if modules.taken(topic)]
BIN = Path(sys.executable).parent  # node and npm are here
ENV = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
# for the apps that want to be configured, and say so in the README of the download
CONFIGURED = {
    "JWT_SECRET": secrets.token_urlsafe(32),
    "REFRESH_SECRET": secrets.token_urlsafe(32),
    "JWT_ISSUER": "https://id.test",
    "JWT_AUDIENCE": "https://api.test",
    "ORIGINS": "https://shop.test",
}


def test_each_whole_topic_has_a_download():
    assert {slug for slug, topic in TREE.topics.items() if topic.whole} <= {*TAKEN}


@pytest.fixture(params=TAKEN)
def unpacked(request, tmp_path):
    """A topic's ZIP, unpacked where nothing of the guide is around it."""
    path = modules.pack(TREE, TREE.topics[request.param], tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    return tmp_path / request.param


def test_the_same_files_give_the_same_zip(tmp_path):
    topic = TREE.topics[TAKEN[0]]
    first = modules.pack(TREE, topic, tmp_path).read_bytes()
    assert modules.pack(TREE, topic, tmp_path).read_bytes() == first


@pytest.mark.timeout(600)
def test_a_download_is_installed_and_started_as_its_readme_says(
    unpacked, request, monkeypatch
):
    """Each module that can be served is, and each of the others can be imported."""
    slug = unpacked.name
    readme = (unpacked / "README.md").read_text("utf-8")
    assert "    npm install\n    npm start\n" in readme
    assert (unpacked / "LICENSE").read_text("utf-8").startswith("MIT License")
    package = json.loads((unpacked / "package.json").read_text("utf-8"))
    for name, version in package["dependencies"].items():
        assert version[0].isdigit() or version.startswith("npm:"), name
    quiet = ("--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(
        [BIN / "npm", "install", *quiet], cwd=unpacked, env=ENV, check=True, timeout=300
    )
    if "DATABASE_URL=" in readme:
        database = request.getfixturevalue("postgres_server")
        monkeypatch.setitem(ENV, "DATABASE_URL", database.url)
    for variable, value in CONFIGURED.items():
        if f"{variable}=" in readme:
            monkeypatch.setitem(ENV, variable, value)
    # what npm start runs, then each module by itself
    names = modules.taken(TREE.topics[slug])
    apps = [name for name in names if modules.served(TREE, name)]
    assert package["scripts"]["start"].endswith(apps[0])
    for name in names:
        assert f"`{name}`" in readme
        if name in apps:
            first = name == apps[0]
            starts(unpacked, "npm", "start") if first else starts(
                unpacked, "node", "serve.mjs", name
            )
        else:
            source = f"await import('./{name}')"
            argv = [BIN / "node", "--input-type=module", "--eval", source]
            subprocess.run(argv, cwd=unpacked, env=ENV, check=True, timeout=60)


def starts(folder: Path, program: str, *args: str) -> None:
    """Start it, wait until it answers HTTP, and end it."""
    port = services.free_port()

    def answers() -> bool:
        """Its liveness by one of the usual names, or that it has none: an answer that
        is no error of its own."""
        try:
            paths = ("/health", "/live")
            seen = [httpx.get(f"http://127.0.0.1:{port}{path}") for path in paths]
            return any(answer.status_code < 500 for answer in seen)
        except httpx.TransportError:
            return False

    with (folder / "log").open("wb") as log:
        child, token = process.start(
            [BIN / program, *args], cwd=folder, env={**ENV, "PORT": str(port)},
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            process.until(answers, 60, f"{' '.join(args)} answers")
        finally:
            process.end(child, token, grace=10)
