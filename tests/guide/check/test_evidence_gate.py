"""Measured values, figures and their records: planted faults."""

import json

import pytest

from lab.check import gates

from .shared import (
    CLEAN,
    EVIDENCE,
    SVG,
    TAKE,
    TRIAL,
    VALUE,
    add,
    append,
    assert_found,
    codes,
    entry,
    ids,
    measures,
    notebook,
    remove,
    replace,
    reported_by,
)


def plotted(**changes):
    entries = {**EVIDENCE, "lag-plot": {**EVIDENCE["lag-plot"], **changes}}
    return add("docs/evidence/demo.json", json.dumps(entries))


FAULTS = [
    ("measured", replace(TRIAL, "{measured demo/lag}", "{measured demo/lga}")),
    ("figure", replace(TRIAL, "figure | demo/lag-plot", "figure | demo/plot")),
    ("figure", remove("docs/evidence/demo/lag-plot.svg")),
    ("figure", add("docs/evidence/demo/lag-plot.svg", "<svg/>")),
    ("figure", append("\n/// figure | loop.svg\n///\n")),
    ("version", replace(TAKE, "{version express}", "{version expres}")),
    ("evidence", add("docs/evidence/demo.json", "{")),
    ("evidence", entry(value=0.5)),
    ("evidence", entry(value=6.0)),
    ("evidence", entry(spread=[3])),
    ("evidence", entry(date="2222-02-02")),
    ("evidence-stale", entry(versions={"express": "4.21.0"})),
    ("evidence-seal", entry(value=4.5)),
    ("evidence-seal", entry(unit="s")),
    ("evidence-seal", entry(above=None)),
    ("evidence-seal", entry(seal="")),
    ("evidence-seal", entry(n=30)),
    ("evidence-seal", plotted(alt="Another plot.")),
    ("evidence-seal", plotted(data={"x": [1]})),
    ("evidence-seal", plotted(figure="demo/plot-2.svg")),
    (
        "evidence-seal",
        add("docs/evidence/demo/lag-plot.svg", '<svg aria-label="A plot."><path/></svg>'),
    ),
    ("evidence-alt", add("docs/evidence/demo/plot-2.svg", '<svg aria-label="Other"/>')),
    (
        "evidence-alt",
        add(
            "docs/evidence/demo/plot-2.svg",
            '<svg aria-label="A plot."><title>Other</title></svg>',
        ),
    ),
    ("evidence-source", entry(source="notebooks/other.ipynb")),
    ("evidence-source", measures('"demo/lag"', '"demo/leg"')),
    ("evidence-code", measures("above=1", "above=0")),
    ("evidence-code", measures("[3, 4, 5]", "[4, 4, 5]")),
    ("evidence-orphan", add("docs/evidence/demo/old.svg", SVG)),
    (
        "evidence-unused",
        add("docs/evidence/demo.json", json.dumps({**EVIDENCE, "old": VALUE})),
    ),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.evidence) == {code for code, _ in FAULTS}


@pytest.mark.parametrize(
    "plant",
    [
        measures("source=SOURCE, above=1", "source=SOURCE,  # why\n    above=1"),
        measures("for name", "# a comment\n\nfor name"),
        notebook(source="print(2)"),
        notebook(source='show("demo/order.mjs")'),
        notebook(source="%%node\nconsole.log(1)"),
    ],
)
def test_a_comment_layout_and_what_only_shows_cost_nothing(plant):
    files = dict(CLEAN)
    plant(files)
    assert codes(files) == []
