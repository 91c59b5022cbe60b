"""The page gates: pure functions over the tree, fast and without a build.

`check(pages.read())` returns what is wrong with pages, snippets, notebooks, exercises,
evidence and locks, as far as it can be told without running anything.
"""

import json
import posixpath
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from lab import node
from lab.pages import (
    CODE_SPAN,
    LOCKED,
    MARKER,
    MEASURED,
    PLANNED,
    VERDICTS,
    VERSIONS,
    Embed,
    Fence,
    Page,
    Problem,
    Tree,
    drawing,
    embed,
    failing,
)

SKELETON = (
    "In thirty seconds",
    "How it works",
    "Why, and when not",
    "Show me",
    "On trial",
    "Break it",
    "In production",
    "Ask next",
    "Practise",
    "Sources",
)
COLUMNS = 78  # of shown code
SECTION_LINES = 40
DESCRIPTION = range(30, 156)  # characters
# what a chapter has when it is whole
CLAIMS, FIGURES, PAIRS, FOLLOW_UPS = 7, 4, 2, 10  # at least
WORDS = 2200  # of open text, at most
_TYPED = {
    "js", "javascript", "mjs", "cjs", "node", "ts", "typescript", "jsx",
    "console", "text", "txt", "output", "",
}  # fmt: skip
_UNIT = re.compile(
    r"(?<![\w-])\d[\d ,. ]*\s?"
    r"(?:[nmµ]?s|sec(?:ond)?s?|min(?:ute)?s?|hours?|[KMGk]i?B|bytes?|%|×|x|times"
    r"|(?:requests?|req|ops)(?:/s| per second))(?![\w-])"
)
_TYPED_VERSION = re.compile(
    r"(?P<since>\b(?i:since|before|until|from|in|after)\s+)?"
    r"(?P<name>[A-Za-z@][\w./@-]*)[ @]v?(?P<number>\d+\.\d+(?:\.\d+)?)\b"
)


def check(tree: Tree) -> list[Problem]:
    """Everything that the gates find, in the order of places."""
    found = [problem for gate in GATES for problem in gate(tree)]
    return sorted(
        set(found), key=lambda p: [_natural(part) for part in p.place.split(":")]
    )


def _natural(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


# --- gates: pages -------------------------------------------------------------


def parse_problems(tree: Tree) -> Iterator[Problem]:
    for page in tree.pages.values():
        yield from page.bad
    for snippet in tree.embeddable.values():
        yield from snippet.bad


def embeds(tree: Tree) -> Iterator[Problem]:
    for page, item in tree.embeds:
        place = f"{page.path}:{item.line}"
        if item.lines:
            yield Problem(
                "embed-range",
                place,
                f"embeds {item.file} by line numbers ({item.lines.lstrip(':')})",
                "mark a section in the file and name it: lines move",
            )
            continue
        if f"snippets/{item.file}" not in tree.files:
            near = [
                name
                for name in tree.embeddable
                if Path(name).stem.split(".")[0] == Path(item.file).stem.split(".")[0]
            ]
            yield Problem(
                "embed-file",
                place,
                f"embeds {item.file}, which is not in snippets/",
                f"did you mean {near[0]}?" if near else "fix the path or add the file",
            )
            continue
        if item.section:
            sections = (
                tree.embeddable[item.file].sections
                if item.file in tree.embeddable
                else {}
            )
            if item.section not in sections:
                yield Problem(
                    "embed-section",
                    place,
                    f"section '{item.section}' not in snippets/{item.file}",
                    f"it has {', '.join(sections) or 'no sections'}: add the marker "
                    "or fix the name",
                )


def fences(tree: Tree) -> Iterator[Problem]:
    for page in tree.pages.values():
        for fence in page.fences:
            place = f"{page.path}:{fence.line}"
            if fence.info == "embed":
                continue
            typed = [
                (number, text)
                for number, text in fence.body
                if text.strip() and not embed(text, number)
            ]
            if fence.language == "console":
                yield from _commands(tree, page, fence, typed)
                continue
            if fence.language in _TYPED and typed:
                yield Problem(
                    "fence-typed",
                    f"{page.path}:{typed[0][0]}",
                    f"code or output typed by hand in a `{fence.language or 'plain'}` "
                    "fence",
                    'put it in snippets/ and embed it: `--8<-- "topic/file.mjs:section"`',
                )
            if marked := re.search(r'hl_lines="([^"]*)"', fence.info):
                length = sum(_length(tree, item) for item in fence.embeds) + len(typed)
                last = max((int(n) for n in re.findall(r"\d+", marked[1])), default=0)
                if length and last > length:
                    yield Problem(
                        "hl-lines",
                        place,
                        f"hl_lines {marked[1]!r} in a block of {length} lines",
                        "count again: lines start at 1 at the top of the section",
                    )


def _commands(
    tree: Tree, page: Page, fence: Fence, typed: list[tuple[int, str]]
) -> Iterator[Problem]:
    """A console fence: `$ command` lines, each followed by its output embed."""
    for number, text in typed:
        if not text.lstrip().startswith("$ "):
            yield Problem(
                "fence-typed",
                f"{page.path}:{number}",
                "output typed by hand in a console fence",
                'embed the recorded one: `--8<-- "topic/file.mjs.out"`',
            )
    command = ""
    for number, text in fence.body:
        if text.lstrip().startswith("$ "):
            command = text.strip().removeprefix("$ ")
            for file in re.findall(r"\bnode (?:-\S+ )*([\w./-]+\.[mc]js)", command):
                if f"snippets/{file}" not in tree.files:
                    yield Problem(
                        "command",
                        f"{page.path}:{number}",
                        f"`{command}` runs {file}, which is not in snippets/",
                        "fix the path",
                    )
        elif (
            (item := embed(text, number))
            and item.file.endswith(".out")
            and item.file.removesuffix(".out") not in command
        ):
            yield Problem(
                "command",
                f"{page.path}:{number}",
                f"{item.file} under a command that does not run its program",
                f"write `$ node {item.file.removesuffix('.out')}` above it",
            )


def _length(tree: Tree, item: Embed) -> int:
    snippet = tree.embeddable.get(item.file)
    if not snippet:
        return 0
    lines = (
        snippet.sections.get(item.section, range(0))
        if item.section
        else range(1, snippet.text.rstrip("\n").count("\n") + 2)
    )
    text = snippet.text.split("\n")
    return sum(not MARKER.match(text[number - 1]) for number in lines)


def names(tree: Tree) -> Iterator[Problem]:
    for page in tree.pages.values():
        for number, name in page.names:
            last = re.escape(name.split(".")[-1])
            declared = re.compile(
                rf"\b(?:function\*?|class|const|let)\s+{last}\b|^\s*(?:async\s+)?[*#]?"
                rf"{last}\s*\([^)]*\)\s*\{{|[{{,]\s*{last}\s*[,=}}:]",
                re.MULTILINE,
            )
            if not any(declared.search(item.text) for item in tree.snippets.values()):
                yield Problem(
                    "name",
                    f"{page.path}:{number}",
                    f"`{name}` is declared in no snippet",
                    "fix the name, or write it without `#!js` if it is not ours",
                )


def claims(tree: Tree) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for page in tree.pages.values():
        for claim in page.claims:
            place = f"{page.path}:{claim.line}"
            name = claim.options.get("id", "")
            if not claim.heard:
                yield Problem(
                    "claim-form", place, "claim without what is heard",
                    "write `/// claim | What people say`",
                )  # fmt: skip
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                yield Problem(
                    "claim-form", place, f"claim id {name!r} is not a name",
                    "add `    id: lower-case-words` under its first line",
                )  # fmt: skip
            if claim.options.get("verdict") not in VERDICTS:
                yield Problem(
                    "claim-form",
                    place,
                    f"claim verdict {claim.options.get('verdict')!r}",
                    f"choose one of {', '.join(VERDICTS)}",
                )
            if unknown := set(claim.options) - {"id", "verdict", "source"}:
                yield Problem(
                    "claim-form", place, f"claim option {', '.join(sorted(unknown))}",
                    "a claim has id, verdict and source",
                )  # fmt: skip
            said = claim.options.get("source", "")
            if re.search(r"\]\(|https?:", said) and not claim.source:
                yield Problem(
                    "claim-form", place, f"claim source {said!r}",
                    "write [name](https://…), version or commit: what it says",
                )  # fmt: skip
            if claim.source and claim.options.get("verdict") == "right":
                yield Problem(
                    "claim-form", place, "a source that is right is no erratum",
                    "list it under the chapter's sources instead",
                )  # fmt: skip
            if not claim.body.strip():
                yield Problem(
                    "claim-form", place, "claim without a finding",
                    "say in its first paragraph what the proof shows",
                )  # fmt: skip
            if name and claim.key in seen:
                yield Problem(
                    "claim-doubled", place, f"claim {claim.key} is also at {seen[claim.key]}",
                    "give it an id of its own",
                )  # fmt: skip
            seen.setdefault(claim.key, place)
            if name and claim.key not in tree.proofs and claim.key not in tree.evidence:
                yield Problem(
                    "claim-unproved",
                    place,
                    f"claim {claim.key} has no proof",
                    f'mark a test `@pytest.mark.claim("{claim.key}")`, or record '
                    "evidence of that name",
                )
            text = MEASURED.sub(" ", CODE_SPAN.sub(" ", claim.body))
            for offset, line in enumerate(text.split("\n")):
                for number in _UNIT.finditer(line):
                    yield Problem(
                        "claim-number",
                        place,
                        f"claim {claim.key} has the typed number "
                        f"'{number[0].strip()}' (paragraph line {offset + 1})",
                        "record it and write {measured topic/key}",
                    )
    for key, tests in tree.proofs.items():
        if key not in seen:
            for path, number, name in tests:
                yield Problem(
                    "proof-unclaimed",
                    f"{path}:{number}",
                    f"{name} proves {key}, which no page claims",
                    "fix the key, or add the claim block",
                )


def references(tree: Tree) -> Iterator[Problem]:
    """Measured values, figures and versions that a page names."""
    used = {claim.key for page in tree.pages.values() for claim in page.claims}
    for page in tree.pages.values():
        for number, key in page.measured:
            used.add(key)
            entry = tree.evidence.get(key)
            if entry is None or "value" not in entry:
                yield Problem(
                    "measured",
                    f"{page.path}:{number}",
                    f"no measured value '{key}' in docs/evidence/",
                    "fix the key, or record it with `make evidence`",
                )
        for number, key in page.figures:
            used.add(key)
            path = drawing(tree, key)
            if path is None:
                yield Problem(
                    "figure",
                    f"{page.path}:{number}",
                    f"no figure '{key}' in docs/evidence/ or docs/assets/",
                    "fix the key, or record it with `make evidence`",
                )
            elif 'aria-label="' not in tree.files[path]:
                yield Problem(
                    "figure",
                    path,
                    "a drawing without text alternative",
                    'add role="img" and aria-label="what it shows" to its <svg>',
                )
        for number, name in page.versions:
            if name not in tree.versions:
                yield Problem(
                    "version",
                    f"{page.path}:{number}",
                    f"no locked version of '{name}'",
                    "use the name of a package in a lock file, or `node`",
                )
    for key in sorted(tree.evidence.keys() - used):
        topic = key.split("/")[0]
        yield Problem(
            "evidence-unused",
            f"docs/evidence/{topic}.json",
            f"'{key}' is shown nowhere",
            "show it, or stop recording it and run `make evidence`",
        )


def typed_versions(tree: Tree) -> Iterator[Problem]:
    known = {name.lower(): name for name in tree.versions} | {"node.js": "node"}
    for page in tree.pages.values():
        for number, text in page.prose:
            for found in _TYPED_VERSION.finditer(text):
                name = known.get(found["name"].lower())
                if name and not found["since"]:
                    yield Problem(
                        "version-typed",
                        f"{page.path}:{number}",
                        f"version typed by hand: '{found[0].strip()}'",
                        f"write {{version {name}}}; for history, 'since "
                        f"{found['name']} {found['number']}'",
                    )


def skeleton(tree: Tree) -> Iterator[Problem]:
    for page in tree.chapters.values():
        have = [text for _, level, text, _ in page.headings if level == 2]
        for heading in SKELETON:
            if heading not in have:
                yield Problem(
                    "skeleton",
                    f"{page.path}:1",
                    f"no heading '## {heading}'",
                    "a chapter has all of: " + " · ".join(SKELETON),
                )
        known = [text for text in have if text in SKELETON]
        if known != sorted(known, key=SKELETON.index):
            yield Problem(
                "skeleton",
                f"{page.path}:1",
                "the chapter's headings are out of order",
                "the order is: " + " · ".join(SKELETON),
            )
        if sum(level == 1 for _, level, _, _ in page.headings) != 1:
            yield Problem(
                "skeleton", f"{page.path}:1", "a chapter has one `# ` heading",
                "put its interview question there",
            )  # fmt: skip


def front_matter(tree: Tree) -> Iterator[Problem]:
    for page in tree.pages.values():
        if any(problem.code == "front-matter" for problem in page.bad):
            continue
        for name in ("title", "description"):
            if not isinstance(page.meta.get(name), str):
                yield Problem(
                    "front-matter", f"{page.path}:1", f"no {name} in the front matter",
                    f"start the page with `---`, `{name}: …`, `---`",
                )  # fmt: skip
        length = len(str(page.meta.get("description", "")))
        if page.meta.get("description") and length not in DESCRIPTION:
            yield Problem(
                "front-matter",
                f"{page.path}:1",
                f"description has {length} characters",
                f"one sentence of {DESCRIPTION.start} to {DESCRIPTION.stop - 1}",
            )


def links(tree: Tree) -> Iterator[Problem]:
    for page in tree.pages.values():
        for number, target in page.links:
            place = f"{page.path}:{number}"
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            file, _, anchor = target.partition("#")
            if file.startswith("/"):
                yield Problem(
                    "link", place, f"absolute link {target}",
                    "link relative to the page: the site may live below a path",
                )  # fmt: skip
                continue
            path = (
                posixpath.normpath(posixpath.join(posixpath.dirname(page.path), file))
                if file
                else page.path
            )
            # notebooks come into the site as docs/notebooks/
            actual = path.replace("docs/notebooks/", "notebooks/", 1)
            if path not in tree.files and actual not in tree.files:
                yield Problem(
                    "link", place, f"dead link {target}", "fix the path, from this page"
                )
            elif anchor and path in tree.pages and anchor not in tree.pages[path].anchors:
                near = ", ".join(
                    sorted(a for a in tree.pages[path].anchors if a[:4] == anchor[:4])
                )
                yield Problem(
                    "anchor",
                    place,
                    f"no anchor #{anchor} in {path}",
                    f"did you mean {near}?" if near else "use the heading's own id",
                )


def navigation(tree: Tree) -> Iterator[Problem]:
    nav = set(tree.nav)
    sources = {path.removeprefix("docs/") for path in tree.pages}
    sources |= set(tree.under("notebooks/", ".ipynb"))
    for path in sorted(sources - nav):
        yield Problem(
            "nav", f"docs/{path}" if path.endswith(".md") else path,
            "not in the navigation", "add it under `nav:` in mkdocs.yml",
        )  # fmt: skip
    for path in sorted(nav - sources):
        if not re.match(r"https?:", path):
            yield Problem(
                "nav", "mkdocs.yml", f"nav names {path}, which does not exist",
                "fix the path or remove the entry",
            )  # fmt: skip


def planned(tree: Tree) -> Iterator[Problem]:
    """A question stands on the home page until its chapter is there."""
    home = "docs/index.md"
    for number, line in enumerate(tree.files.get(home, "").split("\n"), 1):
        if (found := PLANNED.match(line)) and found[1] in tree.chapters:
            yield Problem(
                "planned", f"{home}:{number}",
                f"'{found[1]}' is planned, and there is a chapter of that name",
                "delete the line: the question is the chapter's heading",
            )  # fmt: skip


def changelog(tree: Tree) -> Iterator[Problem]:
    """Entries begin with their date, newest first: the feed is made of them."""
    page = tree.pages.get("docs/changelog.md")
    newest = "9999"
    for line, level, text, _ in page.headings if page else []:
        if level != 2:
            continue
        date = re.match(r"(\d{4}-\d\d-\d\d): \S", text)
        if not date or date[1] > newest:
            yield Problem(
                "changelog", f"{page.path}:{line}",
                "entry out of order" if date else "entry without its date",
                "write `## 2026-01-31: What changed`, the newest first",
            )  # fmt: skip
        newest = date[1] if date else newest


def bijection(tree: Tree) -> Iterator[Problem]:
    """One topic, one slug, four places."""
    places: dict[str, Callable[[str], str]] = {
        "page": lambda slug: f"docs/chapters/{slug}.md",
        "snippets": lambda slug: f"snippets/{slug}/",
        "notebook": lambda slug: f"notebooks/{slug}.ipynb",
        "test": lambda slug: f"tests/chapters/test_{slug.replace('-', '_')}.py",
    }
    have = {
        "page": set(tree.chapters),
        "snippets": {name.split("/")[0] for name in tree.snippets},
        "notebook": {Path(p).stem for p in tree.under("notebooks/", ".ipynb")},
        "test": {
            Path(p).stem.removeprefix("test_").replace("_", "-")
            for p in tree.under("tests/chapters/", ".py")
            if Path(p).stem.startswith("test_")
        },
    }
    for slug in sorted(set().union(*have.values())):
        there = [kind for kind in places if slug in have[kind]]
        for kind, place in places.items():
            if slug not in have[kind]:
                yield Problem(
                    "topic",
                    places[there[0]](slug),
                    f"topic '{slug}' has no {kind}",
                    f"add {place(slug)}, or fix the slug here",
                )


# --- gates: code and output ---------------------------------------------------


def snippets(tree: Tree) -> Iterator[Problem]:
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
        mode, reason = node.output_mode(snippet.text)
        recorded = snippet.program and mode != "varies"
        if recorded and f"{place}.out" not in tree.files:
            yield Problem(
                "output-missing", place, "a program without recorded output",
                "run `make outputs`",
            )  # fmt: skip
        if mode:
            if mode not in node.OUTPUT_MODES:
                yield Problem(
                    "output-mode", place, f"unknown output mode '{mode}'",
                    f"use one of {', '.join(node.OUTPUT_MODES)}",
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
        if item.file in tree.snippets and (
            (length := _length(tree, item)) > SECTION_LINES
        ):
            yield Problem(
                "section-length",
                f"snippets/{item.file}",
                f"shows {length} lines at a time (section '{item.section}')",
                f"split it: at most {SECTION_LINES}",
            )
    for path in tree.under("snippets/", ".out"):
        name = path.removeprefix("snippets/").removesuffix(".out")
        snippet = tree.snippets.get(name)
        varies = snippet and node.output_mode(snippet.text)[0] == "varies"
        if not snippet or not snippet.program or varies:
            yield Problem(
                "output-orphan", path, "output of no program",
                "delete it: its snippet is gone, renamed, a module, or varies",
            )  # fmt: skip


def exercises(tree: Tree) -> Iterator[Problem]:
    for key, files in sorted(tree.exercises.items()):
        topic, name = key.split("/")
        folder = f"snippets/{topic}/exercises/{name}"
        checks = f"tests/exercises/{topic}/test_{name.replace('-', '_')}.py"
        for needed in ("task.md", "start.mjs", "solution.mjs"):
            if needed not in files:
                yield Problem(
                    "exercise", folder, f"no {needed}",
                    "an exercise has task.md, start.mjs, solution.mjs",
                )  # fmt: skip
        if checks not in tree.files:
            yield Problem("exercise", folder, "nothing checks it", f"add {checks}")
        elif "fails_at_start" not in tree.files[checks]:
            yield Problem(
                "exercise", checks, "no check is marked fails_at_start",
                "mark what the start must fail: `@pytest.mark.fails_at_start`",
            )  # fmt: skip
        page = tree.chapters.get(topic)
        text = tree.files[page.path] if page else ""
        if f"E={key}" not in text:
            yield Problem(
                "exercise", folder, "the chapter does not name it",
                f"write `make exercise E={key}` under '## Practise'",
            )  # fmt: skip
    for page in tree.pages.values():
        for key in re.findall(r"\bE=([\w-]+/[\w-]+)", tree.files[page.path]):
            if key not in tree.exercises:
                yield Problem(
                    "exercise", page.path, f"names exercise '{key}', which is not there",
                    f"there are: {', '.join(tree.exercises) or 'none'}",
                )  # fmt: skip


# --- gates: notebooks, evidence, locks ----------------------------------------

_CELL_TRAPS = (
    (r"^\s*!|get_ipython\(\)\.system", "a shell line passes when it fails",
     "use lab.node, or a %%node cell"),
    (r"^%%(javascript|js|bash|sh|script)\b", "this cell magic passes when it fails",
     "use a %%node cell"),
    (r"\bos\.system\(|\bsubprocess\.(?!run\()\w+\(|\bPopen\(", "a process that nobody ends",
     "use lab.node.run or lab.node.serve"),
    (r"\bsubprocess\.run\((?!.*check=True)", "subprocess.run without check=True",
     "add check=True, or use lab.node.run"),
    (r"(?:/home/|/root/|/Users/|\b[A-Z]:\\\\)", "an absolute path or user name",
     "start from lab.ROOT"),
)  # fmt: skip


def notebooks(tree: Tree) -> Iterator[Problem]:
    for path in tree.under("notebooks/", ".ipynb"):
        try:
            book = json.loads(tree.files[path])
            cells = book["cells"]
        except (ValueError, KeyError, TypeError):
            yield Problem(
                "notebook", path, "not a notebook (JSON with cells)",
                "restore it from git",
            )  # fmt: skip
            continue
        if book.get("metadata", {}).get("execution", {}).get("allow_errors"):
            yield Problem(
                "notebook-trap", path, "its metadata allows errors",
                "remove execution.allow_errors: a failing cell must fail",
            )  # fmt: skip
        for index, cell in enumerate(cells, 1):
            place = f"{path}:{index}"
            source = "".join(cell.get("source", []))
            if cell.get("outputs") or cell.get("execution_count"):
                yield Problem(
                    "notebook-output", place, f"cell {index} is committed with its output",
                    "run `nbstripout` on it (a git hook does it)",
                )  # fmt: skip
            tags = set(cell.get("metadata", {}).get("tags", []))
            if bad := tags & {"raises-exception", "skip-execution"}:
                yield Problem(
                    "notebook-trap", place, f"cell {index} is tagged {', '.join(bad)}",
                    "remove the tag: a failing cell must fail",
                )  # fmt: skip
            for pattern, what, mend in _CELL_TRAPS:
                if "path" not in what and cell.get("cell_type") != "code":
                    continue
                if found := re.search(pattern, source, re.MULTILINE):
                    yield Problem(
                        "notebook-trap", place,
                        f"cell {index} has {found[0].strip()!r}: {what}", mend,
                    )  # fmt: skip


def evidence(tree: Tree) -> Iterator[Problem]:
    for path in tree.under("docs/evidence/", ".json"):
        try:
            json.loads(tree.files[path])
        except ValueError as error:
            yield Problem(
                "evidence", path, f"not JSON: {error}", "run `make evidence` again"
            )
    for key, entry in tree.evidence.items():
        place = f"docs/evidence/{key.split('/')[0]}.json"
        value = entry.get("value")
        above, below = entry.get("above"), entry.get("below")
        if isinstance(value, int | float) and (
            (above is not None and value <= above)
            or (below is not None and value >= below)
        ):
            yield Problem(
                "evidence", place, f"'{key}' is {value:g}, outside its own bounds",
                "evidence is not edited: run `make evidence`",
            )  # fmt: skip
        for name, version in entry.get("versions", {}).items():
            locked = tree.versions.get(name)
            if locked and locked.split(".")[0] != version.split(".")[0]:
                yield Problem(
                    "evidence-stale",
                    place,
                    f"'{key}' was recorded with {name} {version}, locked is {locked}",
                    f"run `make evidence TOPIC={key.split('/')[0]}`",
                )


def matrix(tree: Tree) -> Iterator[Problem]:
    """Each claim that fails with other versions has a note, and nothing else has."""
    try:
        json.loads(tree.files.get(VERSIONS, "{}"))
    except ValueError as error:
        yield Problem(
            "versions", VERSIONS, f"not JSON: {error}", "run `make versions` again"
        )
        return
    for name, version in tree.matrix.get("columns", {}).get(LOCKED, {}).items():
        locked = tree.versions.get(name)
        if locked and locked.split(".")[0] != version.split(".")[0]:
            yield Problem(
                "versions-stale", VERSIONS,
                f"was made with {name} {version}, locked is {locked}",
                "run `make versions`",
            )  # fmt: skip
    made = {claim.key for page in tree.pages.values() for claim in page.claims}
    found = {key: columns for key in tree.matrix.get("claims", {}) if
             (columns := failing(tree, key))}  # fmt: skip
    for key in sorted(found.keys() - made):
        yield Problem(
            "versions-stale", VERSIONS, f"'{key}' fails, and no page claims it",
            "run `make versions`",
        )  # fmt: skip
    noted: set[str] = set()
    for page in tree.pages.values():
        for note in page.differences:
            place = f"{page.path}:{note.line}"
            told = set(note.columns)
            if note.key in noted:
                yield Problem(
                    "note-doubled", place, f"a second note on {note.key}", "join the two"
                )
            elif note.key not in found:
                yield Problem(
                    "note-unfounded", place,
                    f"a note on {note.key}, which fails in no column of {VERSIONS}",
                    "remove it, or fix the key",
                )  # fmt: skip
            elif told != (columns := set(found[note.key])):
                yield Problem(
                    "note-columns", place,
                    f"{note.key} fails in {', '.join(sorted(columns))}; the note is on "
                    f"{', '.join(sorted(told)) or 'none'}",
                    "list each column that fails behind `answer:`, where the answer is "
                    "another one, or behind `proof:`, where only the proof cannot run",
                )  # fmt: skip
            if not note.body.strip():
                yield Problem(
                    "note-columns", place, f"the note on {note.key} is empty",
                    "say what differs there, and why",
                )  # fmt: skip
            noted.add(note.key)
    for key in sorted((found.keys() & made) - noted):
        yield Problem(
            "note-missing", VERSIONS,
            f"'{key}' fails in {', '.join(found[key])}, and no page says why",
            f"find out, and write `/// differs | {key}` on docs/versions.md",
        )  # fmt: skip


def locks(tree: Tree) -> Iterator[Problem]:
    files = tree.files
    if {"pyproject.toml", "uv.lock"} <= files.keys():
        project = tomllib.loads(files["pyproject.toml"])
        lock = tomllib.loads(files["uv.lock"])
        name = project["project"]["name"]
        ours = next((p for p in lock["package"] if p["name"] == name), {})
        meta = ours.get("metadata", {})
        wanted = _requirements(project["project"].get("dependencies", []))
        groups = project.get("dependency-groups", {})
        have = _locked_requirements(meta.get("requires-dist", []))
        stale = wanted != have
        for group in groups:
            listed = meta.get("requires-dev", {}).get(group, [])
            stale |= _group(groups, group) != _locked_requirements(listed)
        if stale:
            yield Problem(
                "lock-stale", "uv.lock", "is not the lock of pyproject.toml",
                "run `uv lock` and commit both",
            )  # fmt: skip
    package = files.get("snippets/package.json")
    lock_text = files.get("snippets/package-lock.json")
    if package and lock_text:
        wanted, have = json.loads(package), json.loads(lock_text)["packages"][""]
        for kind in ("dependencies", "devDependencies", "engines"):
            if wanted.get(kind, {}) != have.get(kind, {}):
                yield Problem(
                    "lock-stale", "snippets/package-lock.json",
                    f"is not the lock of package.json ({kind} differ)",
                    "run `npm install` in snippets/ and commit both",
                )  # fmt: skip


def _requirements(lines: Iterable[str]) -> Counter:
    """(name, specifier parts) of requirement lines; markers are not looked at."""
    found = Counter()
    for line in lines:
        name, spec = re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*([^;]*)", line).groups()
        parts = frozenset(part.strip() for part in spec.split(",") if part.strip())
        found[name.lower().replace("_", "-"), parts] += 1
    return found


def _locked_requirements(items: list[dict]) -> Counter:
    return _requirements(f"{item['name']}{item.get('specifier', '')}" for item in items)


def _group(groups: dict, name: str) -> Counter:
    found: Counter = Counter()
    for item in groups[name]:
        if isinstance(item, dict):
            found += _group(groups, item["include-group"])
        else:
            found += _requirements([item])
    return found


GATES: tuple[Callable[[Tree], Iterator[Problem]], ...] = (
    parse_problems, embeds, fences, names, claims, references, typed_versions,
    skeleton, front_matter, links, navigation, planned, changelog, bijection, snippets,
    exercises, notebooks, evidence, matrix, locks,
)  # fmt: skip


# --- is a chapter whole? ------------------------------------------------------


def missing(tree: Tree, topic: str) -> list[Problem]:
    """What the chapter still lacks, as CHAPTER.md counts.

    Not part of `check`: a chapter that is being written passes the gates long
    before it is whole. `python -m lab test` asks for both.
    """
    page = tree.chapters[topic]
    found = [
        problem
        for gate in (_counts, _follow_ups, _diagram, _practice, _open_text)
        for problem in gate(tree, page)
    ]
    return found + list(_to_write(tree, topic))


def _section(page: Page, title: str) -> range:
    """The lines below a heading of the skeleton, up to the next one."""
    tops = [(line, text) for line, level, text, _ in page.headings if level == 2]
    for index, (line, text) in enumerate(tops):
        if text == title:
            last = tops[index + 1][0] if index + 1 < len(tops) else sys.maxsize
            return range(line + 1, last)
    return range(0)  # the skeleton's gate reports it


def _place(page: Page, title: str) -> str:
    return f"{page.path}:{max(_section(page, title).start - 1, 1)}"


def _counts(tree: Tree, page: Page) -> Iterator[Problem]:
    if len(page.claims) < CLAIMS:
        yield Problem(
            "few-claims", _place(page, "On trial"),
            f"{len(page.claims)} of at least {CLAIMS} claims",
            "add a block `/// claim | What people say`, and its proof",
        )  # fmt: skip
    figures = {key for _, key in page.figures if not key.endswith(".svg")}
    if len(figures) < FIGURES:
        yield Problem(
            "few-figures", f"{page.path}:1",
            f"{len(figures)} of at least {FIGURES} figures",
            "publish one from the notebook, `make evidence`, then `/// figure | key`",
        )  # fmt: skip
    here = _section(page, "Break it")
    files = {
        item.file for owner, item in tree.embeds if owner is page and item.line in here
    }
    pairs = {
        file
        for file in files
        if ".naive." in file and file.replace(".naive.", ".") in files
    }
    if len(pairs) < PAIRS:
        yield Problem(
            "few-pairs", _place(page, "Break it"),
            f"{len(pairs)} of at least {PAIRS} pairs of a naive version and its twin",
            "embed both here: name.naive.mjs under attack, then name.mjs",
        )  # fmt: skip


def _follow_ups(tree: Tree, page: Page) -> Iterator[Problem]:
    here = _section(page, "Ask next")
    asked = [
        item
        for item in page.details
        if item.line in here and item.options.get("type") == "question"
    ]
    if len(asked) < FOLLOW_UPS:
        yield Problem(
            "few-follow-ups", _place(page, "Ask next"),
            f"{len(asked)} of at least {FOLLOW_UPS} follow-ups",
            "add a block `/// details | The question?` with `    type: question`",
        )  # fmt: skip
    for item in asked:
        if not item.id:
            yield Problem(
                "follow-up-id", f"{page.path}:{item.line}",
                f"nobody can link to the follow-up '{item.title}'",
                "add `    attrs: {id: lower-case-words}` under its first line",
            )  # fmt: skip


def _diagram(tree: Tree, page: Page) -> Iterator[Problem]:
    here = _section(page, "How it works")
    if not any(line in here and key.endswith(".svg") for line, key in page.figures):
        yield Problem(
            "no-diagram", _place(page, "How it works"), "no diagram of the mechanism",
            "draw docs/assets/name.svg and show it: `/// figure | name.svg`",
        )  # fmt: skip


def _practice(tree: Tree, page: Page) -> Iterator[Problem]:
    topic = page.topic
    if not any(key.startswith(f"{topic}/") for key in tree.exercises):
        yield Problem(
            "no-exercise", f"snippets/{topic}/exercises/", "no exercise",
            "add a folder with task.md, start.mjs and solution.mjs",
        )  # fmt: skip
    if not any(
        node.is_app(snippet.text) and not snippet.naive
        for name, snippet in tree.snippets.items()
        if name.startswith(f"{topic}/")
    ):
        yield Problem(
            "no-module", f"snippets/{topic}/", "no module that the service can use",
            "export a factory: `export function createApp(deps) {`",
        )  # fmt: skip


def _open_text(tree: Tree, page: Page) -> Iterator[Problem]:
    text = "\n".join(line for _, line in page.open)
    text = re.sub(
        r"<svg\b.*?</svg>|<!--.*?-->|</?[a-z][^<>]*>", " ", text, flags=re.DOTALL
    )
    words = sum(bool(re.search(r"\w", word)) for word in text.split())
    if words > WORDS:
        yield Problem(
            "long-text", f"{page.path}:1",
            f"{words} words of open text, at most {WORDS}",
            "cut, or fold what only some ask for into a follow-up",
        )  # fmt: skip


def _to_write(tree: Tree, topic: str) -> Iterator[Problem]:
    """The word that the template puts wherever something is to be written."""
    mine = (
        f"docs/chapters/{topic}.md",
        f"notebooks/{topic}.ipynb",
        f"tests/chapters/test_{topic.replace('-', '_')}.py",
        f"tests/exercises/{topic}/",
        f"snippets/{topic}/",
    )
    for path in tree.under("", (".md", ".mjs", ".cjs", ".ipynb", ".py")):
        if path.startswith(mine):
            for number, line in enumerate(tree.files[path].split("\n"), 1):
                if re.search(r"\bTODO\b", line):
                    yield Problem(
                        "to-write", f"{path}:{number}",
                        f"still to be written: {_excerpt(line)}", "write it",
                    )  # fmt: skip


def _excerpt(line: str) -> str:
    text = line[line.index("TODO") :].removesuffix('",').removesuffix("\\n")
    return text if len(text) <= 60 else f"{text[:59].rstrip()}…"


# --- the one gate that needs a run --------------------------------------------


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
