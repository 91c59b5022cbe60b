"""The Markdown extension: what a topic's page can say beyond Markdown.

    /// claim | What people say            a claim; its verdict, folded, and its proof
        id: name
        verdict: wrong
    The finding, in one paragraph. What it means, in more.
    ///

    /// question | What is asked?          an entry of the bank; its answer is folded
        id: name
        level: senior
        kind: debug
        also: other words, that people type
        proof: topic/claim-id topic/test:test_name topic/measured:name
    What is said aloud.

    - listen for: a key point            its own proof at its end: [proof: topic/id]
    - red flag: the popular wrong answer
    - then: the-id-of-another-question
    ///

    /// asked | topic/id                   a question of a bank, shown elsewhere
    ///

    /// module | topic/file.mjs            a module to take: packages, start, tests
    What is passed in.
    ///

    /// figure | topic/name                a recorded figure, inline
    Its caption.
    ///

    /// figure | name.svg                  a diagram from docs/assets/
    ///

    /// notebook | topic                  where to read, run and download it
    ///

    {measured topic/name}   {version express}

Besides, a fence that embeds a snippet gets the file's name as its title, a naive
one is marked, a fold with an id gets a link of its own, and a page of a topic gets its
line of links to the others and the list of its numbers. The blocks that look at the
whole guide are in `lab.publish.overview`. Only Python-Markdown and pymdownx.blocks are used, so any builder that
runs those can show the pages.
"""

import re
import xml.etree.ElementTree as etree
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from markdown import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString
from pymdownx.blocks import BlocksExtension
from pymdownx.blocks.block import (
    Block,
    type_html_identifier,
    type_string,
    type_string_in,
)

from lab.check import content, pages
from lab.publish import modules
from lab.publish.elements import (
    CITED,
    add_named_proofs,
    add_proofs,
    add_test,
    binder_link,
    circumstances,
    element,
    evidence_of,
    fact,
    here,
    how,
    link,
    linked,
    measured_on,
    sentence,
    topic,
    tree,
)
from lab.publish.overview import (
    Answers,
    Bank,
    Differs,
    Errata,
    Ledger,
    Topics,
    Versions,
)
from lab.record.evidence import shown

# how the four pages of a topic are called
NAMES = {
    "index": "Answer",
    "questions": "Questions",
    "claims": "On trial",
    "code": "Code",
}
_LABELS = {
    pages.LISTEN: "Listen for",
    pages.RED_FLAG: "Red flag",
    pages.THEN: "Then ask",
}
READING = 200  # words a minute


class Claim(Block):
    """What is heard is in sight; verdict, finding, meaning and evidence are folded, so
    that a reader can judge first."""

    NAME = "claim"
    ARGUMENT = True
    OPTIONS: ClassVar = {
        "id": ("", type_html_identifier),
        "verdict": ("", type_string_in(pages.VERDICTS)),
        "source": ("", str),
    }

    def on_validate(self, parent):
        return bool(self.options["id"] and self.options["verdict"])

    def on_create(self, parent):
        verdict, name = self.options["verdict"], self.options["id"]
        section = element(parent, "section", f"pn-claim pn-{verdict}")
        # a heading: search finds it, and `toc` gives it its permanent link
        heard = element(section, "h3", "pn-heard", id=f"claim-{name}")
        element(heard, "q", text=self.argument)
        fold = element(section, "details", "pn-fold")
        element(fold, "summary", text="Right, wrong, or does it depend?")
        element(element(fold, "p", "pn-badge"), "span", "pn-verdict", verdict)
        return section

    def on_add(self, block):
        return block.find("details")

    def on_end(self, block):
        fold = block.find("details")
        proofs = element(fold, "ul", "pn-proofs")
        if self.options["source"]:
            element(proofs, "li", text=f"said by: {self.options['source']}")
        page = here()
        key = f"{page.topic if page else ''}/{self.options['id']}"
        if not (found := tree().claims.get(key)):
            return
        repo = self.config["repo_url"].rstrip("/")
        add_proofs(proofs, found, repo)
        if repo:
            query = urlencode({"template": "wrong.yml", "where": found.key})
            href = f"{repo}/issues/new?{query}"
            element(element(proofs, "li"), "a", text="this is wrong", href=href)


class Question(Block):
    """What is asked, its level and kind are in sight; answer, points and proofs are
    folded. The whole body is rendered from the parsed question, since its list is data."""

    NAME = "question"
    ARGUMENT = True
    OPTIONS: ClassVar = {
        "id": ("", type_html_identifier),
        "level": ("", type_string_in(pages.LEVELS)),
        "kind": ("", type_string_in(pages.KINDS)),
        "also": ("", type_string),
        "proof": ("", type_string),
    }

    def on_validate(self, parent):
        return all(self.options[name] for name in ("id", "level", "kind"))

    def on_create(self, parent):
        section = element(parent, "section", "pn-ask")
        element(section, "h3", id=self.options["id"], text=self.argument)
        note = element(section, "p", "pn-note")
        note.text = f"{self.options['level']} · {self.options['kind']}"
        fold = element(section, "details", "pn-fold")
        element(fold, "summary", text="Answer")
        return section

    def on_add(self, block):
        return block.find("details")

    def on_end(self, block):
        fold = block.find("details")
        page = here()
        key = f"{page.topic if page else ''}/{self.options['id']}"
        if found := tree().questions.get(key):
            _mark_points(fold, found, self.config["repo_url"])


class Asked(Block):
    """A question of a bank with its answer in sight, on another page."""

    NAME = "asked"
    ARGUMENT = True

    def on_create(self, parent):
        return element(parent, "section", "pn-asked")

    def on_end(self, block):
        if not (found := tree().questions.get(self.argument.strip())):
            return
        path, _, anchor = found.place.partition("#")
        head = element(block, "h3", text=found.asked)
        head.set("id", found.id)
        note = element(block, "p", "pn-note")
        note.text = f"{found.options.get('level')} · {found.options.get('kind')} · "
        at = element(note, "a", href=f"{link(path)}#{anchor}")
        at.text = f"in its bank: {tree().topics[found.topic].title}"
        for text in re.split(r"\n\s*\n", found.answer):
            element(block, "p", text=linked(text, path))
        listed = element(block, "ul", "pn-points")
        for point in found.points:
            if point.kind != pages.THEN:
                item = element(listed, "li", _css(point.kind))
                element(item, "strong", text=_LABELS[point.kind])
                item[0].tail = f": {linked(point.text, path)}"
        proofs = element(block, "ul", "pn-proofs")
        add_named_proofs(proofs, _all_proofs(found), self.config["repo_url"])


class Module(Block):
    """A module to take: its file, what it loads, how it is started, which tests run it."""

    NAME = "module"
    ARGUMENT = True

    def on_create(self, parent):
        return element(parent, "section", "pn-module")

    def on_end(self, block):
        name, repo = self.argument.strip(), self.config["repo_url"].rstrip("/")
        listed = element(block, "dl", "pn-facts")
        file = self._fact(listed, "file")
        if repo:
            file = element(file, "a", href=f"{repo}/blob/main/snippets/{name}")
        element(file, "code", text=AtomicString(name))
        others = [other for other in modules.files(tree(), name) if other != name]
        if others:
            self._codes(self._fact(listed, "together with"), others)
        found = modules.packages(tree(), name)
        named = [f"{package} {version}" for package, version in found.items()]
        if named:
            self._codes(self._fact(listed, "packages"), named)
        else:
            self._fact(listed, "packages").text = "none, only Node.js itself"
        if modules.served(tree(), name):
            command = self._fact(listed, "start")
            element(command, "code", text=AtomicString(f"node serve.mjs {name}"))
        run = modules.tests(tree(), name)
        fold = element(block, "details", "pn-fold")
        element(fold, "summary", text=f"Tests that run it: {len(run)}")
        proofs = element(fold, "ul", "pn-proofs")
        for test, path, line in run:
            add_test(element(proofs, "li"), repo, sentence(test), path, line)

    def _fact(self, parent, name):
        element(parent, "dt", text=name)
        return element(parent, "dd")

    def _codes(self, parent, names):
        for index, name in enumerate(names):
            if index:
                parent[-1].tail = ", "
            element(parent, "code", text=AtomicString(name))


class Figure(Block):
    """A drawing, inline so that it follows the page's colours: a figure from
    docs/evidence/ with its data and circumstances, or a diagram `name.svg` from
    docs/assets/."""

    NAME = "figure"
    ARGUMENT = True

    def on_create(self, parent):
        key = self.argument.strip()
        name = Path(key).stem
        figure = element(parent, "figure", "pn-plot", id=f"figure-{name}")
        svg = _lighter(tree().files.get(content.drawing(tree(), key) or "", ""))
        # wide drawings scroll on narrow screens, so the box takes the keyboard
        box = element(figure, "div", "pn-scroll", self.md.htmlStash.store(svg))
        box.set("tabindex", "0")
        box.set("role", "group")
        box.set("aria-labelledby", f"caption-{name}")
        return element(figure, "figcaption", id=f"caption-{name}")

    def on_end(self, block):
        key = self.argument.strip()
        entry = tree().evidence.get(key)
        if not entry:
            return
        note = element(block, "p", "pn-note", f"{circumstances(entry)} · ")
        data = element(note, "a", text="data of this figure")
        data.set("href", link(f"evidence/{key.split('/')[0]}.json"))


class Notebook(Block):
    """A topic's notebook: read, run here, run in Binder, download."""

    NAME = "notebook"
    ARGUMENT = True

    def on_create(self, parent):
        return element(parent, "p", "pn-notebook")

    def on_end(self, block):
        slug = self.argument.strip()
        block.text = "The notebook measures what this topic claims: "
        at = element(block, "a", text="read it with its results")
        at.set("href", link(f"notebooks/{slug}.ipynb"))
        at.tail = ", "
        if binder := binder_link(self.config["repo_url"], slug):
            at = element(block, "a", text="run it in Binder", href=binder)
            at.tail = ", "
        at.tail += "or run it in a clone of the guide with "
        command = element(block, "code", text=f"make notebook TOPIC={slug}")
        # as HTML, since MkDocs takes links for pages of its own
        path = f"notebooks/{slug}/{slug}.ipynb"
        file = f'<a href="{_from_address(path)}" download>The file</a>'
        alone = "needs the rest of the guide around it"
        command.tail = f". {self.md.htmlStash.store(file)} {alone}."


class Measured(InlineProcessor):
    """`{measured topic/name}`: the recorded value; how it was got on hover."""

    def handleMatch(self, match, data):
        entry = tree().evidence.get(match[1])
        if not entry or "value" not in entry:
            return None, None, None  # the gate names page and line
        value = etree.Element("data", {"class": "pn-measured"})
        value.set("value", str(entry["value"]))
        value.set("title", f"{entry['what']}: {how(entry)}")
        value.text = shown(entry)
        return value, match.start(0), match.end(0)


class Version(InlineProcessor):
    """`{version express}`: what the lock file says."""

    def handleMatch(self, match, data):
        version = tree().versions.get(match[1])
        if not version:
            return None, None, None
        return version, match.start(0), match.end(0)


class Outside(InlineProcessor):
    """`{fact node/name}`: a default, as it was read; `{rfc 9110}` and its kind: a link
    with the title."""

    def handleMatch(self, match, data):
        found = tree().outside.get(match[1], {}).get(match[2])
        if not found:
            return None, None, None
        if match[1] == "fact":
            shown = fact(found)
        else:
            name, address = CITED[match[1]]
            shown = etree.Element("a", href=f"{address}{match[2]}", title=found)
            shown.text = AtomicString(f"{name}{match[2]}")
        return shown, match.start(0), match.end(0)


class Titles(Preprocessor):
    """Puts the embedded file's name on its fence, and marks naive ones."""

    FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*\{?\s*\.?([\w-]+)\s*([^}]*)\}?\s*$")

    def run(self, lines):
        out = list(lines)
        for index, line in enumerate(lines[:-1]):
            item = pages.embed(lines[index + 1], index)
            fence = self.FENCE.match(line)
            if not item or not fence or item.file.endswith(".out"):
                continue
            indent, ticks, language, rest = fence.groups()
            naive = ".naive." in item.file
            title = item.file + (" — naive, not for use" if naive else "")
            if "title=" not in rest:
                rest = f'title="{title}" {rest}'.strip()
            # who copies it would paste what is broken
            mark = " .pn-naive .no-copy" if naive else ""
            out[index] = f"{indent}{ticks} {{ .{language}{mark} {rest} }}"
        return out


class Parts(Treeprocessor):
    """Under the title of a topic's page: its four pages, and what it was checked with."""

    def run(self, root):
        top = next((child for child in root if child.tag == "h1"), None)
        if top is None or not (own := topic()):
            return
        page, files = here(), tree().pages
        at = list(root).index(top) + 1
        line = etree.Element("p", {"class": "pn-parts"})
        notebook = f"notebooks/{own.slug}.ipynb"
        targets = {
            **{name: f"topics/{own.slug}/{part}.md" for part, name in NAMES.items()
               if f"docs/topics/{own.slug}/{part}.md" in files},
            "Notebook": notebook,
        }  # fmt: skip
        for name, target in targets.items():
            if page.path == f"docs/{target}":
                each = element(line, "strong", text=name)
            else:
                each = element(line, "a", text=name, href=link(target))
            each.tail = " · " if name != "Notebook" else " "
        note = element(line, "span", "pn-note", "; ".join(self._facts(own, page)))
        note.tail = " "
        element(line, "button", "pn-print", "Print with all folds open", type="button")
        root.insert(at, line)
        if page.part == "index" and own.draft:
            element(line, "span", "pn-note", "This topic is being written.")

    def _facts(self, own, page):
        if page.part == "index":
            words = sum(len(line.split()) for _, line in page.open)
            yield f"{max(1, round(words / READING))} minutes"
            if needs := page.meta.get("needs"):
                yield f"read before: {needs}"
        versions = tree().versions
        yield f"proved with Node {versions.get('node')}, Express {versions.get('express')}"
        if date := measured_on(evidence_of(own.slug)):
            yield f"measured {date}"


class Numbers(Treeprocessor):
    """At the end of a topic's page: every recorded number on it and how it was got, for
    those who cannot hover, and on paper."""

    def run(self, root):
        if not topic():
            return
        keys = [key for _, key in here().measured if key in tree().evidence]
        entries = [tree().evidence[key] for key in dict.fromkeys(keys)]
        if not entries:
            return
        fold = element(root, "details", "note pn-numbers")
        element(fold, "summary", text="The numbers on this page, and how they were got")
        listed = element(fold, "ul")
        for entry in entries:
            element(listed, "li", text=f"{entry['what']}: {how(entry)}")


class Download(Treeprocessor):
    """On a code page: all modules of the topic in one file."""

    def run(self, root):
        own = topic()
        if not own or here().part != "code" or not modules.taken(own):
            return
        top = next(child for child in root if child.tag == "h1")
        file = f"downloads/{own.slug}.zip"
        text = f'<a href="{_from_address(file)}" download>Download all of it</a>'
        line = etree.Element("p", {"class": "pn-download"})
        line.text = (
            f"{self.md.htmlStash.store(text)}: these modules with the packages' versions, "
            "a README and the licence, started by npm install and npm start."
        )
        root.insert(list(root).index(top) + 2, line)


class LinkedFolds(Treeprocessor):
    """A fold that has an id gets a heading, of which only the permanent link (from
    `toc`) is in sight: so search finds the fold, with its text.

    Not inside the summary: a link there is one control within another.
    """

    def run(self, root):
        for fold in root.iter("details"):
            summary = fold.find("summary")
            if summary is None or not (name := fold.attrib.pop("id", "")):
                continue
            heading = etree.Element("h3", {"id": name, "class": "pn-anchor"})
            text = element(heading, "span", "pn-hidden", "".join(summary.itertext()))
            text.text = AtomicString(text.text)
            fold.insert(list(fold).index(summary) + 1, heading)


class GuideExtension(BlocksExtension):
    """Everything above, for `markdown_extensions: [lab.markdown]`."""

    def __init__(self, **options):
        self.config = {"repo_url": ["", "where the sources are, for links to proofs"]}
        super().__init__(**options)

    def extendMarkdown(self, md):
        super().extendMarkdown(md)
        # before pymdownx.snippets (32) puts the file in the place of its name
        md.preprocessors.register(Titles(md), "pn-titles", 40)
        # after code spans (190), before anything that reads braces
        measured = Measured(pages.MEASURED.pattern, md)
        md.inlinePatterns.register(measured, "pn-measured", 185)
        version = Version(pages.VERSION.pattern, md)
        md.inlinePatterns.register(version, "pn-version", 185)
        outside = Outside(pages.OUTSIDE.pattern, md)
        md.inlinePatterns.register(outside, "pn-outside", 185)
        # after inline patterns (20), before toc (5)
        md.treeprocessors.register(LinkedFolds(md), "pn-folds", 10)
        # before inline patterns (20), which read what they add
        md.treeprocessors.register(Numbers(md), "pn-numbers", 30)
        md.treeprocessors.register(Download(md), "pn-download", 31)
        md.treeprocessors.register(Parts(md), "pn-parts", 32)

    def extendMarkdownBlocks(self, md, block_mgr):
        # an environment variable that is set but empty comes as None
        config = {"repo_url": self.getConfig("repo_url") or ""}
        own = (Claim, Question, Asked, Module, Figure, Notebook)
        for block in (*own, Topics, Bank, Ledger, Errata, Answers, Versions, Differs):
            block_mgr.register(block, config)


def makeExtension(**options) -> Extension:
    """The entry point that Python-Markdown looks for."""
    return GuideExtension(**options)


def _lighter(svg: str) -> str:
    """A drawing whose coordinates have one decimal: a tenth of a pixel, which nobody
    sees and which is a good part of a page's weight."""
    return re.sub(
        r' (?:d|x|y)="[^"]*"',
        lambda found: re.sub(
            r"\d+\.\d\d+", lambda number: f"{float(number[0]):.1f}", found[0]
        ),
        svg,
    )


def _from_address(target: str) -> str:
    """A file of the site as the page that is being rendered has to write it in HTML; a
    page's address is a folder."""
    page = here()
    path = page.path.removeprefix("docs/") if page else ""
    depth = path.count("/") + (not path.endswith("index.md"))
    return "../" * depth + target


def _all_proofs(question: pages.Question) -> list[str]:
    own = (name for point in question.points for name in point.proofs)
    return list(dict.fromkeys([*question.proofs, *own]))


def _css(kind: str) -> str:
    return f"pn-{kind.split()[0]}"


def _mark_points(fold, question: pages.Question, repo: str) -> None:
    """Give the list of a question its marks, its links and its proofs. The list is the
    last one of the fold, as Markdown made it."""
    lists = [child for child in fold if child.tag == "ul"]
    if question.points and lists:
        points = lists[-1]
        points.set("class", "pn-points")
        for item, point in zip(points, question.points, strict=False):
            holder = item if item.find("p") is None else item.find("p")
            item.set("class", _css(point.kind))
            for child in list(holder):
                holder.remove(child)
            holder.text = ""
            element(holder, "strong", text=_LABELS[point.kind])
            holder[0].tail = f": {point.text}"
            if point.kind == pages.THEN and (found := _next(question, point.text)):
                holder[0].tail = ": "
                path, _, anchor = found.place.partition("#")
                element(holder, "a", text=found.asked, href=f"{link(path)}#{anchor}")
    if question.also:
        element(fold, "p", "pn-also", ", ".join(question.also))
    proofs = element(fold, "ul", "pn-proofs")
    add_named_proofs(proofs, _all_proofs(question), repo)


def _next(question: pages.Question, text: str) -> pages.Question | None:
    """The question of the bank that `then` names, if it names one."""
    bank = tree().questions
    return bank.get(f"{question.topic}/{text}") or bank.get(text)
