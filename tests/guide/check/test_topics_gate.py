"""A topic's places and headings, and what it lacks until it is whole: planted faults."""

import json

import pytest

from lab.check import content, gates

from .shared import (
    BANK,
    CLEAN,
    NOTEBOOK,
    ORDER,
    PAGE,
    TAKE,
    TRIAL,
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
    ("skeleton", replace(PAGE, "## Wrong answers", "## Wrong")),
    ("skeleton", replace(PAGE, "## Next", "## Next\n\n## Sources\n")),
    (
        "skeleton",
        several(
            replace(PAGE, "## When not", "## When"),
            replace(PAGE, "## In production", "## When not"),
            replace(PAGE, "## When\n", "## In production\n"),
        ),
    ),
    ("skeleton", append("\n# A second title\n")),
    ("skeleton", replace(TRIAL, "# Demo: claims", "Demo")),
    ("topic", remove("notebooks/demo.ipynb")),
    ("topic", remove("tests/topics/demo/test_demo.py")),
    ("topic", add("notebooks/dmeo.ipynb", json.dumps(NOTEBOOK))),
    ("topic", remove(TAKE)),
    ("topic", remove(PAGE)),
    ("topic", add("docs/topics/demo/more.md", CLEAN[TAKE])),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


TASK = "snippets/demo/exercises/mend"
TEST = "tests/topics/demo/test_demo.py"
LACKS = [
    ("few-claims", replace(TRIAL, "claim | Said 4", "admonition | Said 4")),
    (
        "few-right",  # two of twelve
        lambda files: files.update(
            {TRIAL: files[TRIAL].replace("verdict: right", "verdict: depends", 9)}
        ),
    ),
    ("few-figures", replace(TRIAL, "figure | demo/plot-3", "figure | demo/plot-2")),
    ("few-pairs", replace(TAKE, '"demo/login.mjs"', '"demo/app.mjs"')),
    ("few-pairs", replace(TAKE, '"demo/login.naive.mjs"', '"demo/app.mjs"')),
    (
        "no-story",  # the pair is shown, but its other half elsewhere
        several(
            replace(PAGE, '--8<-- "demo/app.mjs"\n', ""),
            append('\n```js\n--8<-- "demo/app.mjs"\n```\n', TAKE),
        ),
    ),
    *(
        ("finding-begins", replace(TRIAL, "The finding.", finding))
        for finding in (
            "finds it.",
            "In Node it is so.",
            "This is so.",
            "{measured demo/lag} were seen.",
            "12 were seen.",
            "Two, and one.",
            "A hundred of them.",
            "*Most* of it is so.",
            "“None came.”",
        )
    ),
    ("few-questions", replace(BANK, "question | And 3?", "details | And 3?")),
    (
        "few-questions",  # of one level
        lambda files: files.update(
            {BANK: files[BANK].replace("level: staff", "level: core", 5)}
        ),
    ),
    (
        "question-lacks",
        replace(BANK, " An answer *of* ten words that one says aloud." * 2, ""),
    ),
    ("question-lacks", replace(BANK, "An answer", "word " * 60)),
    (
        "question-lacks",
        replace(BANK, "- listen for: The second", "- red flag: The second"),
    ),
    (
        "question-lacks",
        replace(BANK, "- then: ask-2", "- listen for: More. [proof: demo/said-2]\n" * 4),
    ),
    ("question-lacks", replace(BANK, "- red flag: The", "- then: The")),
    ("question-lacks", replace(BANK, "goes on. [proof: demo/said-2]", "goes on.")),
    ("no-diagram", replace(PAGE, "/// figure | way.svg", "/// note | way")),
    (
        "no-exercise",
        several(
            *(remove(f"{TASK}/{n}") for n in ("task.md", "start.mjs", "solution.mjs"))
        ),
    ),
    (
        "no-types",
        each("snippets/demo/login.mjs", "function createApp()", "function createApp(d)"),
    ),
    (
        "no-types",  # the comment belongs to something else
        each(
            "snippets/demo/login.mjs",
            "export function createApp()",
            "/** @param {{}} x */\nlet y;\nexport function createApp(d)",
        ),
    ),
    ("no-module", replace(TAKE, "/// module | demo/login.mjs", "/// note | x")),
    (
        "no-factory",
        several(
            *(
                each(f"snippets/demo/{n}.mjs", "createApp", "make")
                for n in ("app", "login")
            )
        ),
    ),
    ("long-text", append("word " * 1800)),
    ("long-text", append("\n/// admonition | Open\n" + "word " * 1800 + "\n///\n")),
    ("long-text", append("i `<3` it " + "word " * 1800 + "and `x>3`")),
    ("long-code", append('\n```js\n--8<-- "demo/app.mjs"\n```\n' * 25)),
    ("thirty-seconds", each(PAGE, " More words.", "")),
    ("thirty-seconds", replace(PAGE, "Text of in thirty seconds.", "word " * 96)),
    ("untold", replace("docs/summary.md", "(topics/demo/index.md)", "(index.md)")),
    ("untold", replace("docs/changelog.md", "(topics/demo/index.md)", "(index.md)")),
    ("to-write", append("\nTODO the rest.\n")),
    ("to-write", append("\nTODO the rest.\n", BANK)),
    ("to-write", append("// TODO better\n", ORDER)),
    ("to-write", append("TODO\n", f"{TASK}/task.md")),
    ("to-write", append("// TODO\n", f"{TASK}/start.mjs")),
    ("to-write", append("# TODO\n", TEST)),
    ("to-write", append("# TODO\n", "tests/exercises/demo/test_mend.py")),
    ("to-write", notebook(source="# TODO measure it")),
]


def lacks(files):
    return gates.topics.incomplete(content.Tree(files), "demo")


def test_the_clean_tree_is_a_whole_topic():
    assert [str(problem) for problem in lacks(CLEAN)] == []


@pytest.mark.parametrize(("code", "plant"), LACKS, ids=ids(LACKS))
def test_what_a_topic_lacks_is_found(code, plant):
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
    replace(TRIAL, "More of it.", LONG),
    append(LONG, BANK),
    append(f"\n```python\n{LONG}\n```\n"),
    append(f"\n<svg><text>\n{LONG}\n</text></svg>\n<!-- {LONG} -->\n"),
    append("- / | * " * 2200),
    # another topic's business, and other words
    add("snippets/other/x.mjs", "// TODO\n"),
    each(
        "snippets/demo/login.mjs",
        "export function createApp()",
        "/** Serves.\n * @param {{ a: 1 }} d */\nexport async function createApp(d)",
    ),
    append("\nTodo lists, TODOS and to do.\n"),
    append("TODO\n", "snippets/demo/order.mjs.out"),
]


@pytest.mark.parametrize("plant", COMPLETE)
def test_a_topic_may_be_whole_in_more_than_one_way(plant):
    files = dict(CLEAN)
    plant(files)
    assert [str(problem) for problem in lacks(files)] == []


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.topics) == {code for code, _ in FAULTS + LACKS}
