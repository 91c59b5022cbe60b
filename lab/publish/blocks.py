"""The Markdown extension: what a topic's page can say beyond Markdown.

    /// claim | What people say            a claim, its proof looked up
        id: name
        verdict: wrong
    The finding, in one paragraph. What it means, in more, is folded.
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
one is marked, a fold with an id gets a link of its own, and a topic gets its line
of jumps and the list of its numbers. The blocks that look at the whole guide are in
`lab.overview`. Only Python-Markdown and pymdownx.blocks are used, so any builder that
runs those can show the pages.
"""

import posixpath
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
from pymdownx.blocks.block import Block, type_html_identifier, type_string_in

from lab.check import content, pages
from lab.publish.elements import (
    add_proofs,
    binder_link,
    circumstances,
    element,
    evidence_of,
    how,
    measured_on,
    tree,
)
from lab.publish.overview import Answers, Differs, Errata, Ledger, Questions, Versions
from lab.record.evidence import shown

JUMPS = {
    "30 seconds": "in-thirty-seconds",
    "mechanism": "how-it-works",
    "proof": "on-trial",
    "follow-ups": "ask-next",
}


class Claim(Block):
    """Heard, verdict and finding in sight; evidence and meaning folded."""

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
        badge = element(heard, "span", "pn-verdict", verdict)
        # for those who don't see the columns: search results, screen readers
        element(badge, "span", "pn-hidden", ":")
        badge.tail = " "
        element(heard, "q", text=self.argument)
        return section

    def on_end(self, block):
        rest = list(block)[2:]
        fold = element(block, "details", "pn-fold")
        element(fold, "summary", text="Evidence")
        for child in rest:
            block.remove(child)
            fold.append(child)
        proofs = element(fold, "ul", "pn-proofs")
        if self.options["source"]:
            element(proofs, "li", text=f"said by: {self.options['source']}")
        if not (found := _claim(self.options["id"], self.argument)):
            return
        repo = self.config["repo_url"].rstrip("/")
        add_proofs(proofs, found, repo)
        if repo:
            query = urlencode({"template": "wrong.yml", "where": found.key})
            href = f"{repo}/issues/new?{query}"
            element(element(proofs, "li"), "a", text="this is wrong", href=href)


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
        svg = tree().files.get(content.drawing(tree(), key) or "", "")
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
        link = element(note, "a", text="data of this figure")
        here = next(
            (p.path for p in tree().pages.values() if key in dict(p.figures).values()),
            "docs/chapters/",
        )
        target = f"docs/evidence/{key.split('/')[0]}.json"
        link.set("href", posixpath.relpath(target, posixpath.dirname(here)))


class Notebook(Block):
    """A topic's notebook: read, run here, run in Binder, download."""

    NAME = "notebook"
    ARGUMENT = True

    def on_create(self, parent):
        return element(parent, "p", "pn-notebook")

    def on_end(self, block):
        topic = self.argument.strip()
        block.text = "The notebook measures what this topic claims: "
        link = element(block, "a", text="read it with its results")
        link.set("href", f"../notebooks/{topic}.ipynb")
        link.tail = ", "
        if binder := binder_link(self.config["repo_url"], topic):
            link = element(block, "a", text="run it in Binder", href=binder)
            link.tail = ", "
        link.tail += "or run it in a clone of the guide with "
        command = element(block, "code", text=f"make notebook TOPIC={topic}")
        # as HTML, since MkDocs takes links for pages of its own
        file = f'<a href="../../notebooks/{topic}/{topic}.ipynb" download>The file</a>'
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
            mark = " .pn-naive" if naive else ""
            out[index] = f"{indent}{ticks} {{ .{language}{mark} {rest} }}"
        return out


class Jumps(Treeprocessor):
    """Under a topic's heading: jumps, and what it was checked with."""

    def run(self, root):
        ids = {heading.get("id") for heading in root.iter("h2")}
        top = next((child for child in root if child.tag == "h1"), None)
        if top is None or not set(JUMPS.values()) <= ids:
            return
        line = etree.Element("p", {"class": "pn-jumps"})
        for text, anchor in JUMPS.items():
            link = element(line, "a", text=text, href=f"#{anchor}")
            link.tail = " · " if text != list(JUMPS)[-1] else " "
        versions = tree().versions
        checked = (
            f"checked with Node {versions.get('node')}, Express {versions.get('express')}"
        )
        topic = _topic(top)
        if topic and (date := measured_on(evidence_of(topic))):
            checked += f"; measured {date}"
        element(line, "span", "pn-note", checked)
        root.insert(list(root).index(top) + 1, line)


class Numbers(Treeprocessor):
    """Before a topic's sources: every recorded number of the page and how it was got,
    for those who cannot hover, and on paper."""

    def run(self, root):
        children = list(root)
        top = next((child for child in children if child.tag == "h1"), None)
        last = next((c for c in children if c.get("id") == "sources"), None)
        if top is None or last is None or not (topic := _topic(top)):
            return
        keys = [key for _, key in tree().topics[topic].measured]
        entries = [tree().evidence[key] for key in dict.fromkeys(keys)]
        if not entries:
            return
        fold = etree.Element("details", {"class": "note pn-numbers"})
        element(fold, "summary", text="The numbers on this page, and how they were got")
        listed = element(fold, "ul")
        for entry in entries:
            element(listed, "li", text=f"{entry['what']}: {how(entry)}")
        root.insert(children.index(last), fold)


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
        # after inline patterns (20), before toc (5)
        md.treeprocessors.register(LinkedFolds(md), "pn-folds", 10)
        # after toc (5) has given the headings their ids
        md.treeprocessors.register(Numbers(md), "pn-numbers", 3)
        md.treeprocessors.register(Jumps(md), "pn-jumps", 4)

    def extendMarkdownBlocks(self, md, block_mgr):
        # an environment variable that is set but empty comes as None
        config = {"repo_url": self.getConfig("repo_url") or ""}
        blocks = (Claim, Figure, Notebook, Questions, Ledger, Errata, Answers)
        for block in (*blocks, Versions, Differs):
            block_mgr.register(block, config)


def makeExtension(**options) -> Extension:
    """The entry point that Python-Markdown looks for."""
    return GuideExtension(**options)


def _claim(name: str, heard: str) -> pages.Claim | None:
    for page in tree().pages.values():
        for claim in page.claims:
            if claim.options.get("id") == name and claim.heard == heard:
                return claim
    return None


def _topic(top: etree.Element) -> str:
    """The topic with this heading."""
    own = [top.text or ""]
    for child in top:
        if "headerlink" not in child.get("class", ""):
            own += [*child.itertext(), child.tail or ""]
    for topic, page in tree().topics.items():
        if "".join(own).strip() == pages.question(page):
            return topic
    return ""
