"""Lock files: planted faults."""

import pytest

from lab.check import gates

from .shared import assert_found, ids, replace, reported_by

FAULTS = [
    ("lock-stale", replace("pyproject.toml", "<0.29", "<0.30")),
    ("lock-stale", replace("pyproject.toml", '"pytest>=9"', '"pytest>=9", "ruff"')),
    ("lock-stale", replace("snippets/package.json", "5.3.0", "5.4.0")),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.locks) == {code for code, _ in FAULTS}
