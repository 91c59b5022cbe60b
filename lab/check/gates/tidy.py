"""Small faults that nothing else sees: doubled ids, sections that no page shows, exports
that nobody uses, titles too long, a source's state against its link, hints that are the
answer."""

import re
from collections.abc import Iterator

from lab.check import Problem
from lab.check.content import Tree
from lab.check.pages import Page

# characters, at most: a search result, a line of a page, an entry of a list
TITLE, HEADING, HEARD, ASKED = 40, 80, 100, 150
_EXPORTED = re.compile(
    r"^export (?:async )?(?:function\*?|const|class|let) (\w+)", re.MULTILINE
)
_COMMENT = re.compile(r"//.*$|/\*.*?\*/", re.MULTILINE | re.DOTALL)
_IDENTIFIER = re.compile(r"\b[a-z]+[A-Z]\w*\b")


def ids(tree: Tree) -> Iterator[Problem]:
    """An id stands once on a page."""
    for page in tree.pages.values():
        seen: set[str] = set()
        for line, name in _ids(page):
            if name in seen:
                yield Problem(
                    "id-doubled", f"{page.path}:{line}", f"the id '{name}' stands twice",
                    "give it another one: a link leads to the first",
                )  # fmt: skip
            seen.add(name)


def _ids(page: Page) -> list[tuple[int, str]]:
    return sorted(
        [(line, anchor) for line, _, _, anchor in page.headings]
        + [(each.line, each.id) for each in page.details if each.id]
        + [(each.line, each.id) for each in page.questions if each.id]
        + [(c.line, f"claim-{c.options['id']}") for c in page.claims if "id" in c.options]
    )


def titles(tree: Tree) -> Iterator[Problem]:
    """Titles, headings and questions fit where they are listed."""
    for page in tree.pages.values():
        found = [(1, "title", page.title, TITLE)]
        found += [(line, "heading", text, HEADING) for line, _, text, _ in page.headings]
        found += [(each.line, "claim", each.heard, HEARD) for each in page.claims]
        found += [(each.line, "question", each.asked, ASKED) for each in page.questions]
        for line, what, text, most in found:
            if len(text) > most:
                yield Problem(
                    "title-long", f"{page.path}:{line}",
                    f"a {what} of {len(text)} characters", f"say it in {most}",
                )  # fmt: skip


def unused(tree: Tree) -> Iterator[Problem]:
    """Each section of a snippet is shown, and somebody uses each export."""
    shown = {(item.file, item.section) for _, item in tree.embeds}
    books = "".join(tree.files[path] for path in tree.under("notebooks/", ".ipynb"))
    users = tree.under("tests/", (".py", ".mjs", ".cjs"))
    users += tree.under("snippets/", (".mjs", ".cjs", ".ts")) + tree.under(
        "notebooks/", ".ipynb"
    )
    for name, snippet in tree.snippets.items():
        for section, lines in snippet.sections.items():
            by_notebook = f'\\"{name}\\", \\"{section}\\"' in books
            if (
                (name, section) not in shown
                and (name, None) not in shown
                and not by_notebook
            ):
                yield Problem(
                    "section-unshown", f"snippets/{name}:{lines.start - 1}",
                    f"no page shows the section '{section}'",
                    f'embed it: `--8<-- "{name}:{section}"`, or take its markers away',
                )  # fmt: skip
        topic = f"/{name.split('/')[0]}/"
        for export in _EXPORTED.findall(snippet.text):
            near = sorted(users, key=lambda path: topic not in path) if export else ()
            if not _used(tree, export, f"snippets/{name}", near):
                yield Problem(
                    "export-unused", f"snippets/{name}", f"nobody uses its export {export}",
                    "take `export` away, or use it",
                )  # fmt: skip


def _used(tree: Tree, name: str, own: str, paths: list[str]) -> bool:
    if name == "createApp":  # `make serve`'s and the tests' way in
        return True
    word = re.compile(rf"\b{re.escape(name)}\b")
    return any(
        name in tree.files[path] and word.search(tree.files[path])
        for path in paths
        if path != own
    )


def errata(tree: Tree) -> Iterator[Problem]:
    """The state of a source that is quoted is that of its link."""
    for claim in tree.claims.values():
        if not claim.source:
            continue
        url, state = claim.source["url"], claim.source["state"]
        commit = re.search(r"/(?:blob|tree|commit)/([0-9a-f]{40})(?:/|$)", url)
        version = re.search(r"/v/([\w.-]+)$|@(\d[\w.-]*)", url)
        said = re.fullmatch(r"as of ([0-9a-f]{7,40})", state)
        wrong = (
            (commit and not (said and commit[1].startswith(said[1])))
            or (said and not commit)
            or (version and state != f"version {version[1] or version[2]}")
        )
        if wrong:
            yield Problem(
                "erratum-state", f"{claim.path}:{claim.line}",
                f"its source was read '{state}', and the link leads elsewhere",
                "link the version or the commit that was read, and name it",
            )  # fmt: skip


def hints(tree: Tree) -> Iterator[Problem]:
    """Neither the task, nor a hint, nor a comment of the start is the answer."""
    for key, files in tree.exercises.items():
        topic, name = key.split("/")
        folder = f"snippets/{topic}/exercises/{name}"
        if not {"start.mjs", "solution.mjs"} <= files:
            continue
        start, solution = (
            tree.files[f"{folder}/{file}.mjs"] for file in ("start", "solution")
        )
        checks = f"tests/exercises/{topic}/test_{name.replace('-', '_')}.py"
        told = {
            f"{folder}/task.md": tree.files.get(f"{folder}/task.md", ""),
            checks: " ".join(
                re.findall(r'"""(.*?)"""', tree.files.get(checks, ""), re.DOTALL)
            ),
            f"{folder}/start.mjs": " ".join(_COMMENT.findall(start)),
        }
        given = set(_IDENTIFIER.findall(_COMMENT.sub("", start)))
        answer = set(_IDENTIFIER.findall(_COMMENT.sub("", solution))) - given
        lines = {_bare(line) for line in _COMMENT.sub("", solution).split("\n")}
        lines -= {_bare(line) for line in _COMMENT.sub("", start).split("\n")}
        for path, text in told.items():
            names = sorted(answer & set(_IDENTIFIER.findall(text)))
            bare = _bare(text)
            if not names:
                names = [
                    line for line in sorted(lines) if len(line) > 15 and line in bare
                ]
            if names:
                yield Problem(
                    "hint", path, f"gives the answer away: {names[0]}",
                    "say what is wrong, or what to look for",
                )  # fmt: skip


def _bare(text: str) -> str:
    return re.sub(r"\s|^\s*//", "", text)
