"""Small faults that nothing else sees: planted faults and clean controls."""

import pytest

from lab.check import content, gates

from .shared import (
    CLEAN,
    DATED,
    ORDER,
    PAGE,
    TRIAL,
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

LOGIN = "snippets/demo/login.mjs"
FOLDER = "snippets/demo/exercises/mend"
SHA = "0123456789012345678901234567890123456789"
SOLVED = "export function createApp() {\n  return () => setImmediate(Date.now);\n}\n"


def source(url, state):
    line = f'    source: "[a sheet]({url}), {state}: it says so"'
    return replace(TRIAL, "verdict: wrong", f"verdict: wrong\n{line}")


def solved(path, old, new):
    return several(add(f"{FOLDER}/solution.mjs", SOLVED), replace(path, old, new))


FAULTS = [
    ("id-doubled", append("\n## When not {#how-it-works}\n")),
    ("id-doubled", append("\n/// details | A\n    attrs: {id: when-not}\nText.\n///\n")),
    ("title-long", replace(PAGE, "title: Demo", "title: " + "Demo " * 9)),
    ("title-long", append(f"\n## {'Long ' * 17}\n")),
    ("title-long", replace(TRIAL, "Ticks come first", "Ticks " * 17)),
    ("section-unshown", add(ORDER, CLEAN[ORDER].replace("('b');\n", "('b');\n// --8<-- [start:b]\n// --8<-- [end:b]\n"))),
    ("export-unused", add(LOGIN, CLEAN[LOGIN] + "export const left = 1;\n")),
    ("export-unused", add(LOGIN, CLEAN[LOGIN] + "export async function left() {}\n")),
    ("erratum-state", source(f"https://example.org/blob/{SHA}/a.md", "as of 1234567")),
    ("erratum-state", source(f"https://example.org/blob/{SHA}/a.md", "version 2")),
    ("erratum-state", source("https://example.org/blob/main/a.md", "as of 0123456")),
    ("erratum-state", source("https://www.npmjs.com/package/a/v/5.3.2", "version 5.3.1")),
    ("hint", solved(f"{FOLDER}/task.md", "Mend it", "Mend it with setImmediate")),
    ("hint", solved(f"{FOLDER}/task.md", "Mend it", "return () => setImmediate(Date.now);")),
    ("hint", solved("tests/exercises/demo/test_mend.py", "A hint.", "Try setImmediate.")),
    ("hint", solved(f"{FOLDER}/start.mjs", "() => {}", "() => {} // setImmediate")),
]  # fmt: skip
CONTROLS = [
    append("\n## When it is not\n", "docs/index.md"),
    add(LOGIN, CLEAN[LOGIN] + "export const used = 1;\n"),
    source(f"https://example.org/blob/{SHA}/a.md", "as of 0123456"),
    source("https://www.npmjs.com/package/a/v/5.3.2", "version 5.3.2"),
    replace(TRIAL, "verdict: wrong", f"verdict: wrong\n{DATED}"),
    solved(f"{FOLDER}/task.md", "Mend it", "Which phase has the loop to reach?"),
]


@pytest.mark.parametrize(("code", "plant"), FAULTS, ids=ids(FAULTS))
def test_a_planted_fault_is_found(code, plant):
    assert_found(code, plant)


@pytest.mark.parametrize("plant", CONTROLS)
def test_what_is_allowed_is_not_reported(plant):
    files = dict(CLEAN)
    plant(files)
    if "export const used" in files[LOGIN]:
        add("tests/topics/demo/company.mjs", "import { used } from 'x';\n")(files)
    reseal(files)
    assert codes(files) == []


def test_a_link_to_an_image_that_is_there_is_alive():
    files = dict(CLEAN)
    append("\n[the image](../../assets/card.png)\n")(files)
    reseal(files)
    assert codes(files) == ["link"]
    assert gates.check(content.Tree(files, {"docs/assets/card.png"})) == []


@pytest.mark.parametrize(
    "host", ["n\u043edejs.org", "nodejs.org@evil.test", "Nodejs.org"]
)
def test_a_host_that_only_looks_like_one_is_found(host):
    assert_found("link", append(f"\n[docs](https://{host}/api)\n"))


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.tidy) == {code for code, _ in FAULTS}
