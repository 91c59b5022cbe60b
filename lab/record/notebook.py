"""What a learner calls: show a snippet, run JavaScript in a cell, check an
exercise; and what runs the notebooks themselves."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from lab import EXECUTED, NOTEBOOKS, ROOT, SNIPPETS, GuideError
from lab.check import content, snippets
from lab.record import diagnosis
from lab.run import node, process

WORK = ROOT / "work"
NOT_STARTED = "before it listened"  # what lab.run.node says of a server that ends


class NotebookError(GuideError):
    """Something a learner asked for is not there, or did not work."""


def show(snippet: str, section: str | None = None):
    """Show a snippet, or one section of it, highlighted.

    Returns an IPython display object. Raises NotebookError with the names there
    are when the section is unknown, NodeError when the snippet is.
    """
    from IPython.display import Code

    path = node.resolve(snippet)
    parsed = snippets.parse_snippet(snippet, path.read_text("utf-8"))
    lines = parsed.text.split("\n")
    wanted = range(1, len(lines) + 1)
    if section:
        if section not in parsed.sections:
            raise NotebookError(
                f"{snippet}: no section '{section}' — there is "
                f"{', '.join(parsed.sections) or 'none: leave it out'}"
            )
        wanted = parsed.sections[section]
    text = [lines[n - 1] for n in wanted if not snippets.MARKER.match(lines[n - 1])]
    return Code("\n".join(text).strip("\n"), language="javascript")


def load_ipython_extension(shell) -> None:
    """`%load_ext lab.notebook` adds the cell magic `%%node`."""
    shell.register_magic_function(_node_cell, "cell", "node")


def _node_cell(line: str, cell: str) -> None:
    """%%node [seconds]: run the cell as an ES module with the locked Node.

    Packages of snippets/ can be imported. Output is printed; a failure, or more
    than the given time (10 s), is the cell's error, with JavaScript's own stack.
    """
    try:
        timeout = float(line or 10)
    except ValueError:
        raise NotebookError(
            f"%%node {line}: not a number of seconds — write %%node, or %%node 20"
        ) from None
    done = node.evaluate(cell, timeout, code=None)
    print(done.stdout, end="")
    if done.code != 0:
        stack = re.sub(r"file:///\S*\[eval1\]", "cell", done.stderr)
        stack = re.sub(r"\n    at .*\bnode:internal/.*", "", stack)
        raise NotebookError(
            f"the cell ended with exit code {done.code}:\n{stack.strip()}"
        )
    if done.stderr:
        print(done.stderr, end="", file=sys.stderr)


def check(exercise: str, attempt: Path | None = None) -> str:
    """Check a learner's version of `topic/name`; returns what to read.

    Without `attempt` that is work/<topic>/<name>.mjs, copied there from the start
    at the first call. What is missing is named, with a hint, not the answer. Of a
    diagnosis it is work/<topic>/<name>/service.mjs, and the cause.md beside it.
    """
    topic, name = _known(exercise)
    folder = SNIPPETS / topic / "exercises" / name
    if runs(exercise):
        return _check_diagnosis(exercise, attempt or WORK / exercise / "service.mjs")
    attempt = attempt or _copy_of(topic, name)
    if not attempt.is_file():
        raise NotebookError(f"{attempt}: no such file — the start is {folder}/start.mjs")
    lines, held = _fix(exercise, attempt, folder / "task.md")
    missing = held.count(False)
    end = f"{missing} of {len(held)} missing" if missing else "all of it holds: done"
    return "\n".join([*lines, end] if held else lines)


def _check_diagnosis(exercise: str, attempt: Path) -> str:
    topic, name = _known(exercise)
    if not attempt.is_file():
        raise NotebookError(
            f"{node.label(attempt)}: no such file — `make exercise E={exercise}` starts it"
        )
    _packages()
    folder = SNIPPETS / topic / "exercises" / name
    cause = diagnosis.judge(topic, name, attempt.parent / "cause.md")
    lines, held = _fix(exercise, attempt, folder / "symptoms.md")
    lines.append(f"  ✗ the cause: {cause}" if cause else "  ✓ the cause")
    end = {
        (True, True): f"found and fixed: done — {node.label(folder / 'solution.md')}",
        (True, False): "the cause is found, and not fixed yet",
        (False, True): "it is fixed, and the cause is not named yet",
        (False, False): "neither found nor fixed yet",
    }
    return "\n".join([*lines, end[not cause, bool(held) and all(held)]])


def _fix(exercise: str, attempt: Path, task: Path) -> tuple[list[str], list[bool]]:
    """What the checks of an exercise say of a file, and whether each held: none if the
    file does not start."""
    topic, name = _known(exercise)
    checks = ROOT / "tests" / "exercises" / topic / f"test_{name.replace('-', '_')}.py"
    with process.directory("check") as scratch:
        report = scratch / "report.xml"
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", str(checks), f"--attempt={attempt}",
                f"--junitxml={report}", "--color=no",
            ],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seen: dict[str, str] = {}  # of a check with several cases the first that failed
        for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
            name = case.get("name", "").split("[")[0]
            seen[name] = seen.get(name) or _message(case)
    if not seen:
        raise NotebookError(f"{exercise}: its checks did not run:\n{done.stdout[-2000:]}")
    lines = [f"{node.label(attempt)} — the task: {node.label(task)}"]
    if broken := next((error for error in seen.values() if NOT_STARTED in error), ""):
        return [*lines, f"  it does not start, so nothing was checked: {broken}"], []
    tests = [
        test
        for test in ast.parse(checks.read_text("utf-8")).body
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_")
    ]
    held = []
    for test in tests:
        sentence = test.name.removeprefix("test_").replace("_", " ")
        error = seen.get(test.name, "was not run")
        held.append(not error)
        lines.append(f"  {'✗' if error else '✓'} {sentence}")
        if error:
            hint = " ".join((ast.get_docstring(test) or "").split())
            lines += [f"    seen: {error}", f"    hint: {hint}"]
    return lines, held


def start(exercise: str, port: int = 0) -> str:
    """Start the learner's copy of a diagnosis in the foreground, until it ends or Ctrl-C;
    returns what to do next. Raises GuideError when it cannot be started."""
    topic, name = _known(exercise)
    work = WORK / topic / name
    diagnosis.copy(topic, name, work)
    _packages()
    code = diagnosis.run(topic, name, work, port)
    ended = "" if code is None else f"the service has ended with {code}\n"
    place = node.label(work)
    return (
        f"\n{ended}Name the cause in {place}/cause.md, mend {place}/service.mjs.\n"
        f"start it again: make exercise E={exercise}\n"
        f"check both:     make exercise E={exercise} CHECK=1"
    )


def runs(exercise: str) -> bool:
    """Whether it is a diagnosis, whose service is started. Raises NotebookError when
    there is no such exercise."""
    return diagnosis.is_one(*_known(exercise))


def _known(exercise: str) -> list[str]:
    """Its topic and its name."""
    known = content.read().exercises
    if exercise not in known:
        raise NotebookError(
            f"exercise '{exercise}': not there — choose from {', '.join(known)}"
        )
    return exercise.split("/")


def _copy_of(topic: str, name: str) -> Path:
    """The learner's copy in work/, made from the start at the first call."""
    attempt = WORK / topic / f"{name}.mjs"
    if not attempt.exists():
        attempt.parent.mkdir(parents=True, exist_ok=True)
        start = SNIPPETS / topic / "exercises" / name / "start.mjs"
        shutil.copyfile(start, attempt)
    _packages()
    return attempt


def _packages() -> None:
    """Let what stands in work/ import express."""
    packages = WORK / "node_modules"
    if not packages.is_symlink():
        packages.symlink_to(Path("..") / "snippets" / "node_modules")


def _message(case: ElementTree.Element) -> str:
    """What went wrong in a JUnit test case: its first lines; "" when it passed."""
    for kind in ("failure", "error", "skipped"):
        if (found := case.find(kind)) is not None:
            text = found.get("message", "") or kind
            text = text.replace(f"file://{ROOT}/", "").replace(f"{ROOT}/", "")
            text = re.sub(
                r"^(AssertionError|Failed|TimeoutError|lab(\.\w+)+): ", "", text
            )
            return "\n      ".join(text.split("\n")[:12])
    return ""


def stage(topic: str | None = None) -> list[Path]:
    """Copy the notebooks (one topic's, or all) to where they are executed.

    The site publishes them from there, with their results.
    """
    EXECUTED.mkdir(parents=True, exist_ok=True)
    copies = []
    for source in sorted(NOTEBOOKS.glob(f"{topic or '*'}.ipynb")):
        shutil.copyfile(source, EXECUTED / source.name)
        copies.append(EXECUTED / source.name)
    return copies
