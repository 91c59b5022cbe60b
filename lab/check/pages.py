"""What a Markdown page of the guide says, parsed: headings, fences, claims, questions,
figures, links.

The gates check it, and the site's Markdown extension renders from the same parsing."""

import re
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import yaml
from markdown.extensions.toc import slugify, unique

from lab.check import Problem

VERDICTS = ("right", "wrong", "depends")
# the four pages of a topic, by the names of their files
PARTS = ("index", "questions", "claims", "code")
# a topic's `state`, on its first page: started; with its old text on the new pages; done
STATES = DRAFT, MOVED, WHOLE = "draft", "moved", "whole"
LEVELS = ("core", "senior", "staff")
KINDS = ("explain", "decide", "debug", "design", "code", "operate", "attack")
# how an item of a question's list begins
LISTEN, RED_FLAG, THEN = POINTS = ("listen for", "red flag", "then")
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
# what others decide: a default, a standard, an advisory, see docs/outside.toml
OUTSIDE = re.compile(r"\{(fact|rfc|cve|ghsa) ([^}\s]+)\}")
_TOPIC = re.compile(r"docs/topics/([^/]+)/([^/]+)\.md")
_POINT = re.compile(rf"[-*] ({'|'.join(POINTS)}): +(.*)")
_OWN_PROOF = re.compile(r"\s*\[proof: ([^\]]*)\]\.?\s*$")
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
    """A fenced code block: `info` is all that stands behind the backticks; `open` if no
    fold is around it."""

    line: int
    info: str
    open: bool = True
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
    path: str  # of its page
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def key(self) -> str:
        """`topic/id`: the key of its proofs and evidence."""
        return f"{self.topic}/{self.options.get('id', '')}"

    @property
    def place(self) -> str:
        """Where it stands, relative to docs/."""
        return f"{self.path.removeprefix('docs/')}#claim-{self.options.get('id', '')}"

    @property
    def source(self) -> re.Match | None:
        """Its source, if that is one that can be looked up: groups name, url, state
        (a version, a commit) and says, our paraphrase."""
        return SOURCE.fullmatch(self.options.get("source", ""))


@dataclass(frozen=True)
class Point:
    """An item of a question's list: its `kind` (one of POINTS), its Markdown text, and
    the proofs of its own, as they are typed."""

    kind: str
    text: str
    proofs: tuple[str, ...] = ()


@dataclass
class Question:
    """A question block. `body` is its Markdown text without the options and without what
    stands in fences: the answer, then the list."""

    topic: str
    asked: str
    line: int
    path: str  # of its page
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def id(self) -> str:
        """Its anchor, empty if it has none."""
        return self.options.get("id", "")

    @property
    def key(self) -> str:
        """`topic/id`."""
        return f"{self.topic}/{self.id}"

    @property
    def place(self) -> str:
        """Where it stands, relative to docs/."""
        return f"{self.path.removeprefix('docs/')}#{self.id}"

    @property
    def also(self) -> list[str]:
        """Other words that people search for."""
        words = (word.strip() for word in self.options.get("also", "").split(","))
        return [word for word in words if word]

    @property
    def proofs(self) -> tuple[str, ...]:
        """The proofs of the whole answer, as they are typed."""
        return tuple(self.options.get("proof", "").split())

    @property
    def answer(self) -> str:
        """The Markdown of what is said aloud: all that stands before the list."""
        lines = self.body.strip().split("\n")
        ends = (i for i, line in enumerate(lines) if _POINT.match(line.strip()))
        return "\n".join(lines[: next(ends, len(lines))]).strip()

    @property
    def points(self) -> list[Point]:
        """The items of its list, in their order."""
        found: list[list[str]] = []
        for line in self.body.split("\n"):
            if begins := _POINT.match(line.strip()):
                found.append([begins[1], begins[2]])
            elif found and line.strip():
                found[-1][1] += f" {line.strip()}"
        return [point(kind, text.strip()) for kind, text in found]


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
    questions: list[Question] = field(default_factory=list)
    # `/// module | topic/file.mjs` of a code page: line, file
    modules: list[tuple[int, str]] = field(default_factory=list)
    measured: list[tuple[int, str]] = field(default_factory=list)
    figures: list[tuple[int, str]] = field(default_factory=list)
    versions: list[tuple[int, str]] = field(default_factory=list)
    # line, kind, name
    outside: list[tuple[int, str, str]] = field(default_factory=list)
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
        """The topic that the page belongs to; of another page, its file's name."""
        found = _TOPIC.fullmatch(self.path)
        return found[1] if found else Path(self.path).stem

    @property
    def part(self) -> str:
        """Which of a topic's pages it is: the name of its file. Empty for other pages."""
        found = _TOPIC.fullmatch(self.path)
        return found[2] if found else ""

    @property
    def title(self) -> str:
        """The short title in its front matter."""
        return str(self.meta.get("title", self.topic))

    @property
    def heading(self) -> str:
        """The text of its first heading of the first level."""
        return next((text for _, level, text, _ in self.headings if level == 1), "")

    def under(self, heading: str) -> str:
        """The open Markdown between this heading of the second level and the next one."""
        texts, inside = [], False
        for _, line in self.open:
            if line.startswith("## "):
                inside = _plain_heading(line) == heading
            elif inside:
                texts.append(line)
        return "\n".join(texts).strip()


def finding(claim: Claim) -> str:
    """The Markdown of a claim's finding: its first paragraph."""
    return re.split(r"\n\s*\n", claim.body.strip(), maxsplit=1)[0]


def point(kind: str, text: str) -> Point:
    """An item of a question's list, its own proofs taken off its end."""
    own = _OWN_PROOF.search(text)
    if not own:
        return Point(kind, text)
    return Point(kind, text[: own.start()].rstrip(), tuple(own[1].split()))


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
    owner: Claim | Question | None = None  # the block whose options and body these are
    depth = ""
    options = False
    blocks: list[tuple[str, str, int]] = []  # those around the line: slashes, name, line
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
            fence, closing = Fence(number, found[3], not _folded(blocks)), found[2]
            page.fences.append(fence)
            options = False
            continue
        if embed(line, number):  # outside a fence: prose from a file
            page.fences.append(Fence(number, "embed", [(number, line)]))
            continue
        if found := _BLOCK.match(line):
            options = True
            if owner and len(found[1]) >= len(depth):
                page.bad.append(_unclosed(owner, path))
                owner = None
            if found[2] == "claim":
                owner, depth = Claim(page.topic, found[3] or "", number, path), found[1]
                page.claims.append(owner)
            elif found[2] == "question":
                owner = Question(page.topic, found[3] or "", number, path)
                depth = found[1]
                page.questions.append(owner)
            elif found[2] == "module":
                page.modules.append((number, (found[3] or "").strip()))
            elif found[2] == "figure":
                page.figures.append((number, found[3] or ""))
                page.anchors.add(f"figure-{Path(found[3] or '').stem}")
            elif found[2] == "details":
                page.details.append(Details(found[3] or "", number))
            elif found[2] == "differs":
                page.differences.append(Difference((found[3] or "").strip(), number))
            # a block inside another one has more slashes, or fewer
            if found[1] in (slashes for slashes, _, _ in blocks):
                page.bad += _swallowed(_close(blocks, found[1]), path)
            blocks.append((found[1], found[2], number))
            _inline(page, number, found[3] or "")
            continue
        if found := _BLOCK_END.match(line):
            if owner and found[1] == depth:
                owner = None
            page.bad += _swallowed(_close(blocks, found[1])[1:], path)
            options = False
            continue
        if options:
            if found := re.match(r"^ {4,}([\w-]+):\s*(.*?)\s*$", line):
                if owner and blocks[-1][1] in ("claim", "question"):
                    owner.options[found[1]] = found[2].strip("'\"")
                elif blocks[-1][1] == "details":
                    page.details[-1].options[found[1]] = found[2]
                elif blocks[-1][1] == "differs":
                    page.differences[-1].options[found[1]] = found[2].strip("'\"")
                for anchor in re.findall(r"\bid:\s*([\w-]+)", line):
                    if blocks[-1][1] != "claim":  # its anchor has a prefix
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
        if owner:
            owner.body += line + "\n"
        elif "differs" in (name for _, name, _ in blocks):
            page.differences[-1].body += line + "\n"
        if not _folded(blocks):
            page.open.append((number, line))
        _inline(page, number, line)
    _links(page)
    if fence:
        page.bad.append(
            Problem(
                "fence-unclosed",
                f"{path}:{fence.line}",
                "code fence is never closed",
                "add the closing backticks",
            )
        )
    if owner:
        page.bad.append(_unclosed(owner, path))
    page.bad += _swallowed(blocks, path)
    page.anchors |= {f"claim-{c.options['id']}" for c in page.claims if "id" in c.options}
    return page


def _folded(blocks: list[tuple[str, str, int]]) -> bool:
    """Whether what stands inside these blocks is no open text."""
    names = {name for _, name, _ in blocks}
    return bool({"claim", "question", "figure", "details"} & names)


def _close(
    blocks: list[tuple[str, str, int]], slashes: str
) -> list[tuple[str, str, int]]:
    """Take the innermost block with these slashes off, and all inside it; return them."""
    for index in reversed(range(len(blocks))):
        if blocks[index][0] == slashes:
            closed = blocks[index:]
            del blocks[index:]
            return closed
    return []


def _swallowed(blocks: list[tuple[str, str, int]], path: str) -> list[Problem]:
    """Blocks that were not closed before what is around them; of claims and questions it
    is said elsewhere."""
    return [
        Problem(
            "block-unclosed",
            f"{path}:{line}",
            f"{name} block is never closed, and swallows what follows",
            f"add the line `{slashes}` behind it",
        )
        for slashes, name, line in blocks
        if name not in ("claim", "question")
    ]


def _unclosed(block: Claim | Question, path: str) -> Problem:
    return Problem(
        "block-unclosed",
        f"{path}:{block.line}",
        f"{type(block).__name__.lower()} block is never closed",
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
    page.outside += [(number, kind, name) for kind, name in OUTSIDE.findall(text)]
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


def _links(page: Page) -> None:
    """Collect the links of the prose; the text of one may go on in the next line."""
    for _, run in groupby(enumerate(page.prose), lambda each: each[1][0] - each[0]):
        lines = [each for _, each in run]
        text = "\n".join(line for _, line in lines)
        for found in _LINK.finditer(text):
            number = lines[0][0] + text.count("\n", 0, found.start(1))
            page.links.append((number, found[1]))


def _plain_heading(line: str) -> str:
    """The text of a line that is a heading, without its id."""
    text = _HEADING.match(line)[2]
    return text[: given.start()].strip() if (given := _ID.search(text)) else text


def _plain(title: str) -> str:
    return re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
