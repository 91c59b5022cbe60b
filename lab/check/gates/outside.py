"""Facts from outside, which live once in docs/outside.toml, and counts of what is ours."""

import re
from collections.abc import Iterator

from lab.check import Problem
from lab.check.content import OUTSIDE, Tree
from lab.check.pages import Page

_TYPED = re.compile(
    r"\b(?:RFC[ \N{NO-BREAK SPACE}-]?\d{3,5}|CVE-\d{4}-\d+|GHSA(?:-[a-z0-9]{4}){3})\b"
)
_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_BY_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL, _TENS = _TO_TWENTY.split(), _BY_TEN.split()
WORDS = {word: number for number, word in enumerate(_SMALL)} | {
    f"{ten}{f'-{one}' if one else ''}": 10 * n + i
    for n, ten in enumerate(_TENS, 2)
    for i, one in enumerate(["", *_SMALL[1:10]])
}
_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_NUMBER = rf"(?<![\w.-])(?:\d[\d,. ]*\d|\d|(?i:{_WORD}))(?![\w-])"
_STATED = rf"(?!(?i:one|zero)\b){_NUMBER}"  # `one` is rather an article
_SOME = 3  # "two topics that you like": as many as this are rather some than all
_COUNTED = re.compile(
    rf"(?P<number>{_NUMBER})(?: \w+)? (?P<what>topics|claims|questions|exercises|notebooks)\b"
)
_RIGHT = re.compile(rf"(?P<number>{_NUMBER})(?: of (?:them|its claims))? are right\b")


def outside(tree: Tree) -> Iterator[Problem]:
    """What a page quotes from outside is in the list, and none of it is typed by hand."""
    for problem in tree.outside_problems:
        yield Problem(
            "outside",
            OUTSIDE,
            problem,
            'write TOML: [fact."node/name"], [rfc], [cve], [ghsa]',
        )
    for page in tree.pages.values():
        for number, kind, name in page.outside:
            known = tree.outside.get(kind, {})
            if name not in known:
                yield Problem(
                    "outside", f"{page.path}:{number}", f"{{{kind} {name}}} is not in {OUTSIDE}",
                    f"fix it, or add it there: {', '.join(list(known)[:4])} …",
                )  # fmt: skip
        topic = tree.topics.get(page.topic) if page.part else None
        if topic is None or topic.whole:
            yield from typed(tree, page)


def typed(tree: Tree, page: Page) -> Iterator[Problem]:
    """Numbers of standards and advisories, and defaults, that are typed by hand."""
    for number, text in page.prose:
        if "RFC" not in text and "CVE" not in text and "GHSA" not in text:
            continue
        for found in _TYPED.finditer(text):
            kind, name = re.match(r"([A-Z]+)\W?(.*)", found[0]).groups()
            yield Problem(
                "outside-typed", f"{page.path}:{number}", f"'{found[0]}' is typed by hand",
                f"write {{{kind.lower()} {name}}}, with its title in {OUTSIDE}",
            )  # fmt: skip
    facts = [
        (key, name)
        for key, fact in tree.outside.get("fact", {}).items()
        for name in fact.get("named", ())
    ]
    whole = tree.files[page.path].lower()
    facts = [(key, name) for key, name in facts if name.lower() in whole]
    before = ""
    for number, sentence in _sentences(tree, page) if facts else ():
        # "… reaches the `highWaterMark`. The default is …"
        said_before, before = before, sentence
        lower = sentence.lower()
        if re.match(r"(?:the|its|by) default\b", lower):
            lower = f"{said_before.lower()} {lower}"
            sentence = f"{said_before} {sentence}"
        for key, name in facts:
            if name.lower() not in lower or "{fact " in sentence:
                continue
            word = re.escape(name)
            beside = re.search(
                rf"\b{word}\b`?(?:'s)? (?:(?:is|has|are|of|at|defaults? to|means|takes) )?(?:only |just )?({_STATED})",
                sentence,
                re.IGNORECASE,
            )
            stated = (
                "default" in lower
                and re.search(rf"\b{word}\b", sentence, re.IGNORECASE)
                and re.search(_STATED, sentence)
            )
            if beside or stated:
                said = beside[1] if beside else stated[0]
                yield Problem(
                    "outside-typed", f"{page.path}:{number}", f"'{said}' for {name} is typed by hand",
                    f"write {{fact {key}}}, which a test reads from what is installed",
                )  # fmt: skip
                break


def _sentences(tree: Tree, page: Page) -> Iterator[tuple[int, str]]:
    """The sentences of a page as they are typed, code spans and all, with their lines."""
    inside = {line for fence in page.fences for line, _ in fence.body}
    spoken = {number for number, _ in page.prose} - inside
    paragraph: list[tuple[int, str]] = []
    lines = tree.files[page.path].split("\n")
    for number, text in [*enumerate(lines, 1), (0, "")]:
        if (
            number in spoken
            and text.strip()
            and not text.lstrip().startswith(("|", "-", "/", "#"))
        ):
            paragraph.append((number, text))
            continue
        yield from _split(paragraph)
        paragraph = []
        if number in spoken and text.strip():
            if text.lstrip().startswith("|"):
                yield from ((number, cell) for cell in text.split("|"))
            else:
                paragraph = [(number, text)]


def _split(paragraph: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    text = "\n".join(line for _, line in paragraph)
    begin = 0
    for end in [*(found.end() for found in re.finditer(r"[.!?](?=\s)", text)), len(text)]:
        if sentence := text[begin:end].strip():
            yield (
                paragraph[
                    text.count(
                        "\n",
                        0,
                        begin + len(text[begin:end]) - len(text[begin:end].lstrip()),
                    )
                ][0],
                " ".join(sentence.split()),
            )
        begin = end


def counts(tree: Tree) -> Iterator[Problem]:
    """Counts of our own things, where they stand: the first page, how we work, README, and
    the changelog's newest entry."""
    total = {
        "topics": len(tree.counted),
        "claims": sum(len(topic.claims) for topic in tree.counted.values()),
        "questions": sum(len(topic.questions) for topic in tree.counted.values()),
        "exercises": len(tree.exercises),
        "notebooks": len(tree.under("notebooks/", ".ipynb")),
    }
    for path in ("README.md", "docs/index.md", "docs/method.md", "docs/summary.md"):
        for number, line in enumerate(tree.files.get(path, "").split("\n"), 1):
            for found in _COUNTED.finditer(line):
                if _as_number(found["number"]) <= _SOME:
                    continue
                yield from _count(
                    f"{path}:{number}",
                    found["number"],
                    found["what"],
                    total[found["what"]],
                )
    page = tree.pages.get("docs/changelog.md")
    for place, topic, paragraph in _newest(tree, page) if page else ():
        own = tree.topics[topic]
        mine = {"claims": len(own.claims), "questions": len(own.questions),
                "right": sum(c.options.get("verdict") == "right" for c in own.claims)}  # fmt: skip
        for found in _COUNTED.finditer(paragraph):
            if found["what"] in mine:
                yield from _count(
                    place, found["number"], found["what"], mine[found["what"]]
                )
        for found in _RIGHT.finditer(paragraph):
            yield from _count(place, found["number"], "right", mine["right"])


def _newest(tree: Tree, page: Page) -> Iterator[tuple[str, str, str]]:
    """Paragraphs of the changelog's newest entry that speak of one topic as new: place,
    topic, text."""
    heads = [line for line, level, _, _ in page.headings if level == 2]
    if not heads:
        return
    last = heads[1] if len(heads) > 1 else 10**6
    lines = [(number, text) for number, text in page.open if heads[0] < number < last]
    text = "\n".join(text for _, text in lines)
    for paragraph in re.split(r"\n\s*\n", text):
        slugs = {
            slug for slug in re.findall(r"topics/([\w-]+)/", paragraph)
        } & tree.topics.keys()
        if len(slugs) == 1 and re.search(r"\bNew\b", paragraph):
            line = next(n for n, each in lines if each and each in paragraph)
            yield f"{page.path}:{line}", slugs.pop(), " ".join(paragraph.split())


def _count(place: str, said: str, what: str, counted: int) -> Iterator[Problem]:
    if _as_number(said) != counted:
        yield Problem(
            "count",
            place,
            f"'{said}' {what}, there are {counted}",
            "say how many there are",
        )


def _as_number(said: str) -> int:
    number = WORDS.get(said.lower())
    return int(re.sub(r"\D", "", said)) if number is None else number
