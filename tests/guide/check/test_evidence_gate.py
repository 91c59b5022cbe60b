"""Measured values, figures and their records: planted faults."""

import json

import pytest

from lab.check import gates

from .shared import (
    EVIDENCE,
    TAKE,
    TRIAL,
    VALUE,
    add,
    append,
    assert_found,
    entry,
    ids,
    remove,
    replace,
    reported_by,
)

FAULTS = [
    ("measured", replace(TRIAL, "{measured demo/lag}", "{measured demo/lga}")),
    ("figure", replace(TRIAL, "figure | demo/lag-plot", "figure | demo/plot")),
    ("figure", remove("docs/evidence/demo/lag-plot.svg")),
    ("figure", add("docs/evidence/demo/lag-plot.svg", "<svg/>")),
    ("figure", append("\n/// figure | loop.svg\n///\n")),
    ("version", replace(TAKE, "{version express}", "{version expres}")),
    ("evidence", add("docs/evidence/demo.json", "{")),
    ("evidence", entry(value=0.5)),
    ("evidence-stale", entry(versions={"express": "4.21.0"})),
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
