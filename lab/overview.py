"""The blocks that look at the whole guide.

/// questions                 the chapters and their state; after them those
    planned:                  that are not written yet, with their question
      jwt: How do you …?
///

/// ledger                    every claim of all chapters
///

/// errata                    the claims whose source can be looked up
///

/// answers                   each chapter's question and its thirty seconds
///
"""

import posixpath
import re
from collections import Counter
from typing import ClassVar

from pymdownx.blocks.block import Block, type_any

from lab import pages
from lab.elements import (
    add_test,
    element,
    evidence_of,
    how,
    measured_on,
    measurements,
    tests,
    tree,
)

_LINK = re.compile(r"\]\((?![a-z]+:)([^)]*)\)")


class Questions(Block):
    """The questions in order: chapters first, by the navigation; then planned ones."""

    NAME = "questions"
    OPTIONS: ClassVar = {"planned": ({}, type_any)}

    def on_create(self, parent):
        return element(parent, "ol", "pn-questions", **{"data-search-exclude": ""})

    def on_end(self, block):
        for topic, page in tree().chapters.items():
            item = element(block, "li")
            link = element(item, "a", "pn-question", href=f"chapters/{topic}.md")
            link.text = pages.question(page)
            element(item, "p", "pn-note", _state(topic, page))
        for question in self.options["planned"].values():
            item = element(block, "li", "pn-planned")
            element(item, "span", "pn-question", question)
            element(item, "p", "pn-note", "not written yet")


class Ledger(Block):
    """Every claim with verdict, finding, proof, versions and date, complete without
    JavaScript; docs/assets/ledger.js adds the filter."""

    NAME = "ledger"

    def on_create(self, parent):
        return element(parent, "div", "pn-ledger-box")

    def on_end(self, block):
        self._counts(block)
        self._claims(block)

    def _counts(self, block):
        table = element(block, "table", "pn-counts")
        head = element(element(table, "thead"), "tr")
        for title in ("Chapter", *pages.VERDICTS, "claims"):
            element(head, "th", text=title, scope="col")
        body = element(table, "tbody")
        total: Counter = Counter()
        for topic, page in tree().chapters.items():
            verdicts = Counter(claim.options["verdict"] for claim in page.claims)
            total += verdicts
            row = element(body, "tr")
            title = element(row, "th", scope="row")
            element(title, "a", text=pages.title(page), href=f"chapters/{topic}.md")
            _numbers(row, verdicts)
        row = element(element(table, "tfoot"), "tr")
        element(row, "th", text="All", scope="row")
        _numbers(row, total)

    def _claims(self, block):
        table = element(block, "table", "pn-ledger")
        head = element(element(table, "thead"), "tr")
        for title in ("Verdict", "Heard, and what was found", "Proof"):
            element(head, "th", text=title, scope="col")
        for topic, page in tree().chapters.items():
            body = element(table, "tbody")
            body.set("data-topic", topic)
            row = element(body, "tr", "pn-chapter")
            title = pages.title(page)
            element(row, "th", text=title, colspan="3", scope="rowgroup")
            for claim in page.claims:
                self._claim(body, claim)

    def _claim(self, body, claim: pages.Claim):
        verdict = claim.options["verdict"]
        row = element(body, "tr", f"pn-{verdict}", id=claim.key.replace("/", "--"))
        row.set("data-verdict", verdict)
        element(element(row, "td"), "span", "pn-verdict", verdict)
        said = element(row, "td")
        heard = element(said, "a", "pn-heard")
        heard.set("href", f"chapters/{claim.topic}.md#claim-{claim.options['id']}")
        element(heard, "q", text=claim.heard)
        element(said, "p", text=_from_root(pages.finding(claim)))
        proof = element(row, "td", "pn-note")
        listed = element(proof, "ul")
        for sentence, path, line in tests(claim):
            repo = self.config["repo_url"]
            add_test(element(listed, "li"), repo, sentence, path, line)
        recorded = measurements(claim)
        if not len(listed):  # proved by a measurement that is held to its bounds
            for entry in recorded:
                element(listed, "li", text=f"{entry['what']}: {how(entry)}")
        checked = element(proof, "p", text="run at every change")
        if when := measured_on(recorded):
            checked.text += "; recorded "
            element(checked, "time", text=when)
            # which may be older than the versions at the head of the page
            used = recorded[0]["versions"]
            if used.items() - tree().versions.items():
                with_ = ", ".join(f"{name} {used[name]}" for name in used)
                element(checked, "span", text=f" with {with_}")


class Errata(Block):
    """The claims that name a source which can be looked up, by source: what it says,
    what happened, and the proof."""

    NAME = "errata"

    def on_create(self, parent):
        return element(parent, "div", "pn-errata")

    def on_end(self, block):
        found: dict[str, list[pages.Claim]] = {}
        for page in tree().chapters.values():
            for claim in page.claims:
                if claim.source:
                    found.setdefault(claim.source["name"], []).append(claim)
        for name in sorted(found, key=str.casefold):
            element(block, "h2", text=name)
            for claim in found[name]:
                self._claim(block, claim)

    def _claim(self, block, claim: pages.Claim):
        verdict, source = claim.options["verdict"], claim.source
        section = element(block, "section", f"pn-erratum pn-{verdict}")
        section.set("id", claim.key.replace("/", "--"))
        said = element(section, "p")
        element(said, "strong", text="It says")
        said[0].tail = " "
        element(said, "span", text=source["says"].rstrip("."))
        said[1].tail = " ("
        element(said, "a", text=source["state"], href=source["url"])
        said[2].tail = ")."
        found = element(section, "p")
        element(found, "span", "pn-verdict", verdict)
        found[0].tail = " "
        element(found, "span", text=_from_root(pages.finding(claim)))
        proof = element(section, "p", "pn-note")
        link = element(proof, "a", text=pages.title(tree().chapters[claim.topic]))
        link.set("href", f"chapters/{claim.topic}.md#claim-{claim.options['id']}")
        listed = element(section, "ul", "pn-proofs")
        for sentence, path, line in tests(claim):
            item = element(listed, "li", text="test: ")
            add_test(item, self.config["repo_url"], sentence, path, line)
        for entry in measurements(claim):
            element(listed, "li", text=f"measured: {entry['what']} — {how(entry)}")


class Answers(Block):
    """Each chapter's question with what one would say aloud."""

    NAME = "answers"

    def on_create(self, parent):
        return element(parent, "div", "pn-answers")

    def on_end(self, block):
        for topic, page in tree().chapters.items():
            section = element(block, "section")
            head = element(section, "h2")
            element(head, "a", text=pages.question(page), href=f"chapters/{topic}.md")
            for text in re.split(r"\n\s*\n", pages.in_thirty_seconds(page)):
                element(section, "p", text=_from_root(text))


def _state(topic: str, page: pages.Page) -> str:
    if pages.missing(tree(), topic):
        return "being written"
    verdicts = Counter(claim.options["verdict"] for claim in page.claims)
    each = ", ".join(
        f"{verdicts[name]} {name}" for name in pages.VERDICTS if verdicts[name]
    )
    parts = [f"{len(page.claims)} claims tried: {each}"]
    if date := measured_on(evidence_of(topic)):
        parts.append(f"measured {date}")
    return " · ".join(parts)


def _numbers(row, verdicts: Counter) -> None:
    for name in pages.VERDICTS:
        element(row, "td", text=str(verdicts[name]))
    element(row, "td", text=str(verdicts.total()))


def _from_root(text: str) -> str:
    """A chapter's Markdown with its links as docs/ledger.md has to write them."""

    def link(found: re.Match) -> str:
        return f"]({posixpath.normpath(posixpath.join('chapters', found[1]))})"

    return _LINK.sub(link, text)
