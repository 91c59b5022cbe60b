"""Facts from outside and counts of our own things: planted faults and clean controls."""

import pytest

from lab.check import gates
from lab.check.content import OUTSIDE

from .shared import (
    BANK,
    CLEAN,
    PAGE,
    add,
    append,
    assert_found,
    codes,
    ids,
    replace,
    reported_by,
    reseal,
    several,
)

FACTS = """
[fact."node/keepAliveTimeout"]
value = 5000
unit = "ms"
read = "1"
named = ["keepAliveTimeout"]
[rfc]
9457 = "Problem Details"
[cve]
2020-1 = "A hole"
[ghsa]
aaaa-bbbb-cccc = "A hole"
"""


def said(text, path=PAGE):
    return several(add(OUTSIDE, FACTS), append(f"\n\n{text}\n", path))


LOG = "docs/changelog.md"
NEW = "\n## 2026-02-02: B\n\nNew: [demo](topics/demo/index.md). {}\n\n## 2026-01-01: A\n"


def newest(text):
    return replace(LOG, "\n## 2026-01-01: A\n", NEW.format(text))


FAULTS = [
    ("outside", said("As {rfc 9458} says.")),
    ("outside", said("As {fact node/keepAliveTimeuot} says.")),
    ("outside", said("As {cve 2020-2} says.")),
    ("outside", said("As {ghsa aaaa-bbbb-dddd} says.")),
    ("outside", add(OUTSIDE, "[fact")),
    ("outside", add(OUTSIDE, "[fcat]\n")),
    ("outside", add(OUTSIDE, '[fact."node/x"]\nvalue = 1\n')),
    ("outside-typed", said("As RFC 9457 says.")),
    ("outside-typed", said("As [RFC 9458](https://example.org/) says.")),
    ("outside-typed", said("This was CVE-2020-1.")),
    ("outside-typed", said("This was GHSA-aaaa-bbbb-cccc.")),
    ("outside-typed", said("As RFC 9457 says.", "docs/summary.md")),
    ("outside-typed", said("`keepAliveTimeout` is thirty seconds.")),
    ("outside-typed", said("`keepAliveTimeout` 30 s closes it.")),
    (
        "outside-typed",
        said("By default the `keepAliveTimeout` lets it go after\n30 seconds."),
    ),
    ("outside-typed", said("What counts is `keepAliveTimeout`. The default is 30 s.")),
    ("outside-typed", said("| `keepAliveTimeout` defaults to 30 s | x |")),
    ("outside-typed", said("- `keepAliveTimeout`: by default 30 s")),
    (
        "outside-typed",
        several(
            add(OUTSIDE, FACTS),
            replace(BANK, "The second point", "`keepAliveTimeout` is 30 s"),
        ),
    ),
    ("count", add("README.md", "Eleven topics and 12 claims.\n")),
    ("count", add("README.md", "One topic, 13 claims.\n")),
    ("count", append("\nThere are twenty questions.\n", "docs/index.md")),
    ("count", newest("Thirteen claims, of which eleven are right.")),
    ("count", newest("Twelve claims, of which nine are right.")),
    ("count", newest("It has 26 questions.")),
]
CONTROLS = [
    said("As {rfc 9457} says, {cve 2020-1} and {ghsa aaaa-bbbb-cccc} too."),
    said("By default `keepAliveTimeout` is {fact node/keepAliveTimeout}, or 30 s in the proxy."),
    said("In code: `RFC 9457`. Set `keepAliveTimeout` to 65 seconds behind a proxy."),
    said("`keepAliveTimeout` has a default. Ten clients wait."),
    add("README.md", "Two topics that you like; 12 claims, 25 questions, one exercise.\n"),
    newest("Twelve claims, of which eleven are right, and 25 questions."),
]  # fmt: skip


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


@pytest.mark.parametrize("plant", CONTROLS)
def test_what_is_allowed_is_not_reported(plant):
    files = dict(CLEAN)
    plant(files)
    reseal(files)
    assert codes(files) == []


def test_a_topic_that_is_not_whole_is_only_told():
    files = dict(CLEAN)
    said("As RFC 9457 says.")(files)
    replace(PAGE, "state: whole", "state: moved")(files)
    assert "outside-typed" not in codes(files)


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.outside) == {code for code, _ in FAULTS}
