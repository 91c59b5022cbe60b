"""npm: install scripts, integrity, a minimum age of releases."""

import base64
import datetime
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from lab.run import node

# --- packages -----------------------------------------------------------------------


class _Registry(http.server.BaseHTTPRequestHandler):
    """A registry with one package, whose 1.0.1 is of this hour."""

    package: dict
    tarballs: dict

    def do_GET(self):
        body = self.tarballs.get(self.path.rpartition("/")[2])
        if body is None:
            body = json.dumps(self.package).encode()
        self.send_response(200 if self.path.startswith("/parcel") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Npm:
    """npm in a folder of its own, against a registry on loopback."""

    def __init__(self, folder: Path):
        self.folder, self.app = folder, folder / "app"
        self.canary = folder / "canary"
        self.app.mkdir()
        self.registry = "http://127.0.0.1:9"  # nobody there unless a test says so

    def pack(self, version: str, script: bool) -> Path:
        source = self.folder / f"parcel-{version}"
        source.mkdir(exist_ok=True)
        run = "node -e \"require('fs').writeFileSync(process.env.CANARY, 'ran')\""
        package = {"name": "parcel", "version": version}
        if script:
            package["scripts"] = {"postinstall": run}
        (source / "package.json").write_text(json.dumps(package))
        self("pack", "--pack-destination", self.folder, cwd=source)
        return self.folder / f"parcel-{version}.tgz"

    def wants(self, spec: str) -> None:
        package = {"name": "app", "version": "1.0.0", "dependencies": {"parcel": spec}}
        (self.app / "package.json").write_text(json.dumps(package))

    def clean(self) -> None:
        for name in ("node_modules", "package-lock.json"):
            path = self.app / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.canary.unlink(missing_ok=True)

    def installed(self) -> str:
        path = self.app / "node_modules" / "parcel" / "package.json"
        return json.loads(path.read_text())["version"]

    def __call__(self, *args, cwd: Path | None = None, cache: str = "cache"):
        base = {k: v for k, v in os.environ.items() if not k.lower().startswith("npm_")}
        own = {
            "CANARY": str(self.canary), "HOME": str(self.folder), "NO_COLOR": "1",
            "PATH": f"{node.ROOT / '.venv' / 'bin'}:{base['PATH']}",
        }  # fmt: skip
        return subprocess.run(
            ["npm", *args, f"--cache={self.folder / cache}", "--no-audit", "--no-fund",
             "--no-update-notifier", f"--registry={self.registry}", "--fetch-retries=0"],
            cwd=cwd or self.app, env=base | own,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def npm(tmp_path):
    return Npm(tmp_path)


@pytest.mark.claim("hardening/install-only-downloads", verdict="wrong")
def test_an_install_script_runs_unless_scripts_are_off(npm):
    package = npm.pack("1.0.0", script=True)
    npm.wants(f"file:{package}")
    done = npm("install")
    assert done.returncode == 0, done.stderr
    assert npm.canary.exists()  # with a warning, when it is too late
    assert "install scripts not yet covered by allowScripts" in done.stderr
    npm.canary.unlink()
    for flags, code in (
        (["--ignore-scripts"], 0),
        (["--strict-allow-scripts"], 1),
        ([], 0),
    ):
        done = npm("ci", *flags)
        assert done.returncode == code, done.stderr
        assert npm.canary.exists() is (flags == [])
        if code:
            assert "ESTRICTALLOWSCRIPTS" in done.stderr


def test_npm_ci_refuses_another_content_and_a_lock_that_does_not_fit(npm):
    package = npm.pack("1.0.0", script=False)
    npm.wants(f"file:{package}")
    assert npm("install").returncode == 0
    npm.pack("1.0.0", script=True)  # the same name and version, another content
    done = npm("ci", cache="another")
    assert done.returncode != 0
    assert "EINTEGRITY" in done.stderr
    assert not npm.canary.exists()
    npm.wants(f"file:{npm.pack('1.0.1', script=True)}")
    done = npm("ci", cache="another")
    assert "can only install packages when your package.json and package-lock.json" in (
        done.stderr
    )
    assert not npm.canary.exists()
    # install has no such doubts: it writes a new lock and runs what it brings
    assert npm("install", cache="another").returncode == 0
    assert npm.canary.exists()


@pytest.fixture
def registry(npm):
    tarballs = {}
    now = datetime.datetime.now(datetime.UTC)
    ages = {"1.0.0": 300, "1.0.1": 0}
    for version in ages:
        file = npm.pack(version, script=version == "1.0.1")
        tarballs[file.name] = file.read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        npm.registry = f"http://127.0.0.1:{server.server_port}"
        versions = {}
        for version in ages:
            data = tarballs[f"parcel-{version}.tgz"]
            digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
            versions[version] = {
                "name": "parcel", "version": version,
                "hasInstallScript": version == "1.0.1",
                "dist": {
                    "tarball": f"{npm.registry}/parcel/-/parcel-{version}.tgz",
                    "integrity": f"sha512-{digest}",
                },
            }  # fmt: skip
        made = {
            version: (now - datetime.timedelta(days=days, minutes=5)).isoformat()
            for version, days in ages.items()
        }
        server.RequestHandlerClass = type(
            "Registry", (_Registry,),
            {"tarballs": tarballs, "package": {
                "name": "parcel", "dist-tags": {"latest": "1.0.1"},
                "versions": versions, "time": made}},
        )  # fmt: skip
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield npm
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.claim("hardening/keep-updated", verdict="depends")
def test_a_minimum_age_takes_the_older_release_and_says_so_when_there_is_none(registry):
    npm = registry
    npm.wants("^1.0.0")
    assert npm("install").returncode == 0
    assert npm.installed() == "1.0.1"
    assert npm.canary.exists()
    npm.clean()
    done = npm("install", "--min-release-age=7")
    assert done.returncode == 0, done.stderr
    assert npm.installed() == "1.0.0"
    assert not npm.canary.exists()
    npm.clean()
    npm.wants("1.0.1")
    done = npm("install", "--min-release-age=7")
    assert done.returncode != 0
    assert "ETARGET" in done.stderr
    assert not npm.canary.exists()


@pytest.mark.claim("hardening/keep-updated", verdict="depends")
@pytest.mark.parametrize("resolved", [True, False])
def test_a_lock_made_without_the_age_is_installed_however_young_by_its_address(
    registry, resolved
):
    """`npm ci` takes what the lock says: the age is a rule for who makes the lock.
    Unless that leaves the address out: then npm asks the registry, and looks."""
    npm = registry
    npm.wants("^1.0.0")
    flags = [] if resolved else ["--omit-lockfile-registry-resolved"]
    assert npm("install", "--ignore-scripts", *flags).returncode == 0
    lock = (npm.app / "package-lock.json").read_text()
    assert ('"resolved"' in lock) is resolved
    shutil.rmtree(npm.app / "node_modules")
    done = npm("ci", "--min-release-age=7", "--ignore-scripts", cache="another")
    print(done.stderr)
    assert (done.returncode == 0) is resolved
    if resolved:
        assert npm.installed() == "1.0.1"
    else:
        assert "ETARGET" in done.stderr


def test_install_scripts_of_the_guide_are_off():
    settings = (node.SNIPPETS / ".npmrc").read_text().splitlines()
    assert "ignore-scripts=true" in settings
