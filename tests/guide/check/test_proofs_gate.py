"""Integrity of proofs: planted faults and clean controls."""

import pytest

from lab.check import content, gates

from .shared import CLEAN, add, assert_found, codes, ids, replace, reported_by

FILE = "tests/topics/demo/test_demo.py"
ASSERTS = 'assert node.lines("demo/order.mjs") == ["a", "b"]'
MARK = CLEAN[FILE].split("\n")[5]
FIRST = f"{MARK}\ndef test_ticks():\n    {ASSERTS}\n"
DEEPER = ASSERTS.replace("assert", "    assert")


def body(*lines):
    """The first proof, with this inside."""
    return replace(
        FILE, FIRST, f"{MARK}\ndef test_ticks():\n    " + "\n    ".join(lines) + "\n"
    )


def marked(mark):
    return replace(FILE, MARK, f"{MARK}\n{mark}")


def below(text):
    return lambda files: files.update({FILE: files[FILE] + f"\n\n{text}\n"})


def moved(path):
    def plant(files):
        files[path] = files.pop(FILE)

    return plant


NOTHING = [
    body("assert True"),
    body("assert 1 == 1"),
    body("assert not False, 'always'"),
    body("assert 'demo'.upper() == 'DEMO'"),
    body("expected = ['a', 'b']", "assert expected == ['a', 'b']"),
    body("lines = node.lines('demo/order.mjs')"),
    body("lines = node.lines('demo/order.mjs')", "lines == ['a', 'b']"),
    body("lines = node.lines('demo/order.mjs')", "assert lines == lines"),
    body("lines = node.lines('demo/order.mjs')", "assert len(lines) >= 0"),
    body("lines = node.lines('demo/order.mjs')", "assert lines or True"),
    body("lines = node.lines('demo/order.mjs')", "assert (lines == ['a'], 'why')"),
    body("lines = node.lines('demo/order.mjs')", "assert bool(lines) in (True, False)"),
    body("lines = node.lines('demo/order.mjs')", "assert isinstance(lines, object)"),
    body("lines = node.lines('demo/order.mjs')", "assert [lines == ['a']]"),
    body("if False:", DEEPER),
    body("if 0 and node:", DEEPER),
    body("while False:", DEEPER),
    body("for _ in []:", DEEPER),
    body("for _ in range(0):", DEEPER),
    body("return", ASSERTS),
    body("if True:", "    return", ASSERTS),
    body("pytest.skip('later')", ASSERTS),
    body("try:", DEEPER, "except AssertionError:", "    pass"),
    body("try:", DEEPER, "except Exception as error:", "    print(error)"),
    body("try:", DEEPER, "except:", "    pass"),
    body("with contextlib.suppress(AssertionError):", DEEPER),
    body("with pytest.raises(AssertionError):", DEEPER),
    body("with pytest.raises(Exception):", "    node.lines('demo/order.mjs')"),
    body("def check():", DEEPER),
    body("evidence.hold('demo/lag', node.lines('demo/order.mjs'), 'ms', 'a lag')"),
    body("..."),
    body("helper()"),
]
FAULTS = [
    *(("proof", plant) for plant in NOTHING),
    ("proof", replace(FILE, "def test_ticks", "def ticks")),
    ("proof", replace(FILE, "def test_ticks", "async def test_ticks")),
    ("proof", moved("tests/topics/demo/demo.py")),
    ("proof", moved("tests/topics/other/test_demo.py")),
    ("proof", below("def test_ticks():\n    pass")),
    ("proof", below("test_ticks = None")),
    ("proof", below("del test_ticks")),
    ("proof", below("test_ticks.__test__ = False\n__test__ = False")),
    ("proof", below("pytestmark = pytest.mark.skip")),
    ("proof", below("pytest.skip('all', allow_module_level=True)")),
    ("proof", marked("@pytest.mark.xfail")),
    ("proof", marked("@pytest.mark.xfail(strict=False, reason='flaky')")),
    ("proof", marked("@pytest.mark.skip(reason='later')")),
    ("proof", marked("@pytest.mark.skipif(True, reason='later')")),
    ("proof", marked('@pytest.mark.parametrize("n", [])')),
    ("proof", marked("@pytest.mark.binder")),
    ("proof", marked("@later\n")),
    ("proof", replace(FILE, FIRST, "if node:\n    " + FIRST.replace("\n", "\n    "))),
]
FAULTS[-2] = (
    "proof",
    lambda files: [
        marked("@later")(files),
        replace(FILE, "import pytest\n", "import pytest\nlater = pytest.mark.xfail\n")(
            files
        ),
    ],
)
HELPER = "def helper(lines):\n    assert lines == ['a', 'b']"
CONTROLS = [
    body("lines = node.lines('demo/order.mjs')", "assert lines[0] == 'a'"),
    body("found = {}", "for line in node.lines('demo/order.mjs'):", "    found[line] = line",
         "assert found == {'a': 'a'} if node.SNIPPETS else not found"),
    body("seen = []", "for line in node.lines('demo/order.mjs'):", "    seen.append(line)",
         "assert len(seen) == 2"),
    body("with node.serve('demo/app.mjs') as server, server.client() as client:",
         "    assert client.get('/').status_code == 200"),
    body("with pytest.raises(node.NodeError):", "    node.run('demo/order.mjs')"),
    body("with pytest.raises(Exception, match='out of order'):", "    node.run('demo/order.mjs')"),
    body("try:", "    answer = node.lines('demo/order.mjs')", "except node.NodeError:",
         "    answer = []", "assert answer"),
    body("def check(lines):", "    assert lines", "check(node.lines('demo/order.mjs'))"),
    body("evidence.hold('demo/lag', node.lines('a'), 'ms', 'a lag', above=3)"),
    body("node.evaluate('process.exit(3)', code=3)"),
    lambda files: [
        body("helper(node.lines('demo/order.mjs'))")(files), below(HELPER)(files)
    ],
    lambda files: [
        body("helper(node.lines('demo/order.mjs'))")(files),
        replace(FILE, "import pytest\n", "import pytest\nfrom .shared import helper\n")(files),
        add("tests/topics/demo/shared.py", HELPER)(files),
    ],
    lambda files: [
        body("helper()")(files),
        below("def helper():\n    lines = node.lines('a')\n    assert lines == ['a']")(files),
    ],
    marked("@pytest.mark.timing"),
    marked("@pytest.mark.skipif(not hasattr(node, 'x'), reason='Linux only')"),
    marked('@pytest.mark.parametrize("n", [1, 2])'),
    replace(FILE, "    " + ASSERTS, "    # why\n    " + ASSERTS),
]  # fmt: skip


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


@pytest.mark.parametrize("plant", CONTROLS)
def test_what_can_fail_is_not_reported(plant):
    files = dict(CLEAN)
    plant(files)
    assert "proof" not in codes(files)


def test_a_test_that_only_a_question_names_is_looked_at_too():
    files = dict(CLEAN)
    below("def test_asked():\n    assert True")(files)
    assert "proof" not in codes(files)
    bank = "docs/topics/demo/questions.md"
    files[bank] = files[bank].replace("demo/test:test_ticks", "demo/test:test_asked")
    (found,) = {str(p) for p in gates.check(content.Tree(files)) if p.code == "proof"}
    assert "test_asked asserts nothing" in found


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.proofs) == {code for code, _ in FAULTS}
