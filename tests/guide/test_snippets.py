"""Every program prints what is recorded; the linter finds what it should."""

import json
import subprocess

import pytest

from lab import ROOT, SNIPPETS
from lab.check import content
from lab.run import node, outputs

ESLINT = SNIPPETS / "node_modules" / "eslint" / "bin" / "eslint.js"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.topic(name.split("/")[0]))
        for name in outputs.programs()
    ],
)
def test_a_program_prints_what_is_recorded(name):
    outputs.compare(name)


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


# Every regular expression of a file, by the linter's own parser, judged by recheck.
JUDGE = """
process.env.RECHECK_BACKEND = 'pure';
const espree = await import('espree');
const { checkSync } = await import('recheck');
const { readFileSync } = await import('node:fs');
const judged = [];
for (const [name, path] of %s) {
  const source = readFileSync(path, 'utf8');
  const sourceType = name.endsWith('.cjs') ? 'commonjs' : 'module';
  const tree = espree.parse(source, { ecmaVersion: 'latest', sourceType, loc: true });
  JSON.stringify(tree, (key, node) => {
    const text = node?.callee?.name === 'RegExp' && node.arguments[0]?.value;
    const [pattern, flags] = node?.regex
      ? [node.regex.pattern, node.regex.flags]
      : [text, node?.arguments?.[1]?.value ?? ''];
    if (typeof pattern === 'string') {
      // what its automaton cannot read it attacks at random: with the same numbers always
      const { status } = checkSync(pattern, flags, { timeout: 20_000, randomSeed: 1 });
      judged.push([`${name}:${node.loc.start.line}`, `/${pattern}/${flags}`, status]);
    }
    return typeof node === 'bigint' ? String(node) : node;
  });
}
console.log(JSON.stringify(judged));
"""


@pytest.fixture
def judged(monkeypatch):
    """A function: (place, expression, verdict) of each regular expression in (name,
    path) pairs."""
    monkeypatch.delenv(node.COVERAGE, raising=False)  # takes five times as long with it

    def judge(files: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
        done = node.evaluate(JUDGE % json.dumps(files), timeout=250)
        return [tuple(one) for one in json.loads(done.stdout)]

    return judge


def test_a_regular_expression_that_can_explode_is_in_a_naive_version(judged):
    paths = content.read().under("snippets/", (".mjs", ".cjs"))
    found = judged([(path.removeprefix("snippets/"), str(ROOT / path)) for path in paths])
    assert len(found) > 10
    bad = [
        f"snippets/{place}: {expression} is {verdict} — rewrite it so that a text can be "
        "read in one way only, or show it as the naive version"
        for place, expression, verdict in found
        if verdict != "safe" and ".naive." not in place
    ]
    assert not bad, "\n".join(bad)
    # what the chapters show exploding does explode
    assert any(verdict == "vulnerable" for _, _, verdict in found)


def test_the_judge_of_regular_expressions_finds_a_planted_fault(judged, tmp_path):
    path = tmp_path / "x.mjs"
    path.write_text(
        "export const A = /^(a|a)*$/;\nexport const B = new RegExp('(b+)+$');\n"
    )
    assert [one[::2] for one in judged([("x.mjs", str(path))])] == [
        ("x.mjs:1", "vulnerable"),
        ("x.mjs:2", "vulnerable"),
    ]
