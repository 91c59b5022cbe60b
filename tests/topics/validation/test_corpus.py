"""The corpus of inputs against both apps: what became of each."""

import collections
import re

import pytest

from . import corpus

# --- the corpus ---------------------------------------------------------------------


def test_the_corpus_is_large_documented_and_says_nothing_twice():
    all_ = list(corpus.inputs())
    counts = collections.Counter(given.kind for given in all_)
    assert counts["hostile"] >= 200
    assert counts["honest"] >= 100
    sent = {(one.body, one.query, str(one.headers)) for one in all_}
    assert len(sent) == len(all_)
    for group in corpus.CORPUS["groups"]:
        assert len(group["why"]) > 4
        assert group["from"]
        assert group["outcome"] in ("inert", "type", "shape", "size")


REASONS = {
    "type": r"Invalid input|expected",
    "size": r"Too (big|small)",
    "shape": r"Unknown field|Invalid (string|option)|Must be an https",
}


@pytest.mark.parametrize("variant", ["zod", "express-validator"])
def test_nothing_of_the_corpus_reaches_a_sink_and_nobody_honest_is_lost(
    variant, tmp_path
):
    fates = corpus.run(variant, tmp_path)
    assert len(fates) == len(list(corpus.inputs()))
    wrong = []
    for fate in fates:
        given = fate.given
        errors = fate.answer.get("errors", [])
        pointers = [error["pointer"] for error in errors]
        status = 400 if given.body is None else given.status
        if fate.effects or fate.lost or fate.status != status:
            wrong.append(f"{given} {fate.status} {fate.effects}")
        elif given.at is not None and given.at not in pointers:
            wrong.append(f"{given} {pointers}, not {given.at}")
        elif given.at is not None and variant == "zod":
            said = " ".join(e["detail"] for e in errors if e["pointer"] == given.at)
            if not re.search(REASONS[given.outcome], said):
                wrong.append(f"{given}: {said!r} is not about {given.outcome}")
        assert len(errors) <= 20
    assert not wrong, "\n".join(wrong)


@pytest.mark.claim("validation/schema-makes-safe", verdict="wrong")
def test_a_strict_schema_in_front_of_naive_sinks_keeps_out_what_is_no_review_only(
    tmp_path,
):
    only = ("sql", "html", "prototype", "mass", "type-text", "apostrophes", "prose")
    fates = corpus.run("strict schema, naive sinks", tmp_path, only)
    effects = collections.Counter(effect for fate in fates for effect in fate.effects)
    assert not effects.keys() & {"prototype", "assigned", "admitted"}
    assert effects["sql"] > 5
    assert effects["html"] > 40
    lost = [fate for fate in fates if fate.lost]
    assert any(b"O'Brien" in fate.given.body for fate in lost)
