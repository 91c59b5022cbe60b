"""What a Markdown page of the guide says, parsed: headings, fences, claims, figures, links.

The gates check it, and the site's Markdown extension renders from the same parsing."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from markdown.extensions.toc import slugify, unique

from lab.check import Problem

VERDICTS = ("right", "wrong", "depends")
DRAFT = "draft"  # what a page says as its `state` until its topic is whole
# what a failure with other versions means: the answer is another one there, or it is
# the same and its proof cannot run
MEANINGS = ("answer", "proof")
EMBED = re.compile(r'^\s*--8<--\s+"([^"]*)"\s*$')
MEASURED = re.compile(r"\{measured ([^}\s]+)\}")
# a claim's source that can be looked up
SOURCE = re.compile(
    r"\[(?P<name>[^\]]+)\]\((?P<url>https://[^)\s]+)\), (?P<state>[^:]+): (?P<says>.+)"
)
VERSION = re.compile(r"\{version ([^}\s]+)\}")
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(.*)$")
_BLOCK = re.compile(r"^\s*(/{3,})\s*([\w-]+)\s*(?:\|\s*(.*?))?\s*$")
_BLOCK_END = re.compile(r"^\s*(/{3,})\s*$")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
CODE_SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_REFERENCE = re.compile(r"^\s*\[[^\]^]+\]:\s*(\S+)")
_ID = re.compile(r"\{[^}]*#([\w-]+)[^}]*\}\s*$")
_RANGE = re.compile(r"^(.*\.[\w]+)((?::-?\d+)+(?:,.*)?)$")


@dataclass(frozen=True)
class Embed:
    """`--8<-- "file:section"` on a line of a page; `lines` if by range."""

    file: str
    section: str | None
    lines: str | None
    line: int


@dataclass
class Fence:
    """A fenced code block: `info` is all that stands behind the backticks."""

    line: int
    info: str
    body: list[tuple[int, str]] = field(default_factory=list)

    @property
    def language(self) -> str:
        """Its language in lower case, empty if it names none."""
        words = re.sub(r"[{}]", " ", self.info).split()
        return words[0].lstrip(".").lower() if words and "=" not in words[0] else ""

    @property
    def embeds(self) -> list[Embed]:
        """The embeds that stand in it."""
        found = (embed(text, line) for line, text in self.body)
        return [item for item in found if item]


@dataclass
class Claim:
    """A claim block. `body` is its Markdown text without the options."""

    topic: str
    heard: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def key(self) -> str:
        """`topic/id`: the key of its proofs and evidence."""
        return f"{self.topic}/{self.options.get('id', '')}"

    @property
    def source(self) -> re.Match | None:
        """Its source, if that is one that can be looked up: groups name, url, state
        (a version, a commit) and says, our paraphrase."""
        return SOURCE.fullmatch(self.options.get("source", ""))


@dataclass
class Details:
    """A folded block; `options` as they are typed, e.g. `attrs: {id: name}`."""

    title: str
    line: int
    options: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its anchor, empty if it has none."""
        found = re.search(r"\bid:\s*([\w-]+)", self.options.get("attrs", ""))
        return found[1] if found else ""


@dataclass
class Difference:
    """A note on a claim that fails with other versions: `key` is `topic/id`."""

    key: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """What each failure means, by column."""
        return {
            column: meaning
            for meaning in MEANINGS
            for column in re.findall(r"[\w-]+", self.options.get(meaning, ""))
        }


@dataclass
class Page:
    """What a Markdown page holds, with line numbers (from 1)."""

    path: str
    meta: dict = field(default_factory=dict)
    # line, level, text, anchor
    headings: list[tuple[int, int, str, str]] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    measured: list[tuple[int, str]] = field(default_factory=list)
    figures: list[tuple[int, str]] = field(default_factory=list)
    versions: list[tuple[int, str]] = field(default_factory=list)
    # of our own code
    names: list[tuple[int, str]] = field(default_factory=list)
    # line, target
    links: list[tuple[int, str]] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    # without code, front matter and block headers
    prose: list[tuple[int, str]] = field(default_factory=list)
    bad: list[Problem] = field(default_factory=list)
    details: list[Details] = field(default_factory=list)
    # as it is typed, without fences, claims, figures and details
    open: list[tuple[int, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """The topic that a topic is about: its file's name."""
        return Path(self.path).stem

    @property
    def draft(self) -> bool:
        """Started and not yet whole: marked on the site, and left out of its counts."""
        return self.meta.get("state") == DRAFT


def title(page: Page) -> str:
    """A page's short title, as in the navigation."""
    return str(page.meta.get("title", page.topic))


def question(page: Page) -> str:
    """A topic's question: its first heading."""
    return next((text for _, level, text, _ in page.headings if level == 1), "")


def in_thirty_seconds(page: Page) -> str:
    """The Markdown of a topic's first answer: what stands under that heading."""
    texts, inside = [], False
    for _, line in page.open:
        if line.startswith("## "):
            inside = line.strip() == "## In thirty seconds"
        elif inside:
            texts.append(line)
    return "\n".join(texts).strip()


def finding(claim: Claim) -> str:
    """The Markdown of a claim's finding: its first paragraph."""
    return re.split(r"\n\s*\n", claim.body.strip(), maxsplit=1)[0]


def embed(text: str, line: int) -> Embed | None:
    """The embed on a line of a page, if that is what the line is."""
    found = EMBED.match(text)
    if not found:
        return None
    target = found[1]
    if by_lines := _RANGE.match(target):
        return Embed(by_lines[1], None, by_lines[2], line)
    file, _, section = target.partition(":")
    return Embed(file, section or None, None, line)


def parse(path: str, text: str) -> Page:
    """Read a Markdown page; never fails, puts what it can't read into `bad`."""
    page = Page(path)
    lines = text.split("\n")
    start = _front_matter(page, lines)
    fence: Fence | None = None
    closing = ""
    claim: Claim | None = None
    depth = ""
    options = False
    blocks: list[tuple[str, str]] = []  # those around the line: slashes, name
    ids: set[str] = set()
    for number, line in enumerate(lines[start:], start + 1):
        if fence:
            if line.strip() == closing or (
                line.strip().startswith(closing) and not line.strip().strip(closing[0])
            ):
                fence = None
            else:
                fence.body.append((number, line))
            continue
        if (found := _FENCE.match(line)) and "`" not in found[3]:
            fence, closing = Fence(number, found[3]), found[2]
            page.fences.append(fence)
            options = False
            continue
        if embed(line, number):  # outside a fence: prose from a file
            page.fences.append(Fence(number, "embed", [(number, line)]))
            continue
        if found := _BLOCK.match(line):
            options = True
            if claim and len(found[1]) >= len(depth):
                page.bad.append(_unclosed(claim, path))
                claim = None
            if found[2] == "claim":
                claim = Claim(page.topic, found[3] or "", number)
                depth = found[1]
                page.claims.append(claim)
            elif found[2] == "figure":
                page.figures.append((number, found[3] or ""))
            elif found[2] == "details":
                page.details.append(Details(found[3] or "", number))
            elif found[2] == "differs":
                page.differences.append(Difference((found[3] or "").strip(), number))
            # a block inside another one has more slashes, or fewer
            if found[1] in (slashes for slashes, _ in blocks):
                _close(blocks, found[1])
            blocks.append((found[1], found[2]))
            _inline(page, number, found[3] or "")
            continue
        if found := _BLOCK_END.match(line):
            if claim and found[1] == depth:
                claim = None
            _close(blocks, found[1])
            options = False
            continue
        if options:
            if found := re.match(r"^ {4,}([\w-]+):\s*(.*?)\s*$", line):
                if claim:
                    claim.options[found[1]] = found[2].strip("'\"")
                elif blocks[-1][1] == "details":
                    page.details[-1].options[found[1]] = found[2]
                elif blocks[-1][1] == "differs":
                    page.differences[-1].options[found[1]] = found[2].strip("'\"")
                for anchor in re.findall(r"\bid:\s*([\w-]+)", line):
                    if not claim:
                        page.anchors.add(anchor)
                continue
            if not line.strip():
                options = False
        if found := _HEADING.match(line):
            title, anchor = found[2], ""
            if given := _ID.search(title):
                anchor, title = given[1], title[: given.start()].strip()
                ids.add(anchor)
            else:
                anchor = unique(slugify(_plain(title), "-"), ids)
            page.headings.append((number, len(found[1]), title, anchor))
            page.anchors.add(anchor)
        elif given := _ID.search(line):
            page.anchors.add(given[1])
        if claim:
            claim.body += line + "\n"
        elif "differs" in (name for _, name in blocks):
            page.differences[-1].body += line + "\n"
        if not {"claim", "figure", "details"} & {name for _, name in blocks}:
            page.open.append((number, line))
        _inline(page, number, line)
    if fence:
        page.bad.append(
            Problem(
                "fence-unclosed",
                f"{path}:{fence.line}",
                "code fence is never closed",
                "add the closing backticks",
            )
        )
    if claim:
        page.bad.append(_unclosed(claim, path))
    page.anchors |= {f"claim-{c.options['id']}" for c in page.claims if "id" in c.options}
    return page


def _close(blocks: list[tuple[str, str]], slashes: str) -> None:
    """Take the innermost block with these slashes off, and all inside it."""
    for index in reversed(range(len(blocks))):
        if blocks[index][0] == slashes:
            del blocks[index:]
            return


def _unclosed(claim: Claim, path: str) -> Problem:
    return Problem(
        "claim-unclosed",
        f"{path}:{claim.line}",
        "claim block is never closed",
        "add the line `///` behind it",
    )


def _front_matter(page: Page, lines: list[str]) -> int:
    if not lines or lines[0].strip() != "---":
        return 0
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            try:
                meta = yaml.safe_load("\n".join(lines[1:number])) or {}
                if not isinstance(meta, dict):
                    raise yaml.YAMLError("it is not a list of `name: value` lines")
                page.meta = meta
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)
                page.bad.append(
                    Problem(
                        "front-matter",
                        f"{page.path}:{mark.line + 2 if mark else 1}",
                        f"front matter is not YAML: {str(error).splitlines()[0]}",
                        "write `name: value` lines; quote a value that has a colon",
                    )
                )
            return number + 1
    page.bad.append(
        Problem(
            "front-matter",
            f"{page.path}:1",
            "front matter is never closed",
            "end it with a line `---`",
        )
    )
    return 0


def _inline(page: Page, number: int, line: str) -> None:
    """Collect what stands in a line of prose."""
    for span in CODE_SPAN.finditer(line):
        if name := re.match(r"#!js\s+([\w$.]+)", span[2]):
            page.names.append((number, name[1]))
    text = CODE_SPAN.sub(" ", line)
    page.measured += [(number, key) for key in MEASURED.findall(text)]
    page.versions += [(number, name) for name in VERSION.findall(text)]
    page.links += [(number, target) for target in _LINK.findall(text)]
    for image in re.finditer(r"!\[\s*\]\(", text):
        page.bad.append(
            Problem(
                "image-alt",
                f"{page.path}:{number}",
                f"image without text alternative at column {image.start() + 1}",
                "say between the brackets what it shows",
            )
        )
    if found := _REFERENCE.match(text):
        page.links.append((number, found[1]))
    page.prose.append((number, text))


def _plain(title: str) -> str:
    return re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
