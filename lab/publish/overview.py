"""The blocks that look at the whole guide.

/// topics                    each topic's question and its state
///

/// bank                      every question of all topics, linked to its answer
///

/// ledger                    every claim of all topics
///

/// errata                    the claims whose source can be looked up
///

/// answers                   each topic's question and its thirty seconds
///

/// versions                  what `make versions` found: claims that fail with other
///                           versions, and the counts

/// differs | topic/id        why one of them does: `answer` and `proof` list columns
    answer: node-26, express-4
A note.
///
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from markdown.util import AtomicString
from pymdownx.blocks.block import Block, type_string

from lab.check import content, pages
from lab.publish.elements import (
    add_proofs,
    add_test,
    element,
    evidence_of,
    how,
    link,
    linked,
    measured_on,
    measurements,
    tests,
    tree,
)


class Topics(Block):
    """The topics' questions, in the order of the navigation."""

    NAME = "topics"

    def on_create(self, parent):
        return element(parent, "ol", "pn-questions", **{"data-search-exclude": ""})

    def on_end(self, block):
        for topic in tree().topics.values():
            item = element(block, "li", "pn-draft" if topic.draft else "")
            at = element(item, "a", "pn-question", href=_answer(topic))
            at.text = topic.question
            element(item, "p", "pn-note", _state(topic))


class Bank(Block):
    """Every question with level and kind, linked to its answer, complete without
    JavaScript; docs/assets/filter.js adds the filter."""

    NAME = "bank"

    def on_create(self, parent):
        data = {"data-filter": "topic level kind", "data-also": ""}
        return element(parent, "div", "pn-bank", **data)

    def on_end(self, block):
        element(block, "div", "pn-filter-place")
        for topic in tree().counted.values():
            if not topic.questions:
                continue
            group = element(block, "section", **{"data-group": topic.slug})
            head = element(group, "h2", id=topic.slug)
            element(head, "a", text=topic.title, href=_answer(topic))
            listed = element(group, "ul")
            for each in topic.questions:
                self._question(listed, each)

    def _question(self, listed, each: pages.Question):
        level, kind = each.options.get("level", ""), each.options.get("kind", "")
        data = {"data-row": "", "data-level": level, "data-kind": kind}
        item = element(listed, "li", **data)
        path, _, anchor = each.place.partition("#")
        element(item, "a", text=each.asked, href=f"{link(path)}#{anchor}").tail = " "
        element(item, "span", "pn-note", f"{level} · {kind}")


def also(found: content.Tree) -> str:
    """The words under which each question is found as well, as JSON by topic and anchor:
    the bank's filter fetches it, so that the page itself stays small."""
    words = {
        f"{topic.slug}#{each.place.partition('#')[2]}": " ".join(each.also)
        for topic in found.counted.values()
        for each in topic.questions
        if each.also
    }
    return json.dumps(words, ensure_ascii=False, separators=(",", ":"))


class Ledger(Block):
    """Every claim with verdict, finding, proof, versions and date, complete without
    JavaScript; docs/assets/filter.js adds the filter."""

    NAME = "ledger"

    def on_create(self, parent):
        fields = {"data-filter": "topic verdict"}
        return element(parent, "div", "pn-ledger-box", **fields)

    def on_end(self, block):
        self._counts(block)
        element(block, "div", "pn-filter-place")
        self._claims(block)

    def _counts(self, block):
        table = element(block, "table", "pn-counts")
        head = element(element(table, "thead"), "tr")
        for title in ("Topic", *pages.VERDICTS, "claims"):
            element(head, "th", text=title, scope="col")
        body = element(table, "tbody")
        total: Counter = Counter()
        for topic in tree().counted.values():
            verdicts = Counter(claim.options["verdict"] for claim in topic.claims)
            total += verdicts
            row = element(body, "tr")
            title = element(row, "th", scope="row")
            element(title, "a", text=topic.title, href=_answer(topic))
            _numbers(row, verdicts)
        row = element(element(table, "tfoot"), "tr")
        element(row, "th", text="All", scope="row")
        _numbers(row, total)

    def _claims(self, block):
        table = element(block, "table", "pn-ledger")
        head = element(element(table, "thead"), "tr")
        for title in ("Verdict", "Heard, and what was found", "Proof"):
            element(head, "th", text=title, scope="col")
        for topic in tree().counted.values():
            body = element(table, "tbody")
            body.set("data-group", topic.slug)
            row = element(body, "tr", "pn-topic")
            element(row, "th", text=topic.title, colspan="3", scope="rowgroup")
            for claim in topic.claims:
                self._claim(body, claim)

    def _claim(self, body, claim: pages.Claim):
        verdict = claim.options["verdict"]
        row = element(body, "tr", f"pn-{verdict}", id=claim.key.replace("/", "--"))
        row.set("data-row", "")
        row.set("data-verdict", verdict)
        element(element(row, "td"), "span", "pn-verdict", verdict)
        said = element(row, "td")
        heard = element(said, "a", "pn-heard")
        heard.set("href", _linked_claim(claim))
        element(heard, "q", text=claim.heard)
        element(said, "p", text=_finding(claim))
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
        for topic in tree().counted.values():
            for claim in topic.claims:
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
        element(found, "span", text=_finding(claim))
        proof = element(section, "p", "pn-note")
        at = element(proof, "a", text=tree().topics[claim.topic].title)
        at.set("href", _linked_claim(claim))
        listed = element(section, "ul", "pn-proofs")
        add_proofs(listed, claim, self.config["repo_url"])


class Answers(Block):
    """Each topic's question with what one would say aloud."""

    NAME = "answers"

    def on_create(self, parent):
        return element(parent, "div", "pn-answers")

    def on_end(self, block):
        for topic in tree().counted.values():
            section = element(block, "section")
            head = element(section, "h2")
            element(head, "a", text=topic.question, href=_answer(topic))
            path = topic.answer.path.removeprefix("docs/")
            for text in re.split(r"\n\s*\n", topic.in_thirty_seconds):
                element(section, "p", text=linked(text, path))


class Versions(Block):
    """What `make versions` wrote: a summary, the claims that fail in a column, each
    with what its note says of that, and the counts."""

    NAME = "versions"

    def on_create(self, parent):
        return element(parent, "div", "pn-versions-box")

    def on_end(self, block):
        if matrix := tree().matrix:
            self._summary(block, matrix)
            self._differences(block, matrix)
            self._counts(block, matrix)

    def _summary(self, block, matrix):
        claims, made = matrix["claims"], _claims()
        known = [key for key in claims if key in made]
        hold = sum(set(claims[key].values()) == {"holds"} for key in known)
        text = element(block, "p")
        text.text = (
            f"Of {len(known)} claims that a test proves, {hold} hold in every column. "
        )
        ending = f"{len(matrix['not run'])} were not run: their only proof is timed or measured."
        if newer := len(made.keys() - claims.keys() - matrix["not run"].keys()):
            ending += f" {newer} are newer than this run."
        text.text += f"{ending} Run on "
        element(text, "time", text=matrix["date"]).tail = "."

    def _differences(self, block, matrix):
        others = [column for column in matrix["columns"] if column != content.LOCKED]
        table = element(block, "table", "pn-versions")
        head = element(element(table, "thead"), "tr")
        for title in ("Claim", *map(_column, others)):
            element(head, "th", text=title, scope="col")
        body = element(table, "tbody")
        for key, claim in _claims().items():
            if not content.failing(tree(), key):
                continue
            row = element(body, "tr")
            said = element(row, "th", scope="row")
            verdict = claim.options["verdict"]
            said.set("class", f"pn-{verdict}")
            element(said, "span", "pn-verdict", verdict).tail = " "
            at = element(said, "a", href=f"#{key.replace('/', '--')}")
            element(at, "q", text=claim.heard)
            for column in others:
                element(row, "td", text=_meaning(matrix, key, column))

    def _counts(self, block, matrix):
        columns = matrix["columns"]
        table = element(block, "table", "pn-counts")
        head = element(element(table, "thead"), "tr")
        for title in ("Run with", *map(_column, columns)):
            element(head, "th", text=title, scope="col")
        body = element(table, "tbody")
        counts = {
            column: Counter(_meaning(matrix, key, column) for key in matrix["claims"])
            for column in columns
        }
        for name, values in (
            ("Node", [used["node"] for used in columns.values()]),
            ("Express", [used["express"] for used in columns.values()]),
            *(
                (name, [count[name] for count in counts.values()])
                for name in ("holds", *_MEANS.values(), "unsteady")
            ),
            ("seconds", [used["seconds"] for used in columns.values()]),
        ):
            row = element(body, "tr")
            element(row, "th", text=name, scope="row")
            for value in values:
                element(row, "td", text=str(value))


class Differs(Block):
    """One claim that fails with other versions: what was heard, why, by hand, and what
    the run said, folded."""

    NAME = "differs"
    ARGUMENT = True
    OPTIONS: ClassVar = {"answer": ("", type_string), "proof": ("", type_string)}

    def on_create(self, parent):
        key = self.argument.strip()
        claim = _claims().get(key)
        verdict = claim.options["verdict"] if claim else ""
        section = element(parent, "section", f"pn-claim pn-{verdict}")
        heard = element(section, "h3", "pn-heard", id=key.replace("/", "--"))
        badge = element(heard, "span", "pn-verdict", verdict)
        element(badge, "span", "pn-hidden", ":")
        badge.tail = " "
        element(heard, "q", text=claim.heard if claim else key)
        return section

    def on_end(self, block):
        key = self.argument.strip()
        matrix, claim = tree().matrix, _claims().get(key)
        if not claim:
            return
        fold = element(block, "details", "pn-fold")
        element(fold, "summary", text="What the run said")
        proofs = element(fold, "ul", "pn-proofs")
        for column, why in matrix.get("reasons", {}).get(key, {}).items():
            used = matrix["columns"][column]
            item = element(proofs, "li")
            item.text = (
                f"Node {used['node']}, Express {used['express']}: "
                f"{_meaning(matrix, key, column)}. "
            )
            element(item, "code", text=AtomicString(why["said"]))
            path, _, name = why["test"].partition("::")
            for sentence, file, line in tests(claim):
                place = (file, line, name.split("[")[0])
                if path == file and place in tree().proofs[key]:
                    line = element(item, "span", text=" in: ")
                    add_test(line, self.config["repo_url"], sentence, file, place[1])
        at = element(element(proofs, "li"), "a", text="the claim in its topic")
        at.set("href", _linked_claim(claim))


_MEANS = {"answer": "answer differs", "proof": "proof cannot run"}


def _claims() -> dict[str, pages.Claim]:
    """Every claim by its key, in the order of the topics."""
    found = tree().counted.values()
    return {claim.key: claim for topic in found for claim in topic.claims}


def _column(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _meaning(matrix: Mapping, key: str, column: str) -> str:
    """What a claim does in a column, in words; a failure means what its note says."""
    is_ = matrix["claims"].get(key, {}).get(column, "not run")
    if is_ != "fails":
        return is_
    notes = (note for page in tree().pages.values() for note in page.differences)
    told = next((note.columns for note in notes if note.key == key), {})
    return _MEANS.get(told.get(column, ""), is_)


def _state(topic: content.Topic) -> str:
    if topic.draft:
        return "being written"
    verdicts = Counter(claim.options["verdict"] for claim in topic.claims)
    each = ", ".join(
        f"{verdicts[name]} {name}" for name in pages.VERDICTS if verdicts[name]
    )
    parts = [
        f"{len(topic.questions)} questions",
        f"{len(topic.claims)} claims tried: {each}",
    ]
    if date := measured_on(evidence_of(topic.slug)):
        parts.append(f"measured {date}")
    return " · ".join(parts)


def _numbers(row, verdicts: Counter) -> None:
    for name in pages.VERDICTS:
        element(row, "td", text=str(verdicts[name]))
    element(row, "td", text=str(verdicts.total()))


def _answer(topic: content.Topic) -> str:
    return link(topic.answer.path.removeprefix("docs/"))


def _linked_claim(claim: pages.Claim) -> str:
    """Where a claim stands, as the page that is being rendered links to it."""
    path, _, anchor = claim.place.partition("#")
    return f"{link(path)}#{anchor}"


def _finding(claim: pages.Claim) -> str:
    return linked(pages.finding(claim), claim.path.removeprefix("docs/"))
