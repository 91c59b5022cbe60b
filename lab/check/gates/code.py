"""Snippets, their recorded output, exercises, and the shown lines that no test ran."""

import re
from collections.abc import Iterator, Mapping

from lab.check import Problem
from lab.check.content import Tree
from lab.check.gates.pages import length
from lab.check.snippets import MARKER
from lab.run import outputs

COLUMNS = 78  # of shown code
SECTION_LINES = 40


def snippets(tree: Tree) -> Iterator[Problem]:
    """A snippet is shown, fits its page, has its hardened twin, and its recorded output."""
    embedded = {item.file for _, item in tree.embeds}
    for name, snippet in tree.snippets.items():
        place = f"snippets/{name}"
        if name not in embedded:
            yield Problem(
                "snippet-unshown", place, "no page shows this snippet",
                f'embed it: `--8<-- "{name}:section"`, or delete it',
            )  # fmt: skip
        if snippet.naive and name.replace(".naive.", ".") not in tree.snippets:
            yield Problem(
                "naive-alone", place, "a naive version without its hardened twin",
                f"add {name.replace('.naive.', '.')} beside it",
            )  # fmt: skip
        mode, reason = outputs.output_mode(snippet.text)
        recorded = snippet.program and mode != "varies"
        if recorded and f"{place}.out" not in tree.files:
            yield Problem(
                "output-missing", place, "a program without recorded output",
                "run `make outputs`",
            )  # fmt: skip
        if mode:
            if mode not in outputs.OUTPUT_MODES:
                yield Problem(
                    "output-mode", place, f"unknown output mode '{mode}'",
                    f"use one of {', '.join(outputs.OUTPUT_MODES)}",
                )  # fmt: skip
            elif len(reason) < 15:
                yield Problem(
                    "output-mode", place, f"output mode '{mode}' without a reason",
                    f"write `// output: {mode} — why it may vary`",
                )  # fmt: skip
        lines = snippet.text.split("\n")
        for number in sorted(tree.shown.get(name, ())):
            if len(lines[number - 1]) > COLUMNS:
                yield Problem(
                    "line-width",
                    f"{place}:{number}",
                    f"shown line has {len(lines[number - 1])} columns",
                    f"break it: at most {COLUMNS}",
                )
    for _, item in tree.embeds:
        if item.file in tree.snippets and ((lines := length(tree, item)) > SECTION_LINES):
            yield Problem(
                "section-length",
                f"snippets/{item.file}",
                f"shows {lines} lines at a time (section '{item.section}')",
                f"split it: at most {SECTION_LINES}",
            )
    for path in tree.under("snippets/", ".out"):
        name = path.removeprefix("snippets/").removesuffix(".out")
        snippet = tree.snippets.get(name)
        varies = snippet and outputs.output_mode(snippet.text)[0] == "varies"
        if not snippet or not snippet.program or varies:
            yield Problem(
                "output-orphan", path, "output of no program",
                "delete it: its snippet is gone, renamed, a module, or varies",
            )  # fmt: skip


def modules(tree: Tree) -> Iterator[Problem]:
    """A module to take is there, is its topic's, and is not the naive one; each shows
    its code."""
    for page in tree.pages.values():
        shown = {item.file for fence in page.fences for item in fence.embeds}
        for line, name in page.modules:
            place = f"{page.path}:{line}"
            snippet = tree.snippets.get(name)
            if not snippet:
                yield Problem(
                    "module", place, f"module {name}, which is not in snippets/",
                    "write `/// module | topic/file.mjs`, a file of this topic",
                )  # fmt: skip
            elif snippet.naive or not name.startswith(f"{page.topic}/"):
                yield Problem(
                    "module", place, f"{name} is not to be taken from here",
                    "name a hardened file of this topic",
                )  # fmt: skip
            elif name not in shown:
                yield Problem(
                    "module", place, f"{name} is offered and not shown",
                    f'embed it below: `--8<-- "{name}:section"`',
                )  # fmt: skip


def exercises(tree: Tree) -> Iterator[Problem]:
    """An exercise has its files and checks, and its topic names it."""
    for key, files in sorted(tree.exercises.items()):
        topic, name = key.split("/")
        folder = f"snippets/{topic}/exercises/{name}"
        checks = f"tests/exercises/{topic}/test_{name.replace('-', '_')}.py"
        told = ("symptoms.md", "cause.md", "solution.md")  # of a diagnosis
        wanted = (
            *(told if told[0] in files else ("task.md",)),
            "start.mjs",
            "solution.mjs",
        )
        for needed in wanted:
            if needed not in files:
                yield Problem(
                    "exercise", folder, f"no {needed}",
                    f"it has {', '.join(wanted)}",
                )  # fmt: skip
        if checks not in tree.files:
            yield Problem("exercise", folder, "nothing checks it", f"add {checks}")
        elif "fails_at_start" not in tree.files[checks]:
            yield Problem(
                "exercise", checks, "no check is marked fails_at_start",
                "mark what the start must fail: `@pytest.mark.fails_at_start`",
            )  # fmt: skip
        found = tree.topics[topic].pages.values() if topic in tree.topics else ()
        if not any(f"E={key}" in tree.files[page.path] for page in found):
            yield Problem(
                "exercise", folder, "the topic does not name it",
                f"write `make exercise E={key}` under '## Next' of its answer",
            )  # fmt: skip
    for page in tree.pages.values():
        for key in re.findall(r"\bE=([\w-]+/[\w-]+)", tree.files[page.path]):
            if key not in tree.exercises:
                yield Problem(
                    "exercise", page.path, f"names exercise '{key}', which is not there",
                    f"there are: {', '.join(tree.exercises) or 'none'}",
                )  # fmt: skip


def unexecuted(tree: Tree, executed: Mapping[str, set[int]]) -> list[Problem]:
    """Displayed lines that no test executed.

    `executed` is `node.executed(...)`: line numbers by snippet. A line may be
    excused at its place by a comment `// not run here: reason` on it or above
    it; an excuse that is no longer needed is a problem too.
    """
    found = []
    for name, shown in sorted(tree.shown.items()):
        lines = tree.snippets[name].text.split("\n")
        ran = executed.get(name)
        place = f"snippets/{name}"
        if ran is None:
            found.append(
                Problem("snippet-unrun", place, "no test runs this snippet",
                        "serve or run it in a test")
            )  # fmt: skip
            continue
        for number in sorted(shown):
            text = lines[number - 1].strip()
            if not text or text.startswith(("//", "/*", "*")) or MARKER.match(text):
                continue
            above = lines[number - 2].strip() if number > 1 else ""
            excuse = "not run here:" in text or above.startswith("// not run here:")
            if number not in ran and not excuse:
                found.append(
                    Problem(
                        "line-unrun",
                        f"{place}:{number}",
                        f"no test executes the shown line `{text[:50]}`",
                        "test it, or write `// not run here: reason` above it",
                    )
                )
            elif number in ran and excuse:
                found.append(
                    Problem(
                        "excuse-stale",
                        f"{place}:{number}",
                        "a line excused from running is executed by a test",
                        "remove the comment `// not run here: …`",
                    )
                )
    return found
