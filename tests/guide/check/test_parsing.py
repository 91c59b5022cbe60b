"""What the parsers cannot read: planted faults."""

import pytest

from lab.check import pages, snippets

from .shared import (
    BANK,
    ORDER,
    PAGE,
    TRIAL,
    append,
    assert_found,
    ids,
    replace,
    reported_by,
)

FAULTS = [
    ("front-matter", replace(PAGE, "title: Demo", "title: [Demo")),
    ("front-matter", replace(BANK, "way.\n---\n", "way.\n")),
    ("section-unclosed", replace("snippets/demo/rules.yml", "# --8<-- [end:rule]\n", "")),
    ("section-unclosed", replace(ORDER, "// --8<-- [end:order]\n", "")),
    ("section-unopened", replace(ORDER, "// --8<-- [start:order]\n", "")),
    ("section-doubled", lambda f: f.update({ORDER: f[ORDER] * 2})),
    ("marker", replace(ORDER, "[end:order]", "[ende:order]")),
    ("fence-unclosed", append("\n```python\nx = 1\n")),
    ("block-unclosed", replace(TRIAL, "More of it.\n///", "More of it.\n")),
    ("block-unclosed", replace(BANK, "- then: ask-2\n\n///", "- then: ask-2\n")),
    ("block-unclosed", replace(TRIAL, "The caption.\n///", "The caption.\n")),
    ("block-unclosed", append("\n/// details | Never closed\nText.\n")),
    ("block-unclosed", append("\n//// details | A\n/// figure | way.svg\nText.\n////\n")),
    (
        "block-unclosed",
        append("\n/// figure | way.svg\nA.\n\n/// details | B\nText.\n///\n"),
    ),
    ("image-alt", append("\n![](../../evidence/demo/lag-plot.svg)\n")),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(pages, snippets) == {code for code, _ in FAULTS}
