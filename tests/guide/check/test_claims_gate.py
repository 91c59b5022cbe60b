"""Claims and proofs: planted faults."""

import pytest

from lab.check import gates

from .shared import (
    BLOCKS,
    DATED,
    TRIAL,
    UNDATED,
    append,
    assert_found,
    ids,
    replace,
    reported_by,
)

FAULTS = [
    ("claim-unproved", replace("tests/topics/demo/test_demo.py", "ticks-first", "other")),
    (
        "proof-unclaimed",
        replace("tests/topics/demo/test_demo.py", "ticks-first", "other"),
    ),
    ("claim-form", replace(TRIAL, "verdict: wrong", "verdict: maybe")),
    ("claim-form", replace(TRIAL, "id: ticks-first", "id: Ticks First")),
    (
        "claim-form",
        replace(TRIAL, "verdict: wrong", "verdict: wrong\n    verdcit: wrong"),
    ),
    ("claim-form", replace(TRIAL, "claim | Ticks come first", "claim")),
    ("claim-form", replace(TRIAL, "verdict: wrong", f"verdict: wrong\n{UNDATED}")),
    ("claim-form", replace(TRIAL, "verdict: wrong", f"verdict: right\n{DATED}")),
    ("claim-doubled", append(BLOCKS, TRIAL)),
    ("claim-number", replace(TRIAL, "More of it.", "It took 12 ms.")),
    ("claim-number", replace(TRIAL, "{measured demo/lag}", "40 %")),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.claims) == {code for code, _ in FAULTS}
