"""The bank of questions: planted faults."""

import pytest

from lab.check import content, gates, pages

from .shared import (
    BANK,
    CLEAN,
    QUESTION,
    append,
    assert_found,
    ids,
    replace,
    reported_by,
)

TEST = "tests/topics/demo/test_demo.py"
AGAIN = QUESTION.format(i=3, level="core", words="So.", points="")
FAULTS = [
    ("question-form", replace(BANK, "question | And 1?", "question")),
    ("question-form", replace(BANK, "id: ask-1\n", "id: Ask One\n")),
    ("question-form", replace(BANK, "    id: ask-1\n", "")),
    ("question-form", replace(BANK, "level: senior", "level: junior")),
    ("question-form", replace(BANK, "kind: explain", "kind: trivia")),
    ("question-form", replace(BANK, "kind: explain", "kind: explain\n    knid: code")),
    ("question-form", replace(BANK, "- red flag: The", "- red-flag: The")),
    ("question-form", append(AGAIN.replace("So.", ""), BANK)),
    ("question-doubled", append(AGAIN, BANK)),
    ("question-proof", replace(BANK, "[proof: demo/said-2]", "[proof: demo/said-99]")),
    ("question-proof", replace(BANK, "demo/test:test_ticks", "demo/test:test_tocks")),
    (
        "question-proof",  # a helper is no test
        lambda files: files.update(
            {
                TEST: files[TEST] + "\n\ndef ticks(): ...\n",
                BANK: files[BANK].replace("test:test_ticks", "test:ticks"),
            }
        ),
    ),
    ("question-proof", replace(BANK, "demo/measured:lag", "demo/measured:lga")),
    ("question-proof", replace(BANK, "demo/measured:lag", "demo/measurd:lag")),
    ("question-proof", replace(BANK, "demo/measured:lag", "demo/measured:lag-plot")),
    (
        "question-proof",
        replace(BANK, "kind: explain", "kind: explain\n    proof: demo/said-2 demo/no"),
    ),
    ("question-then", replace(BANK, "- then: ask-2", "- then: ask-99")),
    ("question-then", replace(BANK, "- then: ask-2", "- then: other/ask-2")),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.questions) == {code for code, _ in FAULTS}


def test_a_question_is_data():
    question = content.Tree(CLEAN).questions["demo/ask-1"]
    assert (
        question.asked == "And 1?" and question.place == "topics/demo/questions.md#ask-1"
    )
    assert question.also == ["other words", "ERR_OTHER"]
    assert (
        question.answer.startswith("An answer *of* ten")
        and "point" not in question.answer
    )
    assert [point.kind for point in question.points] == [
        *["listen for"] * 3, "red flag", "then",
    ]  # fmt: skip
    first, second, third, *_ = question.points
    assert (first.text, first.proofs) == (
        "The first point, which goes on.", ("demo/said-2",),
    )  # fmt: skip
    assert second.proofs == () and second.text.endswith("timers.html)).")
    assert third.proofs == ("demo/test:test_ticks", "demo/measured:lag")


def test_what_stands_in_fences_and_other_blocks_is_no_answer():
    text = "//// question | Why?\n    id: why\n\nBecause.\n\n/// details | More\n    type: note\nx\n///\n\n```js\n- then: no\n```\n\n- then: That?\n////\n\nElse.\n"
    page = pages.parse("docs/topics/demo/questions.md", text)
    assert page.bad == [] and page.details[0].options == {"type": "note"}
    question = page.questions[0]
    assert question.options == {"id": "why"} and question.answer.startswith("Because.")
    assert [point.text for point in question.points] == ["That?"]
    assert [line for _, line in page.open if line.strip()] == ["Else."]
