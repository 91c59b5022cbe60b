"""What contributors and CI rely on: hooks, workflows, the README's list."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"
HOOKS = {
    hook["id"]: hook
    for repo in yaml.safe_load(CONFIG.read_text("utf-8"))["repos"]
    for hook in repo["hooks"]
}
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


# --- hooks ------------------------------------------------------------------------


@dataclass(frozen=True)
class Repository:
    """A git repository with the tools that the hooks call, and no settings but its
    own. `home` is where pre-commit would keep what it clones."""

    folder: Path
    home: Path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it; its standard output and error are one text."""
        who = {"NAME": "A", "EMAIL": "a@example.org"}
        env = {
            **{k: v for k, v in os.environ.items() if k != "SKIP" and k[:4] != "GIT_"},
            **{
                f"GIT_{role}_{k}": v
                for role in ("AUTHOR", "COMMITTER")
                for k, v in who.items()
            },
            "PRE_COMMIT_HOME": str(self.home),
            "NO_COLOR": "1",  # some colour what they say when they see CI
        }
        return subprocess.run(
            argv, cwd=self.folder, env=env, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def add(self, files: Mapping[str, str]) -> None:
        """Write files, and have git know them."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        assert self.run("git", "add", "--all").returncode == 0

    def hooks(self) -> subprocess.CompletedProcess[str]:
        return self.run(str(ROOT / ".venv" / "bin" / "pre-commit"), "run", "--all-files")


def repository(folder: Path, home: Path) -> Repository:
    """Make one of a folder."""
    if not (ROOT / ".venv").exists():
        pytest.skip("set up elsewhere than in .venv, where the hooks look")
    made = Repository(folder, home)
    assert made.run("git", "init", "--quiet").returncode == 0
    (folder / ".git" / "info" / "exclude").write_text(".venv\nnode_modules\n")
    for name in (".venv", "snippets/node_modules"):
        (folder / name).symlink_to(ROOT / name)
    made.add({})
    return made


@pytest.fixture
def whole(tmp_path, clone_into) -> Repository:
    """All files, as they are now: whoever goes on editing disturbs no hook."""
    return repository(clone_into(tmp_path / "guide"), tmp_path / "home")


@pytest.fixture
def bare(tmp_path) -> Repository:
    """Only what configures the hooks."""
    folder = tmp_path / "guide"
    for name in (
        CONFIG.name, "pyproject.toml", ".prettierrc.json", ".github/zizmor.yml",
        "snippets/eslint.config.mjs",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return repository(folder, tmp_path / "home")


def test_every_file_passes_the_hooks(whole):
    done = whole.hooks()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Passed") == len(HOOKS), (
        f"one looks at no file\n{done.stdout}"
    )
    assert not list(whole.home.glob("repo*")), "pre-commit cloned or installed something"


WORKFLOW = """\
name: Faulty
on: push
permissions: {}
concurrency: { group: faulty, cancel-in-progress: true }
jobs:
  job:
    name: Job
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - run: echo
"""
CELL = {"cell_type": "code", "id": "0", "metadata": {}, "outputs": []}
PRINTED = {**CELL, "execution_count": 1, "source": "1"}
WORDS = {"cell_type": "markdown", "id": "0", "metadata": {}, "source": "The color."}


def notebook(cell: dict) -> str:
    return json.dumps(
        {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    )


# hook: path, text, what the hook says of it
FAULTS = {
    "ruff-check": [("x.py", "import os\n", "F401")],
    "ruff-format": [("y.py", "x = {  }\n", "File would be reformatted\n --> y.py")],
    "eslint": [("snippets/x.cjs", "leaked = 1;\n", "no-undef")],
    "prettier": [
        ("x.mjs", "let x = 1\n", "[warn] x.mjs"),
        ("docs/x.css", "a{color:red}\n", "[warn] docs/x.css"),
        ("x.json", "{}\n\n\n", "[warn] x.json"),
        ("x.yml", "x:   1\n", "[warn] x.yml"),
    ],
    "nbstripout": [("x.ipynb", notebook(PRINTED), "x.ipynb")],
    "typos": [
        ("typo.mjs", "// odrer\n", "`odrer` should be `order`"),
        ("x.md", "Its behavior.\n", "`behaviour`"),
        ("y.ipynb", notebook(WORDS), "`colour`"),
    ],
    "workflows": [
        (".github/workflows/x.yml", WORKFLOW.replace("5", "soon"), "'soon' is not"),
    ],
    "zizmor": [
        (
            ".github/workflows/injected.yml",
            WORKFLOW.replace("run: echo", "run: echo ${{ github.head_ref }}"),
            "template-injection",
        ),
        (
            ".github/workflows/unpinned.yml",
            WORKFLOW.replace("run: echo", "uses: actions/setup-node@v7"),
            "unpinned-uses",
        ),
        (
            ".github/workflows/free.yml",
            WORKFLOW.replace("permissions: {}", "permissions: write-all"),
            "excessive-permissions",
        ),
        (
            ".github/dependabot.yml",
            "version: 2\nupdates: [{ package-ecosystem: uv, directory: / }]\n",
            "dependabot-cooldown",
        ),
    ],
    "dependabot": [
        (
            ".github/dependabot.yml",
            "version: 2\nupdates: [{ package-ecosystem: uv, directory: / }]\n",
            "'schedule' is a required property",
        ),
    ],
    "issue-forms": [
        (
            ".github/ISSUE_TEMPLATE/x.yml",
            "name: X\ndescription: X\nbody: [{ type: choice }]\n",
            "body[0]",
        ),
    ],
    "issue-config": [
        (
            ".github/ISSUE_TEMPLATE/config.yml",
            "blank_issues_enabled: perhaps\n",
            "'perhaps' is not of type 'boolean'",
        ),
    ],
}


def test_each_hook_finds_its_planted_faults(bare):
    planted = [fault for faults in FAULTS.values() for fault in faults]
    bare.add({path: text for path, text, _ in planted})
    _, *parts = re.split(r"^- hook id: (.+)$", bare.hooks().stdout, flags=re.MULTILINE)
    said = dict(zip(parts[::2], parts[1::2], strict=True))  # by those that failed
    assert said.keys() == FAULTS.keys() == HOOKS.keys()
    for name, faults in FAULTS.items():
        assert [words for *_, words in faults if words not in said[name]] == []


def test_git_commit_asks_the_hooks(bare):
    install = (str(ROOT / ".venv" / "bin" / "pre-commit"), "install")
    assert bare.run(*install).returncode == 0
    bare.add({"x.md": "Its behavior.\n"})
    refused = bare.run("git", "commit", "-mx")
    assert refused.returncode == 1
    assert "`behavior` should be `behaviour`" in refused.stdout
    bare.add({"x.md": "Its behaviour.\n"})
    done = bare.run("git", "commit", "-mx")
    assert done.returncode == 0, done.stdout


# --- what is written about the repository is so -----------------------------------


def tracked() -> set[str]:
    """What stands at the top of the repository; folders end with a slash."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return {re.sub(r"/.*", "/", name) for name in names if name}


def listed(readme: str) -> set[str]:
    """The names in the first column of the README's table."""
    rows = re.findall(r"^\| (`[^|]*`) \|", readme, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def differing(names: set[str], there: set[str]) -> list[str]:
    return [
        *(f"README.md: lists {n}, which is not there — remove it" for n in names - there),
        *(f"README.md: does not list {n} — say what it is for" for n in there - names),
    ]


def test_the_readme_lists_what_is_there():
    assert differing(listed((ROOT / "README.md").read_text("utf-8")), tracked()) == []


def test_a_readme_that_lists_something_else_is_told():
    names = listed("| here | what for |\n|---|---|\n| `docs/`, `gone` | `prose` |\n")
    assert names == {"docs/", "gone"}
    assert differing(names, {"docs/", "new/"}) == [
        "README.md: lists gone, which is not there — remove it",
        "README.md: does not list new/ — say what it is for",
    ]


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def unknown_targets(text: str, known: set[str]) -> list[str]:
    """Targets that a text has people or runners make, and that there are none of."""
    command = r"(?:^|`|run: )(?:\S+/)?(?:make|\.ci/run) ([a-z]+)\b"
    return [name for name in re.findall(command, text, re.MULTILINE) if name not in known]


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WORKFLOWS],
    ids=lambda path: path.name,
)
def test_every_make_target_that_is_named_is_there(path):
    known = targets((ROOT / "Makefile").read_text("utf-8"))
    assert unknown_targets(path.read_text("utf-8"), known) == []


def test_a_target_that_is_not_there_is_found():
    text = "`make serve`, `make srve`\nmake tset  # all\n  run: make site\n  run: .ci/run x\n"
    known = targets("serve: setup ## x\nsite:\nE := 1\n")
    assert unknown_targets(text, known) == ["srve", "tset", "x"]


# --- workflows --------------------------------------------------------------------


def actions(text: str) -> Iterator[str]:
    """What stands behind each `uses:`, its comment included."""
    yield from re.findall(r"^\s*(?:- )?uses:\s*(.+?)\s*$", text, re.MULTILINE)


def unpinned(uses: Iterable[str]) -> list[str]:
    """Actions without a full hash and its version, or with more than one of them."""
    pinned = re.compile(r"([\w.-]+/[\w./-]+)@[0-9a-f]{40} # v\d+(\.\d+){0,2}")
    uses = set(uses)
    found = [one for one in uses if not pinned.fullmatch(one)]
    names = [one.split("@")[0] for one in uses]
    return sorted({*found, *(name for name in names if names.count(name) > 1)})


def test_every_action_is_pinned_in_one_version():
    uses = [one for path in WORKFLOWS for one in actions(path.read_text("utf-8"))]
    assert len(uses) > 10
    assert unpinned(uses) == []


def test_an_action_that_is_not_pinned_is_found():
    full = f"a/b@{'0' * 40}"
    text = f"- uses: {full} # v1\n  uses: {full}\n- uses: a/c@v1 # v1\n"
    assert unpinned(actions(text)) == ["a/b", full, "a/c@v1 # v1"]


def unbounded(text: str) -> list[str]:
    """Jobs of a workflow that may run for GitHub's six hours."""
    jobs = yaml.safe_load(text)["jobs"]
    return [name for name, job in jobs.items() if "timeout-minutes" not in job]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_is_bounded_in_time(path):
    assert unbounded(path.read_text("utf-8")) == []


def test_a_job_without_a_bound_is_found():
    assert unbounded(WORKFLOW.replace("timeout-minutes: 5", "if: true")) == ["job"]


# where Dependabot finds what an ecosystem's updates start from
MANIFESTS = {
    "uv": "uv.lock",
    "npm": "package-lock.json",
    "github-actions": ".github/workflows",
}


def not_updated(updates: list[dict], root: Path) -> list[str]:
    """Updates of folders that hold nothing to update, and locks without an update."""
    found = []
    places = {(one["package-ecosystem"], one["directory"].strip("/")) for one in updates}
    for ecosystem, folder in sorted(places):
        if not (root / folder / MANIFESTS[ecosystem]).exists():
            found.append(
                f"/{folder}: no {MANIFESTS[ecosystem]} there — remove {ecosystem}"
            )
    names = subprocess.run(
        ["git", "ls-files", "--", "**package-lock.json", "**uv.lock"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in names:
        ecosystem = "uv" if name.endswith("uv.lock") else "npm"
        folder = str(Path(name).parent).strip(".")
        if (ecosystem, folder) not in places and folder != "snippets/_specimens":
            found.append(f"/{folder}: nobody updates its lock — add {ecosystem}")
    return found


def updates() -> list[dict]:
    return yaml.safe_load((GITHUB / "dependabot.yml").read_text("utf-8"))["updates"]


def test_dependabot_updates_every_lock_and_nothing_else():
    assert not_updated(updates(), ROOT) == []


def test_a_folder_that_dependabot_cannot_find_is_told():
    wrong = {"package-ecosystem": "npm", "directory": "/nowhere"}
    others = [one for one in updates() if one["directory"] != "/snippets"]
    assert not_updated([*others, wrong], ROOT) == [
        "/nowhere: no package-lock.json there — remove npm",
        "/snippets: nobody updates its lock — add npm",
    ]
