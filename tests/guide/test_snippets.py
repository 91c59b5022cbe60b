"""Every program prints what is recorded; the linter finds what it should."""

import subprocess

import pytest

from lab import SNIPPETS, node

ESLINT = SNIPPETS / "node_modules" / "eslint" / "bin" / "eslint.js"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.topic(name.split("/")[0]))
        for name in node.programs()
    ],
)
def test_a_program_prints_what_is_recorded(name):
    node.compare(name)


def eslint(*args: str, text: str | None = None) -> str:
    done = subprocess.run(
        [node.binary(), ESLINT, "--max-warnings=0", *args],
        cwd=SNIPPETS, input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


LINTER_FAULTS = {
    "fixed port": (
        "x.mjs",
        "import s from 'node:net';\ns.listen(3000);\n",
        "a fixed port",
    ),
    "no prefix": ("x.mjs", "import 'fs';\n", "n/prefer-node-protocol"),
    "undeclared": ("x.cjs", "leaked = 1;\n", "no-undef"),
    "deprecated": ("x.cjs", "new Buffer(1);\n", "n/no-deprecated-api"),
    "old name": ("x.mjs", "import c from 'node:cluster';\nc.isMaster;\n", "isPrimary"),
    "insecure": ("x.mjs", "eval(process.argv[2]);\n", "security/detect-eval"),
    "stale excuse": (
        "x.mjs",
        "// eslint-disable-next-line no-undef\nlet y;\ny;\n",
        "unused",
    ),
}


@pytest.mark.parametrize("name", LINTER_FAULTS)
def test_the_linter_finds_a_planted_fault(name):
    file, text, message = LINTER_FAULTS[name]
    found = eslint("--stdin", f"--stdin-filename=event-loop/{file}", text=text)
    assert message.lower() in found.lower()


def test_a_naive_version_may_be_insecure_but_not_sloppy():
    args = ("--stdin", "--stdin-filename=event-loop/x.naive.mjs")
    assert "security/" not in eslint(*args, text="eval(process.argv[2]);\n")
    assert "no-undef" in eslint(*args, text="leaked = 1;\n")
