"""Recorded output: compared, and written."""

import pytest

from lab import GuideError
from lab.run import outputs

# --- recorded output -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "recorded", "message"),
    [
        ("console.log(1)", "2\n", "differs from what"),
        ("console.log(1)", None, "no recorded output — run `make outputs`"),
        ("console.log(1); console.error(2)", "1\n", "printed to standard error"),
        ("// output: unordered — x\nconsole.log('a\\nb')", "b\nc\n", "differs"),
        ("// output: any-of — x\nconsole.log(1)", "2\n--- or ---\n3\n", "differs"),
    ],
)
def test_output_that_differs_is_reported(snippet, text, recorded, message):
    path = snippet(text)
    if recorded is not None:
        path.with_name(path.name + ".out").write_text(recorded)
    with pytest.raises(GuideError, match=message):
        outputs.compare(path)


@pytest.mark.parametrize(
    ("text", "recorded"),
    [
        ("console.log(1)", "1\n"),
        ("// output: unordered — x\nconsole.log('a\\nb')", "b\na\n"),
        ("// output: any-of — x\nconsole.log(1)", "1\n--- or ---\n3\n"),
    ],
)
def test_output_as_recorded_passes(snippet, text, recorded):
    path = snippet(text)
    path.with_name(path.name + ".out").write_text(recorded)
    outputs.compare(path)


def test_recording_writes_what_differs_and_collects_alternatives(snippet):
    path = snippet("console.log(1)")
    out = path.with_name(path.name + ".out")
    assert outputs.record(path) and out.read_text() == "1\n"
    assert not outputs.record(path)
    path.write_text("// output: any-of — x\nconsole.log(process.pid % 2)")
    out.unlink()
    assert outputs.record(path) and out.read_text() == "0\n--- or ---\n1\n"
    assert not outputs.record(path, runs=5)
