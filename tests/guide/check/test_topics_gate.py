"""A topic's places and headings, and what it lacks until it is whole: planted faults."""

import json

import pytest

from lab.check import content, gates

from .shared import (
    CLEAN,
    NOTEBOOK,
    ORDER,
    PAGE,
    add,
    append,
    assert_found,
    each,
    ids,
    notebook,
    remove,
    replace,
    reported_by,
    several,
)

FAULTS = [
    ("skeleton", replace(PAGE, "## Ask next", "## Questions")),
    (
        "skeleton",
        replace(PAGE, "## Practise", "## Practise\n\n## Sources\n\n## Practise"),
    ),
    ("skeleton", append("\n# A second title\n")),
    ("topic", remove("notebooks/demo.ipynb")),
    ("topic", remove("tests/topics/demo/test_demo.py")),
    ("topic", add("notebooks/dmeo.ipynb", json.dumps(NOTEBOOK))),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


TASK = "snippets/demo/exercises/mend"
TEST = "tests/topics/demo/test_demo.py"
LACKS = [
    ("few-claims", replace(PAGE, "claim | Said 4", "admonition | Said 4")),
    ("few-figures", replace(PAGE, "figure | demo/plot-3", "figure | demo/plot-2")),
    ("few-pairs", replace(PAGE, '"demo/login.mjs"', '"demo/app.mjs"')),
    ("few-pairs", replace(PAGE, '"demo/login.naive.mjs"', '"demo/app.mjs"')),
    (
        "few-pairs",  # the twin is shown, but elsewhere
        several(
            replace(PAGE, '--8<-- "demo/login.mjs"\n', ""),
            append('\n```js\n--8<-- "demo/login.mjs"\n```\n'),
        ),
    ),
    ("few-follow-ups", replace(PAGE, "type: question", "type: note")),
    (
        "few-follow-ups",  # there are ten, one of them elsewhere
        several(
            replace(PAGE, "details | And 3?", "admonition | And 3?"),
            append("\n/// details | And?\n    type: question\nSo.\n///\n"),
        ),
    ),
    ("follow-up-id", replace(PAGE, "    attrs: {id: ask-3}\n", "")),
    ("follow-up-id", replace(PAGE, "{id: ask-3}", "{class: ask-3}")),
    ("no-diagram", replace(PAGE, "/// figure | way.svg", "/// note | way")),
    (
        "no-exercise",
        several(
            *(remove(f"{TASK}/{n}") for n in ("task.md", "start.mjs", "solution.mjs"))
        ),
    ),
    (
        "no-module",
        several(
            *(
                each(f"snippets/demo/{n}.mjs", "createApp", "make")
                for n in ("app", "login")
            )
        ),
    ),
    ("long-text", append("word " * 2200)),
    ("long-text", append("\n/// admonition | Open\n" + "word " * 2200 + "\n///\n")),
    ("long-text", append("i `<3` it " + "word " * 2200 + "and `x>3`")),
    ("thirty-seconds", each(PAGE, " More words.", "")),
    ("thirty-seconds", replace(PAGE, "Text of in thirty seconds.", "word " * 96)),
    ("untold", replace("docs/summary.md", "(chapters/demo.md)", "(index.md)")),
    ("untold", replace("docs/changelog.md", "(chapters/demo.md)", "(index.md)")),
    ("to-write", append("\nTODO the rest.\n")),
    ("to-write", append("// TODO better\n", ORDER)),
    ("to-write", append("TODO\n", f"{TASK}/task.md")),
    ("to-write", append("// TODO\n", f"{TASK}/start.mjs")),
    ("to-write", append("# TODO\n", TEST)),
    ("to-write", append("# TODO\n", "tests/exercises/demo/test_mend.py")),
    ("to-write", notebook(source="# TODO measure it")),
]


def lacks(files):
    return gates.topics.incomplete(content.Tree(files), "demo")


def test_the_clean_tree_is_a_whole_chapter():
    assert [str(problem) for problem in lacks(CLEAN)] == []


@pytest.mark.parametrize(("code", "plant"), LACKS, ids=ids(LACKS))
def test_what_a_chapter_lacks_is_found(code, plant):
    files = dict(CLEAN)
    plant(files)
    assert files != CLEAN
    assert [problem.code for problem in lacks(files)] == [code]
    for problem in lacks(files):
        assert problem.place and problem.what and problem.mend


def test_a_place_to_write_is_named_by_file_and_line():
    files = dict(CLEAN)
    append("// TODO better\n", ORDER)(files)
    assert [str(problem) for problem in lacks(files)] == [
        f"{ORDER}:5: still to be written: TODO better — write it"
    ]


LONG = "word " * 2200
COMPLETE = [
    # folded, recorded or shown: no open text
    append(f"\n/// details | Long?\n    type: question\n{LONG}\n///\n"),
    append(
        f"\n//// details | Long?\n/// admonition | In it\n{LONG}\n///\n{LONG}\n////\n"
    ),
    replace(PAGE, "More of it.", LONG),
    append(f"\n```python\n{LONG}\n```\n"),
    append(f"\n<svg><text>\n{LONG}\n</text></svg>\n<!-- {LONG} -->\n"),
    append("- / | * " * 2200),
    # another chapter's business, and other words
    add("snippets/other/x.mjs", "// TODO\n"),
    append("\nTodo lists, TODOS and to do.\n"),
    append("TODO\n", "snippets/demo/order.mjs.out"),
]


@pytest.mark.parametrize("plant", COMPLETE)
def test_a_chapter_may_be_whole_in_more_than_one_way(plant):
    files = dict(CLEAN)
    plant(files)
    assert [str(problem) for problem in lacks(files)] == []


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.topics) == {code for code, _ in FAULTS + LACKS}
