"""Which lines of a snippet ran."""

from lab.run import coverage, node

# --- coverage ------------------------------------------------------------------


def test_lines_that_ran_are_told_from_lines_that_did_not(snippet, monkeypatch, tmp_path):
    path = snippet(
        "const x = process.argv[2];\n"
        "if (x) {\n"
        "  console.log(x);\n"
        "} else {\n"
        "  console.log('none');\n"
        "}\n"
        "function never() {\n"
        "  return 1;\n"
        "}\n"
        "process.exit(0); never();\n"
    )
    monkeypatch.setenv(node.COVERAGE, str(tmp_path))
    node.run(path)
    assert coverage.executed(tmp_path, tmp_path)[path.name] == {1, 2, 4, 5, 6, 10}
    (first,) = tmp_path.glob("coverage-*.json")
    whole = first.read_text()
    first.write_text(whole[: len(whole) // 2])  # as of a process that was killed
    assert coverage.executed(tmp_path, tmp_path) == {}
    first.write_text(whole)
    node.run(path, "given")  # two runs together execute both branches
    assert coverage.executed(tmp_path, tmp_path)[path.name] == {1, 2, 3, 4, 5, 6, 10}
