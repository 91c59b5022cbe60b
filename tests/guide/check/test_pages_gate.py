"""Embeds, fences, names, links, front matter: planted faults."""

import pytest

from lab.check import gates

from .shared import (
    BANK,
    CLEAN,
    PAGE,
    TAKE,
    add,
    append,
    assert_found,
    ids,
    remove,
    replace,
    reported_by,
)

FAULTS = [
    ("embed-file", replace(TAKE, "demo/order.mjs:order", "demo/ordre.mjs:order")),
    ("embed-section", replace(TAKE, "order.mjs:order", "order.mjs:odrer")),
    ("embed-file", replace(TAKE, "rules.yml:rule", "rule.yml:rule")),
    ("embed-section", replace(TAKE, "rules.yml:rule", "rules.yml:rul")),
    ("embed-range", replace(TAKE, "order.mjs:order", "order.mjs:1:2")),
    ("hl-lines", replace(TAKE, 'hl_lines="2"', 'hl_lines="1 3-4"')),
    ("fence-typed", append("\n```js\nlet x = 1;\n```\n")),
    ("fence-typed", append("\n```\nplain output\n```\n")),
    ("fence-typed", append("\n~~~ {.javascript }\nlet x;\n~~~\n")),
    (
        "fence-typed",
        replace(TAKE, "$ node demo/order.mjs\n", "$ node demo/order.mjs\na\n"),
    ),
    ("command", replace(TAKE, "$ node demo/order.mjs", "$ node demo/other.mjs")),
    ("command", replace(TAKE, "$ node demo/order.mjs", "$ node demo/app.mjs")),
    ("name", replace(TAKE, "#!js createApp()", "#!js createServer()")),
    ("front-matter", replace(PAGE, "title: Demo\n", "")),
    ("front-matter", replace(PAGE, "is clean in every way.", "is" + " long" * 40)),
    ("front-matter", replace(PAGE, "state: whole", "state: half")),
    ("front-matter", replace(PAGE, "state: whole\n", "")),
    ("front-matter", replace(BANK, "---\n\n", "state: draft\n---\n\n")),
    ("link", append("\n[gone](gone.md)\n")),
    ("link", append("\n[it is\ngone](gone.md)\n")),
    ("link", append("\n[absolute](/topics/demo/)\n")),
    ("link", append("\n[ref][r]\n\n[r]: gone.md\n")),
    ("anchor", append("\n[gone](../../index.md#bottom)\n")),
    ("anchor", append("\n[gone](#in-sixty-seconds)\n")),
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
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.pages) == {code for code, _ in FAULTS}
