"""The Markdown extension: what a chapter's page can say beyond Markdown.

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

    {measured topic/name}   {version express}

Besides, a fence that embeds a snippet gets the file's name as its title, a naive
one is marked, and a chapter gets its line of jumps. Only Python-Markdown and
pymdownx.blocks are used, so any builder that runs those can show the pages.
"""

import posixpath
import re
import xml.etree.ElementTree as etree
from functools import cache
from pathlib import Path
from typing import ClassVar

from markdown import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from pymdownx.blocks import BlocksExtension
from pymdownx.blocks.block import Block, type_html_identifier, type_string_in

from lab import pages
from lab.evidence import shown

SIGNS = {"right": "✓", "wrong": "✗", "depends": "±"}
JUMPS = {
    "30 seconds": "in-thirty-seconds",
    "mechanism": "how-it-works",
    "proof": "on-trial",
    "follow-ups": "ask-next",
}


@cache
def tree() -> pages.Tree:
    """The guide, read once a build (`lab.site` reloads this module for each)."""
    return pages.read()


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
        verdict = self.options["verdict"]
        section = etree.SubElement(
            parent,
            "section",
            {"class": f"pn-claim pn-{verdict}", "id": f"claim-{self.options['id']}"},
        )
        heard = _element(section, "p", "pn-heard")
        badge = _element(heard, "strong", "pn-verdict")
        sign = _element(badge, "span", "pn-sign", SIGNS[verdict])
        sign.set("aria-hidden", "true")
        sign.tail = f" {verdict}"
        badge.tail = " "
        _element(heard, "q", "", self.argument)
        link = _element(heard, "a", "headerlink", "¶")
        link.set("href", f"#claim-{self.options['id']}")
        link.set("title", "Link to this claim")
        return section

    def on_end(self, block):
        rest = list(block)[2:]
        fold = _element(block, "details", "pn-fold")
        _element(fold, "summary", "", "Evidence")
        for child in rest:
            block.remove(child)
            fold.append(child)
        found = _claim(self.options["id"], self.argument)
        proofs = _element(fold, "ul", "pn-proofs")
        if self.options["source"]:
            _element(proofs, "li", "", f"said by: {self.options['source']}")
        for path, _, name in tree().proofs.get(found.key, []) if found else []:
            item = _element(proofs, "li")
            sentence = name.removeprefix("test_").replace("_", " ")
            _element(item, "span", "", f"test: {sentence} ").tail = " "
            _element(item, "code", "", path)
        keys = pages.MEASURED.findall(found.body) if found else []
        if found and found.key in tree().evidence:
            keys.append(found.key)
        for key in dict.fromkeys(keys):
            entry = tree().evidence.get(key)
            if entry and "value" in entry:
                _element(proofs, "li", "", f"measured: {entry['what']} — {_how(entry)}")


class Figure(Block):
    """A drawing, inline so that it follows the page's colours: a figure from
    docs/evidence/ with its data and circumstances, or a diagram `name.svg` from
    docs/assets/."""

    NAME = "figure"
    ARGUMENT = True

    def on_create(self, parent):
        name = self.argument.strip()
        figure = etree.SubElement(
            parent,
            "figure",
            {"class": "pn-plot", "id": f"figure-{Path(name).stem}"},
        )
        path = pages.drawing(tree(), name)
        svg = tree().files.get(path or "", "")
        # wide drawings scroll on narrow screens, so the box takes the keyboard
        box = _element(figure, "div", "pn-scroll", self.md.htmlStash.store(svg))
        box.set("tabindex", "0")
        box.set("role", "group")
        box.set("aria-label", "figure")
        return _element(figure, "figcaption")

    def on_end(self, block):
        key = self.argument.strip()
        entry = tree().evidence.get(key)
        if not entry:
            return
        note = _element(block, "p", "pn-note", f"{_circumstances(entry)} · ")
        link = _element(note, "a", "", "data")
        here = next(
            (p.path for p in tree().pages.values() if key in dict(p.figures).values()),
            "docs/chapters/",
        )
        target = f"docs/evidence/{key.split('/')[0]}.json"
        link.set("href", posixpath.relpath(target, posixpath.dirname(here)))


class Measured(InlineProcessor):
    """`{measured topic/name}`: the recorded value; how it was got on hover."""

    def handleMatch(self, match, data):
        entry = tree().evidence.get(match[1])
        if not entry or "value" not in entry:
            return None, None, None  # the gate names page and line
        element = etree.Element("data", {"class": "pn-measured"})
        element.set("value", str(entry["value"]))
        element.set("title", f"{entry['what']}: {_how(entry)}")
        element.text = shown(entry)
        return element, match.start(0), match.end(0)


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
    """Under a chapter's heading: jumps, and what it was checked with."""

    def run(self, root):
        ids = {element.get("id") for element in root.iter("h2")}
        top = next((child for child in root if child.tag == "h1"), None)
        if top is None or not set(JUMPS.values()) <= ids:
            return
        line = etree.Element("p", {"class": "pn-jumps"})
        for text, anchor in JUMPS.items():
            link = _element(line, "a", "", text)
            link.set("href", f"#{anchor}")
            link.tail = " · "
        versions = tree().versions
        checked = (
            f"checked with Node {versions.get('node')}, Express {versions.get('express')}"
        )
        if dates := _dates(top):
            checked += f"; measured {max(dates)}"
        _element(line, "span", "pn-note", checked)
        root.insert(list(root).index(top) + 1, line)


class GuideExtension(BlocksExtension):
    """Everything above, for `markdown_extensions: [lab.markdown]`."""

    def extendMarkdown(self, md):
        super().extendMarkdown(md)
        # before pymdownx.snippets (32), after backticks are no concern yet
        md.preprocessors.register(Titles(md), "pn-titles", 40)
        # after code spans (190), before anything that reads braces
        measured = Measured(pages.MEASURED.pattern, md)
        md.inlinePatterns.register(measured, "pn-measured", 185)
        version = Version(pages.VERSION.pattern, md)
        md.inlinePatterns.register(version, "pn-version", 185)
        # after toc (5) has given the headings their ids
        md.treeprocessors.register(Jumps(md), "pn-jumps", 4)

    def extendMarkdownBlocks(self, md, block_mgr):
        block_mgr.register(Claim, self.getConfigs())
        block_mgr.register(Figure, self.getConfigs())


def makeExtension(**options) -> Extension:
    """The entry point that Python-Markdown looks for."""
    return GuideExtension(**options)


def _claim(name: str, heard: str) -> pages.Claim | None:
    for page in tree().pages.values():
        for claim in page.claims:
            if claim.options.get("id") == name and claim.heard == heard:
                return claim
    return None


def _dates(top: etree.Element) -> list[str]:
    """When the evidence of the chapter with this heading was recorded."""
    own = [top.text or ""]
    for child in top:
        if "headerlink" not in child.get("class", ""):
            own += [*child.itertext(), child.tail or ""]
    for topic, page in tree().chapters.items():
        titles = [text for _, level, text, _ in page.headings if level == 1]
        if "".join(own).strip() in titles:
            found = tree().evidence.items()
            return [e["date"] for key, e in found if key.startswith(f"{topic}/")]
    return []


def _how(entry: dict) -> str:
    """How a value was got: samples, spread, bound, circumstances."""
    parts = [shown(entry)]
    if entry["n"] > 1:
        low, high = ({**entry, "value": value} for value in entry["spread"])
        parts.append(f"median of {entry['n']}, {shown(low)} to {shown(high)}")
    bounds = [
        f"{sign} {shown({**entry, 'value': entry[bound]})}"
        for bound, sign in (("above", ">"), ("below", "<"))
        if entry.get(bound) is not None
    ]
    parts.append(
        f"asserted {' and '.join(bounds)}" if bounds else "recorded, not asserted"
    )
    return ", ".join([*parts, _circumstances(entry)])


def _circumstances(entry: dict) -> str:
    versions = ", ".join(
        f"{name.capitalize()} {version}" for name, version in entry["versions"].items()
    )
    return f"{versions}, {entry['date']}"


def _element(parent, tag: str, css: str = "", text: str | None = None):
    element = etree.SubElement(parent, tag, {"class": css} if css else {})
    element.text = text
    return element
