"""Seals of what restates a claim, and of counter-proofs: planted faults, clean controls."""

import json

import pytest

from lab.check import content, gates, restated

from .shared import (
    BANK,
    CLEAN,
    OTHERS,
    PAGE,
    TRIAL,
    add,
    assert_found,
    codes,
    each,
    ids,
    remove,
    replace,
    reported_by,
    reseal,
    several,
)

PROOF = "tests/topics/demo/test_demo.py"
SEALS = restated.path("demo")
TASK = "snippets/demo/exercises/mend/task.md"
CHECKS = "tests/exercises/demo/test_mend.py"
ORDER = "snippets/demo/order.mjs"


def forgotten(key):
    return lambda files: files.update(
        {
            SEALS: json.dumps(
                {k: v for k, v in json.loads(files[SEALS]).items() if k != key}
            )
        }
    )


FAULTS = [
    ("seal", remove(SEALS)),
    ("seal", add(SEALS, "{")),
    ("seal", forgotten("claim ticks-first")),
    ("seal", forgotten("question ask-2")),
    ("seal", replace(SEALS, '"claim said-2"', '"claim said-99"')),
    # the claim: what is heard, the verdict on both sides, the finding, what it means
    ("seal", replace(TRIAL, "Ticks come first", "Ticks come last")),
    (
        "seal",
        several(
            replace(TRIAL, "verdict: wrong", "verdict: right"),
            replace(PROOF, 'verdict="wrong"', 'verdict="right"'),
        ),
    ),
    ("seal", replace(TRIAL, "Ticks took", "Ticks never took")),
    ("seal", replace(TRIAL, "More of it.", "Less of it.")),
    # the proof: an assertion weakened, removed, another input, a mark on another test
    ("seal", replace(PROOF, '== ["a", "b"]', '!= ["a"]')),
    (
        "seal",
        replace(PROOF, 'node.lines("demo/order.mjs")\n', 'node.lines("demo/app.mjs")\n'),
    ),
    ("seal", each(PROOF, "demo/said-3", "demo/said-4")),
    # what restates it
    ("seal", replace(PAGE, "More words.", "Fewer words.")),
    ("seal", replace(PAGE, "[the start]", "not [the start]")),
    ("seal", replace(BANK, "And 2?", "And not 2?")),
    ("seal", replace(BANK, "that one says aloud", "that none says aloud")),
    ("seal", replace(BANK, "listen for: The first point", "listen for: No first point")),
    ("seal", replace(BANK, "red flag: The popular wrong", "red flag: The popular right")),
    ("seal", replace(OTHERS, "It is so.", "It is not so.")),
    (
        "seal",
        replace(
            OTHERS, "answer: express-4\n    proof: node-22", "proof: express-4 node-22"
        ),
    ),
    ("seal", replace("docs/summary.md", "first the ticks", "last the ticks")),
    ("seal", replace(TASK, "Mend it", "Break it")),
    ("seal", replace(CHECKS, "A hint.", "Another hint.")),
    ("seal", replace("snippets/demo/exercises/mend/start.mjs", "() => {}", "() => 1")),
    # counter-proofs
    ("counter", forgotten("counter test_ticks demo/ticks-first")),
    ("counter", replace(PROOF, '["a", "b"]', '["a", "b", "c"]')),
    ("counter", replace(ORDER, "log('b')", "log('d')")),
    ("counter", replace(ORDER, "log('a')", "log( 'a')")),
    ("counter", replace(PROOF, "log('c')", "log('d')")),
    ("counter", replace(PROOF, 'counter=("demo/order.mjs"', 'counter=("demo/none.mjs"')),
    ("counter", replace(PROOF, 'counter=("demo/order.mjs", ', "counter=(")),
    ("counter", replace(SEALS, "counter test_ticks", "counter test_tocks")),
]
CONTROLS = [
    replace(TRIAL, "More of it.", "More,\n*of* it!"),
    replace(TRIAL, "More of it.", "More [of it](claims.md#claim-said-2)."),
    replace(PROOF, "    assert node", "    # why\n    assert node"),
    replace(PROOF, '["a", "b"]', '[\n        "a",\n        "b",\n    ]'),
    replace(
        BANK, "The first point, which\n  goes on.", "The *first* point, which goes\n  on."
    ),
    replace(ORDER, "console.log('b')", "// why\nconsole.log('b')"),
    replace(PAGE, "Text of when not.", "Other words, since no claim is named here."),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


@pytest.mark.parametrize("plant", CONTROLS)
def test_layout_emphasis_comments_and_other_sections_cost_nothing(plant):
    files = dict(CLEAN)
    plant(files)
    assert codes(files) == []


def test_whoever_changes_a_finding_is_told_every_place_that_restates_it():
    files = dict(CLEAN)
    replace(TRIAL, "Ticks took", "Ticks never took")(files)
    found = [p for p in gates.check(content.Tree(files)) if p.place.startswith(TRIAL)]
    assert [p.code for p in found] == ["seal"]
    mend = found[0].mend
    assert mend.endswith("then `make seal TOPIC=demo`")
    lines = files[PAGE].split("\n")
    for place in (PROOF, f"{PAGE}:{lines.index('## In thirty seconds') + 1}", OTHERS):
        assert place in mend
    reseal(files)
    assert codes(files) == []


@pytest.mark.parametrize("state", ["draft", "moved"])
def test_a_topic_that_is_not_whole_needs_no_seal(state):
    files = dict(CLEAN)
    replace(PAGE, "state: whole", f"state: {state}")(files)
    files[SEALS] = json.dumps(
        {k: v for k, v in json.loads(files[SEALS]).items() if k.startswith("counter")}
    )
    replace(TRIAL, "Ticks took", "Ticks never took")(files)
    assert codes(files) == []


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.seals) == {code for code, _ in FAULTS}
