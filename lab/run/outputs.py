"""What a shown program prints: recorded beside it, and compared at every run."""

import difflib
import os
import re
from pathlib import Path

from lab import SNIPPETS
from lab.run.node import NodeError, label, resolve, run

OUTPUT_MODES = ("unordered", "any-of", "varies")
OR = "--- or ---\n"  # between the alternatives of an any-of output


def is_program(text: str) -> bool:
    """Whether a snippet ends by itself and so has a recorded output; any other
    one (it exports, listens, or is a worker) is run by a test of its own."""
    module = r"^(export\b|module\.exports\b|exports\.)|\bparentPort\b|listening on"
    return not re.search(module, text, re.MULTILINE)


def output_mode(text: str) -> tuple[str, str]:
    """The output mode that a snippet declares, and its reason, both "" if none.

    `// output: unordered — reason`: lines in any order; `any-of`: one of several
    recorded outputs; `varies`: it is run, and nothing is recorded."""
    found = re.search(r"^// output: ([\w-]+)\s*(?:[—-]+\s*(.*))?$", text, re.MULTILINE)
    return (found[1], (found[2] or "").strip()) if found else ("", "")


def programs() -> list[str]:
    """Names of all snippets that end by themselves."""
    found = []
    for folder, below, names in os.walk(SNIPPETS):
        below[:] = set(below) - {"node_modules", "_specimens", "exercises"}
        if Path(folder) != SNIPPETS:
            files = (Path(folder, name) for name in names)
            found += [path for path in files if path.suffix in (".mjs", ".cjs")]
    return [
        path.relative_to(SNIPPETS).as_posix()
        for path in sorted(found)
        if is_program(path.read_text("utf-8"))
    ]


def compare(snippet: str) -> None:
    """Run a program and hold its output to the recorded one.

    Raises NodeError when they differ, when it prints to standard error, or when
    nothing is recorded.
    """
    path = resolve(snippet)
    mode, _ = output_mode(path.read_text("utf-8"))
    recorded = path.with_name(path.name + ".out")
    if mode == "varies":
        _output(path)
        return
    if not recorded.exists():
        raise NodeError(f"{label(path)}: no recorded output — run `make outputs`")
    fresh = _output(path)
    wanted = recorded.read_text("utf-8")
    if not _matches(mode, fresh, wanted):
        changes = difflib.unified_diff(
            wanted.splitlines(), fresh.splitlines(), "recorded", "now", lineterm="", n=1
        )
        raise NodeError(
            f"{label(recorded)}: differs from what {path.name} prints — mend the "
            "snippet, or run `make outputs` and read the change; order that may vary "
            "is declared: `// output: unordered — reason`\n" + "\n".join(changes)
        )


def record(snippet: str, runs: int = 40) -> bool:
    """Write a program's output beside it if it differs; True if it was written.

    An `any-of` program runs `runs` times; what it printed is added to what was
    seen before.
    """
    path = resolve(snippet)
    mode, _ = output_mode(path.read_text("utf-8"))
    recorded = path.with_name(path.name + ".out")
    before = recorded.read_text("utf-8") if recorded.exists() else None
    fresh = _output(path)
    if mode == "varies":
        return False
    if mode == "any-of":
        seen = set(_alternatives(before or fresh)) | {fresh}
        seen |= {_output(path) for _ in range(runs - 1)}
        fresh = OR.join(sorted(seen))
    if before is not None and (fresh == before or _matches(mode, fresh, before)):
        return False
    recorded.write_text(fresh, "utf-8")
    return True


def _output(path: Path) -> str:
    done = run(path)
    if done.stderr:
        raise NodeError(
            f"{label(path)}: printed to standard error — a shown program prints its "
            f"result only:\n{done.stderr[-500:]}"
        )
    return done.stdout


def _alternatives(text: str) -> list[str]:
    return text.split(OR)


def _matches(mode: str, fresh: str, recorded: str) -> bool:
    if mode == "unordered":
        return sorted(fresh.splitlines()) == sorted(recorded.splitlines())
    if mode == "any-of":
        return set(_alternatives(fresh)) <= set(_alternatives(recorded))
    return fresh == recorded
