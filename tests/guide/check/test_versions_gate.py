"""Versions typed by hand, and notes on other versions: planted faults."""

import pytest

from lab.check import gates

from .shared import (
    NOTE,
    OTHERS,
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
    ("version-typed", replace(TAKE, "Express {version express}", "Express 5.3.0")),
    ("version-typed", append("\nInstall express@5.3.0 today.\n")),
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
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.versions) == {code for code, _ in FAULTS}
