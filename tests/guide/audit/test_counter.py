"""Counter-proofs: a proof that does not fail without what it shows is told."""

import dataclasses

import pytest

from lab.audit import counter
from lab.check import content

NAME = "test_runs_of_an_interval_overlap_when_its_callback_is_slow"
FILE = "event-loop/interval.naive.mjs"


def proof(*declared):
    marks = content.read().marks
    found = next(mark for mark in marks if mark.test.name == NAME)
    return dataclasses.replace(found, counter=declared)


def test_a_proof_that_passes_all_the_same_or_breaks_otherwise_is_told():
    proofs = {
        "holds": proof(FILE, "running === 5", "running === 1"),
        "idle": proof(FILE, "}, 10);", "}, 11);"),
        "broken": proof(FILE, "}, 10);", "}, 10;"),
    }
    with pytest.raises(counter.CounterError) as raised:
        counter.run(proofs)
    said = str(raised.value).split("\n")
    assert len(said) == 2 and all(NAME in line for line in said)
    assert ": passed — " in said[0] and "(SyntaxError)" in said[1]


def test_what_is_exchanged_must_be_there_once(tmp_path):
    path = tmp_path / "snippets" / FILE
    path.parent.mkdir(parents=True)
    path.write_text("running === 5; running === 5;")
    with pytest.raises(counter.CounterError, match="is not once in"):
        counter._change(tmp_path, proof(FILE, "running === 5", "running === 1"))
    other = path.with_name("interval.mjs")
    other.write_text("other")
    counter._change(tmp_path, proof(FILE, "event-loop/interval.mjs"))
    assert path.read_text() == "other" and other.read_text().startswith("running")
