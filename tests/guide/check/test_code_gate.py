"""Snippets, outputs, exercises, shown lines that did not run: planted faults."""

import pytest

from lab.check import content, gates

from .shared import (
    CLEAN,
    MODULE,
    ORDER,
    PAGE,
    TAKE,
    add,
    assert_found,
    ids,
    remove,
    replace,
    reported_by,
)

FAULTS = [
    ("snippet-unshown", add("snippets/demo/lost.mjs", MODULE)),
    ("naive-alone", remove("snippets/demo/app.mjs")),
    ("output-missing", remove("snippets/demo/order.mjs.out")),
    ("output-orphan", add("snippets/demo/gone.mjs.out", "x\n")),
    ("output-orphan", add("snippets/demo/app.mjs.out", "x\n")),
    ("output-mode", replace(ORDER, "//", "// output: unordered\n//")),
    ("output-mode", replace(ORDER, "//", "// output: random — for no good reason\n//")),
    ("line-width", replace(ORDER, "'a'", f"'{'a' * 80}'")),
    ("section-length", replace(ORDER, "console.log('a');\n", "console.log('a');\n" * 45)),
    ("exercise", remove("snippets/demo/exercises/mend/solution.mjs")),
    ("exercise", add("snippets/demo/exercises/mend/symptoms.md", "# It fails\n")),
    ("exercise", remove("tests/exercises/demo/test_mend.py")),
    (
        "exercise",
        replace("tests/exercises/demo/test_mend.py", "@pytest.mark.fails", "# "),
    ),
    ("exercise", replace(PAGE, "E=demo/mend", "E=demo/mned")),
    ("module", replace(TAKE, "module | demo/login.mjs", "module | demo/logon.mjs")),
    ("module", replace(TAKE, "module | demo/login.mjs", "module | demo/login.naive.mjs")),
    ("module", replace(TAKE, "module | demo/login.mjs", "module | demo/app.mjs")),
    (
        "module",  # of another topic
        lambda files: files.update(
            {
                "snippets/other/x.mjs": MODULE,
                TAKE: files[TAKE].replace("| demo/login.mjs", "| other/x.mjs"),
            }
        ),
    ),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


RAN = {
    "demo/order.mjs": {2, 3},
    "demo/app.mjs": {1, 2, 3},
    "demo/app.naive.mjs": {1, 2, 3},
    "demo/login.mjs": {1, 2, 3},
    "demo/login.naive.mjs": {1, 2, 3},
}
EXCUSED = CLEAN[ORDER].replace(
    "console.log('b')", "// not run here: needs two machines\nconsole.log('b')"
)
RUN_FAULTS = [
    ("snippet-unrun", CLEAN[ORDER], {k: v for k, v in RAN.items() if "order" not in k}),
    ("line-unrun", CLEAN[ORDER], {**RAN, "demo/order.mjs": {2}}),
    ("excuse-stale", EXCUSED, {**RAN, "demo/order.mjs": {2, 4}}),
]


@pytest.mark.parametrize(("code", "text", "ran"), RUN_FAULTS)
def test_a_shown_line_that_no_test_ran_is_found(code, text, ran):
    tree = content.Tree({**CLEAN, ORDER: text})
    assert [problem.code for problem in gates.code.unexecuted(tree, ran)] == [code]


def test_lines_that_ran_or_are_excused_are_no_problem():
    assert gates.code.unexecuted(content.Tree(CLEAN), RAN) == []
    tree = content.Tree({**CLEAN, ORDER: EXCUSED})
    assert gates.code.unexecuted(tree, {**RAN, "demo/order.mjs": {2}}) == []


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.code) == {fault[0] for fault in FAULTS + RUN_FAULTS}
