"""Where the guide runs without a set-up by hand: Binder, and a devcontainer."""

import difflib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab import NOTEBOOKS, ROOT
from lab.record import evidence
from lab.run import node, process

BINDER = ROOT / ".binder"
EXPORT = (
    "uv export --frozen --offline --no-default-groups --group binder "
    "--no-emit-project --no-annotate"
)
MEND = f"run: .uv/bin/{EXPORT} -o .binder/requirements.txt"


# --- what Binder installs is what the lock says -----------------------------------


def body(requirements: str) -> list[str]:
    """The lines without the head, which holds the command line."""
    return [line for line in requirements.splitlines() if not line.startswith("#")]


def changed(committed: str, fresh: str) -> list[str]:
    """The lines that only one of two exports has."""
    lines = difflib.ndiff(body(committed), body(fresh))
    return [line for line in lines if line.startswith(("- ", "+ "))]


@pytest.fixture(scope="module")
def fresh(uv) -> str:
    """A new export from the lock. Needs no network."""
    return subprocess.run(
        [uv, *EXPORT.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_binder_installs_what_the_lock_says(fresh):
    committed = (BINDER / "requirements.txt").read_text("utf-8")
    differing = changed(committed, fresh)
    assert not differing, f".binder/requirements.txt: not as uv.lock, {MEND}\n" + (
        "\n".join(differing[:20])
    )
    head = "".join(line for line in committed.splitlines(True) if line[0] == "#")
    assert f"    {EXPORT} -o .binder/requirements.txt\n" in head, MEND


def test_a_requirement_that_is_not_as_locked_is_found(fresh):
    stale = re.sub(r"^httpx==\S+", "httpx==0.1", fresh, flags=re.MULTILINE)
    assert [line[:13] for line in changed(stale, fresh)] == [
        "- httpx==0.1 ",
        f"+ {re.search(r'^httpx==.*', fresh, re.MULTILINE)[0]}"[:13],
    ]
    short = re.sub(r"^httpx==.*\n(    .*\n)+", "", fresh, flags=re.MULTILINE)
    assert changed(short, fresh)[0].startswith("+ httpx==")


# --- what Binder builds: minutes and the network, `pytest -m binder` --------------


@dataclass(frozen=True)
class Place:
    """A clone of the guide, and a virtual environment to use it in."""

    clone: Path
    python: Path
    env: dict[str, str]

    def run(self, *argv: str | Path) -> str:
        """Run in the clone, to the end; returns all output. Fails with it."""
        done = subprocess.run(
            argv, cwd=self.clone, env=self.env, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said = f"{argv[0]} {argv[1:]}: exit code {done.returncode}\n{done.stdout[-5000:]}"
        assert done.returncode == 0, said
        return done.stdout

    def module(self, *argv: str | Path) -> str:
        """`python -m ARGV` in the clone."""
        return self.run(self.python, "-m", *argv)


def place(folder: Path, clone_into) -> Place:
    """A new clone and a new venv with nothing but pip, in `folder`."""
    venv, runtime = folder / "venv", folder / "jupyter"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    runtime.mkdir()
    outside = {"PYTHONPATH", "PYTHONHOME", node.COVERAGE, evidence.RECORD}
    path = [p for p in os.get_exec_path() if not Path(p).is_relative_to(ROOT)]
    env = {
        **{name: value for name, value in os.environ.items() if name not in outside},
        "VIRTUAL_ENV": str(venv),
        "PATH": os.pathsep.join([str(venv / "bin"), *path]),
        "JUPYTER_RUNTIME_DIR": str(runtime),
    }
    return Place(clone_into(folder / "guide"), venv / "bin" / "python", env)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, clone_into) -> Place:
    """Installed as Binder does it."""
    new = place(tmp_path_factory.mktemp("binder"), clone_into)
    new.module("pip", "install", "--quiet", "-r", ".binder/requirements.txt")
    new.run(new.clone / ".binder" / "postBuild")
    return new


@pytest.mark.binder
@pytest.mark.timeout(300)
def test_repo2docker_takes_the_files_of_binder_and_no_others(tmp_path, clone_into):
    new = place(tmp_path, clone_into)
    # on purpose not locked: Binder itself follows the newest release
    new.module("pip", "install", "--quiet", "jupyter-repo2docker>=2026.4")
    repo2docker = new.python.parent / "jupyter-repo2docker"
    told = new.run(repo2docker, "--no-build", "--debug", ".")
    assert f"Building conda environment for python={runtime()}\n" in told
    assert 'pip install --no-cache-dir -r ".binder/requirements.txt"\n' in told
    assert "RUN ./.binder/postBuild\n" in told
    # the root's apt.txt is for Debian, and this image is Ubuntu
    assert not [package for package in packages() if package in told]


@pytest.mark.binder
@pytest.mark.timeout(900)
def test_what_binder_installs_is_whole_and_of_the_clone(installed):
    installed.module("pip", "check")
    root = installed.run(installed.python, "-P", "-c", "import lab; print(lab.ROOT)")
    assert root.strip() == str(installed.clone)


@pytest.mark.binder
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
)
def test_a_notebook_runs_in_what_binder_installs(name, installed, tmp_path):
    installed.module(
        "jupyter", "nbconvert", "--to", "notebook", "--execute",
        "--output-dir", tmp_path, f"notebooks/{name}",
    )  # fmt: skip
    cells = json.loads((tmp_path / name).read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["execution_count"] for cell in code)


@pytest.mark.binder
@pytest.mark.timeout(900)
def test_a_notebook_that_fails_in_what_binder_installs_is_told(installed):
    cell = {"cell_type": "code", "source": "1 / 0", "outputs": [], "metadata": {}}
    book = {"cells": [{**cell, "execution_count": None, "id": "a"}], "metadata": {}}
    path = installed.clone / "notebooks" / "faulty.ipynb"
    path.write_text(json.dumps({**book, "nbformat": 4, "nbformat_minor": 5}))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        installed.module("jupyter", "nbconvert", "--to", "notebook", "--execute", path)


@pytest.mark.binder
@pytest.mark.timeout(900)
def test_jupyterlab_starts_in_what_binder_installs(installed, tmp_path):
    started = Path(installed.env["JUPYTER_RUNTIME_DIR"])
    with (tmp_path / "log").open("wb") as out:
        child, token = process.start(
            [
                installed.python, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
                "--ServerApp.port=0", "--IdentityProvider.token=",
            ],
            cwd=installed.clone, env=installed.env, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (found := list(started.glob("jpserver-*.json"))):
            log = (tmp_path / "log").read_text("utf-8")
            assert child.poll() is None and time.monotonic() < deadline, log
            time.sleep(0.1)
        url = json.loads(found[0].read_text("utf-8"))["url"]
        assert "<title>JupyterLab</title>" in httpx.get(f"{url}lab", timeout=30).text
    finally:
        process.end(child, token, grace=10)


# --- the devcontainer -------------------------------------------------------------

# The official schema comes in no package of npm or PyPI, so this says what the guide
# uses of it, and nothing else.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "image", "forwardPorts", "postCreateCommand"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "image": {"type": "string", "pattern": r"^[a-z0-9./-]+:[A-Za-z0-9._-]+$"},
        "forwardPorts": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "integer", "minimum": 1, "maximum": 65535},
        },
        "postCreateCommand": {"type": "string", "minLength": 1},
    },
}


def devcontainer() -> dict:
    """What .devcontainer/devcontainer.json says, without its comment lines."""
    lines = (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8").split("\n")
    return json.loads("\n".join(x for x in lines if not x.lstrip().startswith("//")))


def faults(container: dict) -> list[str]:
    """What the schema has against it, in one line each."""
    import jsonschema  # its import takes seconds

    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(container)
    return [f"devcontainer.json: {error.json_path}: {error.message}" for error in found]


def runtime() -> str:
    """The Python that Binder is asked for, as 3.11."""
    return (BINDER / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")


def packages() -> list[str]:
    """The Debian packages in apt.txt."""
    return re.sub(r"#.*", "", (ROOT / "apt.txt").read_text("utf-8")).split()


def test_the_devcontainer_fits_its_schema():
    """The schema is our own and says only what is used here; no container is built."""
    assert faults(devcontainer()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "$.image: None is not of type 'string'"),
        ({"image": "python"}, "$.image: 'python' does not match"),
        (
            {"forwardPorts": ["8000"]},
            "$.forwardPorts[0]: '8000' is not of type 'integer'",
        ),
        ({"forwardPorts": 8000}, "$.forwardPorts: 8000 is not of type 'array'"),
        ({"postCreatCommand": "make"}, "('postCreatCommand' was unexpected)"),
    ],
)
def test_a_faulty_devcontainer_is_told(change, message):
    (fault,) = faults({**devcontainer(), **change})
    assert message in fault


def test_the_devcontainer_has_binders_python_and_the_port_of_make_serve():
    container = devcontainer()
    assert f"/python:{runtime()}-" in container["image"]
    port = re.search(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert container["forwardPorts"] == [int(port[1])]


def test_the_devcontainer_installs_what_apt_txt_names_then_sets_up(tmp_path):
    for name in ("sudo", "make"):  # stand-ins that only say how they were called
        stand_in = tmp_path / name
        stand_in.write_text('#!/bin/sh\necho "${0##*/} $*"\n')
        stand_in.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", devcontainer()["postCreateCommand"]],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "sudo apt-get update",
        f"sudo apt-get install --yes --no-install-recommends {' '.join(packages())}",
        "make setup",
    ]
