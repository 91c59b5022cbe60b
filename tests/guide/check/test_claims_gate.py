"""Claims and proofs: planted faults."""

import json

import pytest

from lab.check import gates

from .shared import (
    BLOCKS,
    CLEAN,
    DATED,
    TRIAL,
    UNDATED,
    append,
    assert_found,
    codes,
    ids,
    notebook,
    replace,
    reported_by,
    several,
)

PROOF = "tests/topics/demo/test_demo.py"


def recorded(said):
    call = f'evidence.hold("ticks-first", 4, "ms", "a lag"{said})'
    return notebook(source=call)


def evidence_of_a_claim(files):
    entries = json.loads(files["docs/evidence/demo.json"])
    entries["ticks-first"] = entries["lag"]
    files["docs/evidence/demo.json"] = json.dumps(entries)


FAULTS = [
    ("claim-unproved", replace("tests/topics/demo/test_demo.py", "ticks-first", "other")),
    (
        "proof-unclaimed",
        replace("tests/topics/demo/test_demo.py", "ticks-first", "other"),
    ),
    ("claim-form", replace(TRIAL, "verdict: wrong", "verdict: maybe")),
    # a change on one side
    ("verdict", replace(TRIAL, "verdict: wrong", "verdict: right")),
    ("verdict", replace(TRIAL, "verdict: right", "verdict: depends")),
    ("verdict", replace(PROOF, 'verdict="wrong"', 'verdict="right"')),
    ("verdict", replace(PROOF, ', verdict="wrong"', "")),
    ("verdict", several(recorded(""), evidence_of_a_claim)),
    ("verdict", several(recorded(', verdict="right"'), evidence_of_a_claim)),
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


def test_a_value_that_proves_a_claim_says_the_same_verdict():
    files = dict(CLEAN)
    recorded(', verdict="wrong"')(files)
    evidence_of_a_claim(files)
    assert "verdict" not in codes(files)
