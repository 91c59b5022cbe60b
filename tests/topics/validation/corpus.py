"""The corpus of corpus.json, sent to a real server, and what became of each
input: judged at the sinks (the database's file, the page, the log, the prototype), not
by what the server says of itself."""

import contextlib
import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import httpx

from lab.run import node

CORPUS = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
BASE = CORPUS["base"]
MEMBERS = json.dumps(BASE)[1:-1]
COLUMNS = ("handle", "email", "name", "rating", "text", "link", "tags", "status")
CARDS = [("ann", "4111 1111 1111 1111")]
JSON = "application/json"
RECORD = re.compile(r'review by|\{"event"')
QUICK = "PRAGMA synchronous = OFF"  # the file is thrown away


@dataclass(frozen=True)
class Input:
    """One request, and what must become of it."""

    group: str
    kind: str  # hostile, honest
    outcome: str  # inert, type, shape, size
    body: bytes | None = None  # None: a query
    headers: dict = field(default_factory=dict)
    query: str = ""
    status: int = 201
    at: str | None = None  # the pointer of one of the errors
    stored: dict | None = None  # what must be in the database

    def __str__(self) -> str:
        return f"{self.group}: {(self.body or self.query.encode())[:200]!r}"


def inputs() -> Iterator[Input]:
    """All of the corpus."""
    for group in CORPUS["groups"]:
        common = {name: group[name] for name in ("kind", "outcome")}
        common["group"] = group["name"]
        refused = group["outcome"] != "inert"
        if refused:
            common["status"] = group.get("status", 422)
            common["at"] = group.get("at", f"#/{group.get('field')}")
        values = group.get("inputs", [])
        named = [(group["field"], value) for value in values]
        named += [(name, text * n) for name, text, n in group.get("repeats", [])]
        for name, value in named:
            review = {**BASE, name: value}
            at = f"#/{name}" if "repeats" in group and refused else common.get("at")
            yield Input(
                **{**common, "at": at},
                body=json.dumps(review).encode(),
                headers={"Content-Type": JSON},
                stored=None if refused else review,
            )
        for item in group.get("bodies", []):
            yield Input(
                **{**common, "at": item.get("at", common.get("at"))},
                body=item["raw"].replace("BASE", MEMBERS).encode(),
                headers={"Content-Type": item.get("type", JSON)},
                stored=None if refused else {**BASE, **item.get("stored", {})},
            )
        for item in group.get("nested", []):
            yield Input(**common, **_nested(item))
        for query in group.get("queries", []):
            yield Input(**{**common, "at": None}, query=query)


def _nested(item: dict) -> dict:
    fill = item["fill"]
    inner = (
        "".join(fill.replace("#", str(n)) for n in range(item["times"]))
        if "#" in fill
        else fill * item["times"]
    )
    mirror = item.get("mirror", "") * item["times"]
    text = item["open"] + inner + item["close"] + mirror + item.get("end", "")
    headers = {"Content-Type": JSON}
    body = text.encode()
    if item.get("gzip"):
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    return {"body": body, "headers": headers}


@dataclass
class Fate:
    """What became of an input. `effects` is what a sink shows that it must not:
    sql, html, log, prototype, assigned; admitted: stored though it should have been
    refused; crash: a 500."""

    given: Input
    status: int
    answer: dict
    effects: set[str]

    @property
    def lost(self) -> bool:
        """Whether somebody honest was refused, or finds something else than written."""
        return self.given.kind == "honest" and (self.status >= 400 or bool(self.effects))


class Shop:
    """A served reviews app and its sinks."""

    def __init__(self, server: node.Server, database: Path) -> None:
        self.server, self.database = server, database
        self.client = httpx.Client(base_url=server.url, timeout=20)
        self.db = sqlite3.connect(database, isolation_level=None)
        self.db.execute(QUICK)
        self._outlines: dict[tuple, list] = {}
        self._lines = 0
        self.restore()

    def restore(self) -> None:
        """Empties the reviews, and puts back what an input may have broken."""
        self.db.execute("DELETE FROM reviews")
        if self.db.execute("SELECT * FROM cards").fetchall() != CARDS:
            self.db.execute("DELETE FROM cards")
            self.db.executemany("INSERT INTO cards VALUES (?, ?)", CARDS)
        self.schema = self.db.execute("SELECT sql FROM sqlite_master").fetchall()

    def try_(self, given: Input) -> Fate:
        """Sends one input and looks at all sinks."""
        if given.body is None:
            answer = self.client.get(f"/reviews?{given.query}")
        else:
            answer = self.client.post(
                "/reviews", content=given.body, headers=given.headers
            )
        effects = set(self._effects(given, answer))
        json_ = "json" in answer.headers.get("Content-Type", "")
        self.restore()
        return Fate(given, answer.status_code, answer.json() if json_ else {}, effects)

    def _effects(self, given: Input, answer: httpx.Response) -> Iterator[str]:
        accepted = answer.status_code == 201
        sent = (given.body or given.query.encode()).lower()
        if re.search(b"proto|constructor", sent) and self.polluted():
            yield "prototype"
        if not accepted:
            self.polluted()  # another request: Express logs an error after its answer
        lines = self.new_lines()
        if answer.status_code >= 500:
            yield "crash"
        if len(lines) != 1 if accepted else any(map(RECORD.match, lines)):
            yield "log"
        elif accepted and lines[0].startswith("{"):
            want = (given.stored or json.loads(given.body))["name"]
            if json.loads(lines[0])["name"] != want:
                yield "log"
        try:
            schema = self.db.execute("SELECT sql FROM sqlite_master").fetchall()
            cards = self.db.execute("SELECT * FROM cards").fetchall()
            rows = self.db.execute(f"SELECT {', '.join(COLUMNS)} FROM reviews").fetchall()
        except sqlite3.Error:
            yield "sql"
            return
        if schema != self.schema or cards != CARDS or len(rows) != accepted:
            yield "sql"
            return
        if accepted:
            row = dict(zip(COLUMNS, rows[0], strict=True))
            yield from self._of_a_row(given, row)

    def polluted(self) -> bool:
        """Whether every visitor is an admin now."""
        return self.client.get("/admin").status_code != 403

    def _of_a_row(self, given: Input, row: dict) -> Iterator[str]:
        if row.pop("status") != "pending":
            yield "assigned"
        want = given.stored
        if want is None:
            yield "admitted"
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                want = {**BASE, **json.loads(given.body)}
        if want is None:
            return
        got = {**row, "link": row["link"] or None, "tags": json.loads(row["tags"])}
        meant = {"link": None, "tags": [], **want}
        if got != {name: meant.get(name) for name in got}:
            yield "sql"
        elif self._is_review(got):
            yield from self._on_the_page(got)

    @staticmethod
    def _is_review(row: dict) -> bool:
        tags, link = row["tags"], row["link"] or ""
        if not isinstance(tags, list):
            return False
        texts = [row["name"], row["text"], link, *tags]
        return all(isinstance(text, str) for text in texts)

    def _on_the_page(self, row: dict) -> Iterator[str]:
        """The page must show the review as text, and have no other elements."""
        try:
            answer = self.client.get("/reviews", params={"name": row["name"]})
        except UnicodeEncodeError:  # half a surrogate pair: nobody can ask for it
            return
        if answer.status_code >= 500:
            yield "sql"  # the name was read as SQL when it was looked for
            self.polluted()
            self.new_lines()  # a stack
            return
        seen = Outline(answer.text)
        text = {"title": row["name"], "h2": row["name"], "p": row["text"]}
        text |= {"a": row["link"], "href": row["link"]} if row["link"] else {}
        usual = self._outline(bool(row["link"]), len(row["tags"]))
        scheme = seen.text.get("href", "https:").lower()
        if (
            seen.elements != usual
            or seen.text != {**text, "li": "".join(row["tags"])}
            or not scheme.startswith("https:")
        ):
            yield "html"

    def _outline(self, link: bool, tags: int) -> list:
        """The elements of a page with one harmless review."""
        if (link, tags) not in self._outlines:
            plain = ("x-y", "x@y", "plain", 5, "x", "https://x.test/" if link else "")
            self.db.execute(
                f"INSERT INTO reviews ({', '.join(COLUMNS)}) VALUES (?,?,?,?,?,?,?,?)",
                (*plain, json.dumps(["x"] * tags), "pending"),
            )
            page = self.client.get("/reviews", params={"name": "plain"}).text
            self._outlines[link, tags] = Outline(page).elements
        return self._outlines[link, tags]

    def new_lines(self) -> list[str]:
        """Lines of the log since the last call; a line that is no record counts too."""
        text = self.server.output()
        lines = re.split(r"\r\n|[\r\n\u0085\u2028\u2029]", text)[:-1]
        new, self._lines = lines[self._lines :], len(lines)
        return [line for line in new if not line.startswith("listening on")]


class Outline(HTMLParser):
    """The elements of a page with their attributes' names, and the text of some."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple] = []
        self.text: dict[str, str] = {"li": ""}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _ in attrs)))
        self._open.append(tag)
        for name, value in attrs:
            if (tag, name) in (("article", "title"), ("a", "href")):
                self.text[name] = value

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}",))
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        for tag in ("h2", "p", "a", "li"):
            if tag in self._open:
                self.text[tag] = self.text.get(tag, "") + data

    def handle_comment(self, data):
        self.elements.append(("<!--",))

    def unknown_decl(self, data):
        self.elements.append(("<![",))

    def handle_pi(self, data):
        self.elements.append(("<?",))


VARIANTS = {
    "fragment": ("reviews.naive.mjs", "", ""),
    "fragment, result read": (
        "reviews.naive.mjs",
        (
            "import { validateReview } from '{folder}chain.naive.mjs';\n"
            "import { createRequire } from 'node:module';\n"
            "const { validationResult } =\n"
            "  createRequire('{folder}')('express-validator');\n"
            "const read = (req, res, next) =>\n"
            "  validationResult(req).isEmpty() ? next() : res.sendStatus(400);\n"
        ),
        "validate: [...validateReview, read]",
    ),
    "strict schema, naive sinks": (
        "reviews.naive.mjs",
        (
            "import { parseReview } from '{folder}review.mjs';\n"
            "import { validate } from '{folder}validate.mjs';\n"
        ),
        "validate: validate(parseReview)",
    ),
    "express-validator": (
        "reviews.mjs",
        "import { validateReview } from '{folder}chain.mjs';\n",
        "check: validateReview",
    ),
    "zod": ("reviews.mjs", "", ""),
}


@contextlib.contextmanager
def shop(variant: str, folder: Path) -> Iterator[Shop]:
    """One of the variants, served with a database in `folder`."""
    snippet, imports, deps = VARIANTS[variant]
    home = node.resolve("validation/reviews.mjs").parent.as_uri() + "/"
    database = folder / "shop.db"
    path = folder / "shop.mjs"
    path.write_text(
        imports.replace("{folder}", home)
        + f"import {{ createApp as create }} from '{home}{snippet}';\n"
        f"import {{ open }} from '{home}database.mjs';\n"
        f"const db = open({json.dumps(str(database))});\n"
        f"db.exec('{QUICK}');\n"
        f"export function createApp() {{\n  return create({{ db, {deps} }});\n}}\n"
    )
    with node.serve(path) as server:
        it = Shop(server, database)
        with it.client, contextlib.closing(it.db):
            yield it


def run(variant: str, folder: Path, only: tuple[str, ...] = ("",)) -> list[Fate]:
    """The whole corpus, or the groups whose names begin with one of `only`. A server
    whose prototype was polluted is replaced."""
    fates = []
    waiting = [one for one in inputs() if one.group.startswith(only)]
    for attempt in range(len(waiting)):
        below = folder / str(attempt)
        below.mkdir()
        with shop(variant, below) as it:
            while waiting:
                fates.append(it.try_(waiting.pop(0)))
                if fates[-1].effects & {"prototype"}:
                    break
            else:
                assert not it.polluted(), "by an input that names no prototype"
                return fates
    return fates
