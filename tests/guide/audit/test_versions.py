"""Other versions: Express 4 really stands in, a failure is cleaned and judged, and the
page says what the data says. The matrix itself is run by `make versions`."""

import contextlib
import json
import re
import tempfile
from pathlib import Path

import pytest
from markdown import markdown

from lab import SNIPPETS
from lab.audit import repeat, versions
from lab.audit.repeat import Case
from lab.check import content
from lab.publish import elements
from lab.run import locks, node, suite

COLUMN = versions.Column("express-4", express4=True)


# --- Express 4 in the place of Express --------------------------------------------

MODULE = """
import express, { Router } from 'express';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
const require = createRequire(import.meta.url);
const { version } = require('express/package.json');
const worker = new Worker(
  `require('node:worker_threads').parentPort
    .postMessage(require('express/package.json').version)`, { eval: true });
worker.on('message', (there) => console.log(
  version, there, express().get('query parser'), Router === express.Router,
  require('express') === express, require('zod') === (require('zod'))));
"""
COMMON = """
const express = require('express');
import('express').then((module) => console.log(
  require('express/package.json').version, express().get('query parser'),
  module.default === express));
"""


@pytest.fixture
def express4(monkeypatch):
    for name, value in versions.environment(COLUMN).items():
        monkeypatch.setenv(name, value)
    return locks.versions()["express4"]


@pytest.fixture
def probe():
    """Writes a file where it finds the packages, and removes it."""
    with contextlib.ExitStack() as stack:

        def write(text: str, suffix: str) -> Path:
            packages = SNIPPETS / "node_modules"
            file = stack.enter_context(
                tempfile.NamedTemporaryFile("w", suffix=suffix, dir=packages)
            )
            file.write(text)
            file.flush()
            return Path(file.name)

        yield write


def test_express_4_stands_in_for_modules_and_their_workers(express4, probe):
    seen = node.run(probe(MODULE, ".mjs")).stdout
    assert seen == f"{express4} {express4} extended true true true\n"
    assert express4.startswith("4.")


def test_express_4_stands_in_for_commonjs(express4, probe):
    seen = node.run(probe(COMMON, ".cjs")).stdout
    assert seen == f"{express4} extended true\n"


def test_without_the_hook_it_is_the_locked_express(probe):
    seen = node.run(probe(COMMON, ".cjs")).stdout
    assert seen == f"{locks.versions()['express']} simple true\n"


def test_the_hook_leaves_the_order_of_ticks_alone(express4, probe):
    """An --import would not: modules are loaded before the program then."""
    text = "Promise.resolve().then(() => console.log('promise'));"
    text += "process.nextTick(() => console.log('tick'));"
    assert node.run(probe(text, ".cjs")).stdout == "tick\npromise\n"


NOTED = """
import express from 'express';
const app = express();
app.get('/sync', () => { throw new Error('private'); });
app.get('/json', (req, res) => res.json({ a: 1 }));
app.post('/body', express.json(), (req, res) => res.json(req.body));
app.get('/async', async () => { throw new Error('nobody catches'); });
const server = app.listen(0, '127.0.0.1', async () => {
  const say = (path, options) =>
    fetch(`http://127.0.0.1:${server.address().port}${path}`, options);
  console.log((await (await say('/sync')).text()).includes(import.meta.filename));
  console.log((await say('/json')).headers.get('etag').startsWith('W/'));
  console.log(await (await say('/body', { method: 'POST' })).text());
  await say('/async');
});
"""


def test_what_the_notes_say_of_express_4_is_so(express4, probe):
    path = probe(NOTED, ".mjs")
    for environment, stack in (("", "true"), ("production", "false")):
        done = node.run(path, env={"NODE_ENV": environment}, code=1)
        assert done.stdout.splitlines() == [stack, "true", "{}"]
        assert "Error: nobody catches" in done.stderr  # and ends the process


# --- what a failure said ----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "clean"),
    [
        ("AssertionError: assert 200 == 500\n +  where 200 = f()", "assert 200 == 500"),
        ("assert [1]\n  \n  At index 0 diff: 1", "assert [1]"),
        (
            "lab.run.node.NodeError: x.mjs: ended\nbadly, an error",
            "x.mjs: ended badly, an error",
        ),
        ("Error at http://127.0.0.1:40123/x", "Error at http://127.0.0.1/x"),
        ("error (node:17214) Warning", "error (node) Warning"),
        (f"error in {SNIPPETS}/a.mjs:3", "error in …/snippets/a.mjs:3"),
        ("error in '/home/ann/x y'", "error in '… y'"),
        ("error file:///tmp/a/b.mjs, gone", "error …, gone"),
        ("error after 12.3 s and 40 ms", "error after … s and … ms"),
        ("error at 2026-01-02T03:04:05.678Z", "error at …"),
        ("\x1b[31merror\x1b[0m <A object at 0x7f6c4eb913d0>", "error <A object at 0x…>"),
        ("A tool 1.2\n---\n\nLoaded\n\n 1 error, gone\n", "1 error, gone"),
        ("nothing special", "nothing special"),
        ("error " + "x" * 500, "error " + "x" * (versions.REASON - 7) + "…"),
        ("build/tmp/test-x1_y/pytest/main.mjs: ended with 1", "…: ended with 1"),
    ],
)
def test_a_reason_is_one_line_and_the_same_everywhere(said, clean):
    assert versions.reason(said) == clean


def test_a_message_that_pytest_cut_off_is_read_below(tmp_path):
    (tmp_path / "x.xml").write_text(
        '<r><testcase file="t.py" name="t"><failure message="A tool&#10;&#10;2&#10;[+9 more lines; full '
        'report in element text]">E   1 error</failure></testcase></r>'
    )
    (case,) = repeat._cases(tmp_path / "x.xml").values()
    assert case.outcome == "failed" and versions.reason(case.said) == "1 error"


# --- what a claim does in a column ------------------------------------------------

GOOD, BAD, SKIPPED = Case("passed"), Case("failed", "assert 1"), Case("skipped", "no x")
TESTS = [("t.py", 1, "test_a"), ("t.py", 2, "test_b")]


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([{"t.py::test_a": GOOD, "t.py::test_b[x]": GOOD}], ("holds", "", "")),
        (
            [
                {"t.py::test_a": GOOD, "t.py::test_b[x]": BAD},
                *[{"t.py::test_b[x]": BAD}] * 2,
            ],
            ("fails", "t.py::test_b[x]", "assert 1"),
        ),
        (
            [{"t.py::test_a": BAD, "t.py::test_b": GOOD}, {"t.py::test_a": GOOD}],
            ("unsteady", "t.py::test_a", "assert 1"),
        ),
        (  # the second fails for good, which weighs more
            [
                {"t.py::test_a": BAD, "t.py::test_b": BAD},
                {"t.py::test_a": GOOD, "t.py::test_b": BAD},
            ],
            ("fails", "t.py::test_b", "assert 1"),
        ),
        ([{"t.py::test_a": SKIPPED}], ("not run", "t.py::test_a", "no x")),
        ([{"t.py::test_a": SKIPPED, "t.py::test_b": GOOD}], ("holds", "", "")),
        ([{"t.py::test_ab": BAD}], ("not run", "", "its proof is timed")),
    ],
)
def test_a_claim_fails_only_if_a_test_fails_in_every_run(runs, found):
    assert versions.answer(TESTS, runs) == found


def test_a_claim_without_a_test_is_not_run():
    why = "its proof is a measurement of this machine"
    assert versions.answer([], [{"t.py::test_a": GOOD}]) == ("not run", "", why)


def test_what_is_unsteady_with_the_locked_versions_is_no_difference():
    hold, fail = ("holds", "", ""), ("fails", "t", "x")
    shaky, none = ("unsteady", "t", "y"), ("not run", "", "z")
    out = versions.table(
        {
            "locked": {"d/a": hold, "d/b": shaky, "d/c": none},
            "node-22": {"d/a": fail, "d/b": fail, "d/c": fail},
        }
    )
    assert out["claims"] == {
        "d/a": {"locked": "holds", "node-22": "fails"},
        "d/b": {"locked": "unsteady", "node-22": "unsteady"},
    }
    assert out["reasons"]["d/a"] == {"node-22": {"test": "t", "said": "x"}}
    assert out["not run"] == {"d/c": "z"}


FLAKY = """
import pytest
from pathlib import Path

COUNT = Path(__file__).with_name("count")


@pytest.mark.claim("d/a")
def test_steady(): ...


@pytest.mark.claim("d/b")
@pytest.mark.parametrize("n", [1, 2])
def test_at_first(n):
    COUNT.write_text(COUNT.read_text() + "x" if COUNT.exists() else "x")
    assert n == 1 or len(COUNT.read_text()) > 2


@pytest.mark.claim("d/c")
def test_never():
    assert 1 == 2


@pytest.mark.claim("d/d")
@pytest.mark.timing
def test_timed(): ...


def test_no_proof():
    assert False
"""


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A folder with tests of its own, and a place for the logs."""
    marks = "".join(f"  {name}:\n" for name in ("claim(key)", "timing", "site", "binder"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers =\n{marks}")
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    monkeypatch.setattr(versions, "FOLDER", tmp_path / "logs")
    monkeypatch.setattr(suite, "WORKERS", "-q")  # no worker: the tests have one counter
    # the plug-ins take seconds to import, and none is wanted here
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return tmp_path


def test_what_fails_is_run_again_alone(target):
    (target / "test_flaky.py").write_text(FLAKY)
    names = {"d/a": "steady", "d/b": "at_first", "d/c": "never", "d/d": "timed"}
    proved = {key: [("test_flaky.py", 0, f"test_{name}")] for key, name in names.items()}
    runs = versions._column("locked", proved, {})
    assert [len(run) for run in runs] == [4, 2, 1]
    found = {key: versions.answer(tests, runs)[0] for key, tests in proved.items()}
    assert found == {"d/a": "holds", "d/b": "unsteady", "d/c": "fails", "d/d": "not run"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nothing_of_that_name", "the run itself, with exit code 2"),
        ("", "no test was run"),
    ],
)
def test_a_run_that_breaks_down_is_no_answer(target, text, told):
    (target / "test_broken.py").write_text(f"{text}\n")
    with pytest.raises(versions.VersionsError, match=f"^node-22-1: {told}"):
        versions._column("node-22", {"d/a": [("test_broken.py", 1, "test_a")]}, {})


# --- data and page ----------------------------------------------------------------

TREE = content.read()
DATA = TREE.matrix


def test_the_data_is_whole():
    assert list(DATA["columns"]) == [column.name for column in versions.COLUMNS]
    for key, answers in DATA["claims"].items():
        assert list(answers) == list(DATA["columns"])
        assert set(answers.values()) <= set(content.ANSWERS[:3])
        assert answers[content.LOCKED] != "fails"
        reasons = {column for column, is_ in answers.items() if is_ != "holds"}
        assert set(DATA["reasons"].get(key, {})) == reasons
    assert not DATA["claims"].keys() & DATA["not run"].keys()
    for column in versions.COLUMNS:
        used = DATA["columns"][column.name]
        assert used["node"].split(".")[0] == (column.node or "24")
        assert used["express"].split(".")[0] == ("4" if column.express4 else "5")


def test_the_data_names_nothing_of_a_machine():
    said = json.dumps(DATA["reasons"])
    assert not re.search(r"/(?:tmp|home|root|usr)/|127\.0\.0\.\d+:\d|0x[0-9a-f]{6}", said)


@pytest.fixture(scope="module")
def rendered():
    """Markdown of the guide as HTML."""
    elements.tree.cache_clear()  # it is read once, and may be of another test
    yield lambda text: markdown(text, extensions=["lab.publish.blocks"])
    elements.tree.cache_clear()


def test_the_page_shows_what_the_data_says(rendered):
    html = rendered("/// versions\n///\n")
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    notes = {note.key: note for note in TREE.pages["docs/versions.md"].differences}
    shown = {
        key: re.findall(r"<td>(.*?)</td>", row)
        for row in rows
        for key in notes
        if f'href="#{key.replace("/", "--")}"' in row
    }
    means = {"answer": "answer differs", "proof": "proof cannot run"}
    assert shown == {
        key: [
            means[notes[key].columns[column]] if is_ == "fails" else is_
            for column, is_ in answers.items()
            if column != content.LOCKED
        ]
        for key, answers in DATA["claims"].items()
        if "fails" in answers.values()
    }
    for row, name in (("Node", "node"), ("Express", "express"), ("seconds", "seconds")):
        cells = [str(used[name]) for used in DATA["columns"].values()]
        assert (
            f'<th scope="row">{row}</th>\n'
            + "\n".join(f"<td>{cell}</td>" for cell in cells)
            in html
        )
    hold = sum(set(answers.values()) == {"holds"} for answers in DATA["claims"].values())
    assert f"Of {len(DATA['claims'])} claims" in html and f" {hold} hold in every" in html
    assert f"<time>{DATA['date']}</time>" in html


def test_a_note_shows_what_the_run_said(rendered):
    for note in TREE.pages["docs/versions.md"].differences:
        html = rendered(f"/// differs | {note.key}\n    answer: x\n\n{note.body}\n///\n")
        for column, why in DATA["reasons"][note.key].items():
            used = DATA["columns"][column]
            assert f"Node {used['node']}, Express {used['express']}: " in html
            said = why["said"].replace("&", "&amp;").replace("<", "&lt;")
            assert f"<code>{said.replace('>', '&gt;')}</code>" in html
