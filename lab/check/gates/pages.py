"""What a page is made of: embeds, fences, names of our code, links, front matter."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from lab.check import Problem
from lab.check.content import Tree
from lab.check.pages import STATES, Embed, Fence, Page, embed
from lab.check.snippets import MARKER

DESCRIPTION = range(30, 156)  # characters
_TYPED = {
    "js", "javascript", "mjs", "cjs", "node", "ts", "typescript", "jsx",
    "console", "text", "txt", "output", "",
}  # fmt: skip


def parse_problems(tree: Tree) -> Iterator[Problem]:
    """What the parsers could not read."""
    for page in tree.pages.values():
        yield from page.bad
    for snippet in tree.embeddable.values():
        yield from snippet.bad


def embeds(tree: Tree) -> Iterator[Problem]:
    """An embed names a file and a section that are there, and no line numbers."""
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
            yield Problem(
                "embed-file",
                place,
                f"embeds {item.file}, which is not in snippets/",
                _instead(tree, item.file),
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


def _instead(tree: Tree, file: str) -> str:
    """How an embed of a file that is not there is put right."""
    if file.removesuffix(".out") in tree.snippets:
        return "run `make outputs`: its program is there, what it prints is not recorded"
    name = Path(file).stem.split(".")[0]
    near = [one for one in tree.embeddable if Path(one).stem.split(".")[0] == name]
    return f"did you mean {near[0]}?" if near else "fix the path or add the file"


def fences(tree: Tree) -> Iterator[Problem]:
    """JavaScript and output are embedded, and `hl_lines` is within its block."""
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
                lines = sum(length(tree, item) for item in fence.embeds) + len(typed)
                last = max((int(n) for n in re.findall(r"\d+", marked[1])), default=0)
                if lines and last > lines:
                    yield Problem(
                        "hl-lines",
                        place,
                        f"hl_lines {marked[1]!r} in a block of {lines} lines",
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


def length(tree: Tree, item: Embed) -> int:
    """How many lines of code an embed shows; 0 if it is not there."""
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
    """A name of our own code is declared in some snippet."""
    for page in tree.pages.values():
        for number, name in page.names:
            word = name.split(".")[-1]
            last = re.escape(word)
            declared = re.compile(
                rf"\b(?:function\*?|class|const|let)\s+{last}\b|^\s*(?:async\s+)?[*#]?"
                rf"{last}\s*\([^)]*\)\s*\{{|[{{,]\s*{last}\s*[,=}}:]",
                re.MULTILINE,
            )
            if not any(
                word in item.text and declared.search(item.text)
                for item in tree.snippets.values()
            ):
                yield Problem(
                    "name",
                    f"{page.path}:{number}",
                    f"`{name}` is declared in no snippet",
                    "fix the name, or write it without `#!js` if it is not ours",
                )


def front_matter(tree: Tree) -> Iterator[Problem]:
    """A page has a title, a description of a fitting length, and a known state."""
    for page in tree.pages.values():
        if any(problem.code == "front-matter" for problem in page.bad):
            continue
        for name in ("title", "description"):
            if not isinstance(page.meta.get(name), str):
                yield Problem(
                    "front-matter", f"{page.path}:1", f"no {name} in the front matter",
                    f"start the page with `---`, `{name}: …`, `---`",
                )  # fmt: skip
        first = page.part == "index"
        if first and page.meta.get("state") not in STATES:
            yield Problem(
                "front-matter", f"{page.path}:1",
                f"state {page.meta.get('state')!r} in the front matter",
                f"a topic's first page has one of {', '.join(STATES)}",
            )  # fmt: skip
        if not first and "state" in page.meta:
            yield Problem(
                "front-matter", f"{page.path}:1", "a state in the front matter",
                "delete it: a topic says its state on its first page, once",
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
    """A link within the guide leads to a page and an anchor that are there."""
    for page in tree.pages.values():
        for number, target in page.links:
            place = f"{page.path}:{number}"
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield from _outward(place, target)
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
            if not {path, actual} & (tree.files.keys() | tree.others):
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


def _outward(place: str, target: str) -> Iterator[Problem]:
    """A link that leads out says exactly where: no address that only looks like one."""
    host = re.match(r"[a-z]+://([^/?#]*)", target)
    if host and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?", host[1]):
        yield Problem(
            "link", place, f"the host of {target} is no plain name",
            "write it in lower-case ASCII, without a user: letters can look alike",
        )  # fmt: skip
    elif (
        target.startswith("http:") and host and host[1].endswith((".org", ".com", ".io"))
    ):
        yield Problem("link", place, f"{target} is not encrypted", "write https")


def navigation(tree: Tree) -> Iterator[Problem]:
    """Every page and notebook is in the navigation, and nothing else."""
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
