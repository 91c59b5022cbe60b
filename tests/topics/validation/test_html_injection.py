"""Text that becomes elements, in a real browser."""

import collections
import contextlib
import json
import re
from pathlib import Path

import pytest

from lab.record import evidence, figure
from lab.run import node

from . import corpus
from .shared import BASE, TOPIC, png, served

SOURCE = node.label(Path(__file__))


# --- in the browser -----------------------------------------------------------------


@pytest.fixture
def tab(chromium):
    """A page that notes in `page.seen` what ran and who else was asked."""
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.seen = seen = set()

        def route(request):
            if "127.0.0.1" in request.request.url:
                return request.continue_()
            seen.add("asked")
            return request.fulfill(status=204)  # a navigation ends where it was

        context.route("**/*", route)
        page.expose_function("noted", lambda: seen.add("ran"))
        page.add_init_script("window.alert = window.fetch = () => { window.noted(); };")
        yield page


SETTLED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"

PAYLOADS = [
    given for given in corpus.inputs() if given.group in ("html-text", "html-attribute")
]

PAGES = """
import {{ createApp as create }} from '@/validation/reviews.mjs';
import * as naive from '@/validation/page.naive.mjs';
import * as safe from '@/validation/page.mjs';
export function createApp() {{
  return create({{ page: {page}.page, csp: {csp} }});
}}
"""


def look(tab, client, given) -> set[str]:
    """What a visitor's browser does with a stored review."""
    review = given.stored if isinstance(given, corpus.Input) else given
    client.post("/reviews", json=review)
    tab.seen.clear()
    params = {"name": review["name"]}
    url = str(client.base_url.join("/reviews").copy_with(params=params))
    tab.goto(url, wait_until="load")
    tab.evaluate(SETTLED)
    return set(tab.seen)


@pytest.mark.claim("validation/csp-stops-xss", verdict="depends")
@pytest.mark.parametrize(
    ("page", "csp", "ran"),
    [("naive", "''", True), ("naive", "safe.CSP", False), ("safe", "''", False)],
)
def test_a_stored_script_runs_without_encoding_and_without_csp_only(
    app, tab, page, csp, ran
):
    script = next(one for one in PAYLOADS if b"<img src=x onerror" in one.body)
    form = next(one for one in PAYLOADS if b"<form action" in one.body)
    with app(PAGES.format(page=page, csp=csp)) as client:
        assert (look(tab, client, script) == {"ran"}) is ran
    with app(PAGES.format(page=page, csp=csp)) as client:
        look(tab, client, form)
        # the policy runs no script; the form that asks for a password is there
        assert tab.locator("input[name=password]").count() == (page == "naive")


def test_chromium_shows_the_whole_corpus_as_text_without_any_policy(tab, app):
    source = """
    import express from 'express';
    import { createApp as create } from '@/validation/reviews.mjs';
    import { open } from '@/validation/database.mjs';
    import { page } from '@/validation/page.mjs';
    import { reviewsOf } from '@/validation/store.mjs';
    export function createApp() {
      const db = open();
      const app = express();
      app.get('/all', (req, res) => res.send(page(reviewsOf(db).all())));
      app.use(create({ db, csp: '' }));
      return app;
    }
    """
    inert = [one for one in corpus.inputs() if one.outcome == "inert"]
    with app(source) as client:
        for given in inert:
            sent = client.post("/reviews", content=given.body, headers=given.headers)
            assert sent.status_code == 201
        tab.goto(str(client.base_url.join("/all")), wait_until="load")
        tab.evaluate(SETTLED)
        shown = tab.evaluate(
            """() => [...document.querySelectorAll('article')].map((one) => ({
                 name: one.querySelector('h2').textContent,
                 title: one.title,
                 text: one.querySelector('p').textContent,
                 link: one.querySelector('a')?.getAttribute('href') ?? null,
                 tags: [...one.querySelectorAll('li')].map((li) => li.textContent),
                 elements: one.querySelectorAll('*').length,
               }))"""
        )
    assert not tab.seen
    assert len(shown) == len(inert) > 200
    for seen, given in zip(shown, inert, strict=True):
        want = {"link": None, "tags": [], **given.stored}
        assert seen["name"] == seen["title"] == want["name"]
        # the parser makes one line end of CR LF, as for all HTML
        assert seen["text"] == want["text"].replace("\r\n", "\n")
        assert (seen["link"], seen["tags"]) == (want["link"], want["tags"])
        assert seen["elements"] == 7 + 2 * bool(want["link"]) + len(want["tags"]) - 1


@pytest.mark.records
def test_what_payloads_do_in_chromium_by_encoding_and_policy(tab, app):
    rows = {}
    for page, csp in (
        ("naive", "''"), ("naive", "safe.CSP"), ("safe", "''"), ("safe", "safe.CSP")
    ):  # fmt: skip
        counts = collections.Counter()
        with app(PAGES.format(page=page, csp=csp)) as client:
            look(tab, client, {**BASE, "name": "plain"})
            usual = tab.evaluate("document.querySelectorAll('*').length")
            for index, given in enumerate(PAYLOADS[::2]):
                review = {**given.stored}
                if review["name"] == BASE["name"]:
                    review["name"] = f"name {index}"  # so that each has its own page
                counts.update(look(tab, client, review))
                found = tab.evaluate("document.querySelectorAll('*').length")
                counts["changed"] += found != usual
        rows[page, csp] = counts
    total = len(PAYLOADS[::2])
    bare, policed, *encoded = rows.values()
    assert bare["ran"] > 5
    assert policed["ran"] == 0
    assert policed["changed"] > 5
    assert policed["asked"] > 0  # <meta http-equiv=refresh>, which no directive governs
    assert not any(counts[key] for counts in encoded for key in counts)
    for key, counts, column, what in (
        ("xss-ran", bare, "ran", "payloads whose script ran, no encoding, no CSP"),
        ("xss-changed", policed, "changed", "payloads that changed the page, CSP alone"),
    ):
        name = f"{TOPIC}/{key}"
        evidence.hold(name, counts[column], "payloads", what, source=SOURCE, above=5)
    name = f"{TOPIC}/xss-payloads"
    evidence.hold(name, total, "payloads", "tried in Chromium", source=SOURCE, above=20)
    _draw_the_attack(list(rows.values()), total)


def _draw_the_attack(rows: list, total: int) -> None:
    labels = ["neither", "CSP alone", "encoding alone", "both"]
    columns = {
        "ran": "script ran",
        "asked": "another host asked",
        "changed": "page changed",
    }
    drawing, axes = figure.plot(5.9, 2.7)
    for shift, (column, label) in enumerate(columns.items()):
        counts = [row[column] for row in rows]
        places = [n + (shift - 1) * 0.27 for n in range(len(rows))]
        hatch = ("", "//", "..")[shift]
        bars = axes.bar(
            places, counts, width=0.26, label=label, hatch=hatch, edgecolor="white"
        )
        axes.bar_label(bars, padding=2)
    axes.set_xticks(range(len(rows)), labels)
    axes.set(ylabel=f"of {total} payloads", ylim=(0, total * 1.05))
    axes.legend(loc="upper right")
    figure.publish(
        f"{TOPIC}/xss",
        drawing,
        "Bars: with neither encoding nor policy more than half of the payloads change the "
        "page, some run a script and some ask another host. With the policy alone no script "
        "runs, but as many change the page. With encoding, alone or with the policy, nothing "
        "happens at all.",
        {"defence": labels, **{c: [row[c] for row in rows] for c in columns}},
        source=SOURCE,
    )


@pytest.mark.claim("validation/mimetype-is-the-type", verdict="wrong")
def test_a_page_sent_as_an_image_is_served_as_a_page_by_the_naive_upload(
    app, tab, tmp_path
):
    page = b"<script>alert(1)</script>"
    files = {"photo": ("evil.html", page, "image/png")}
    source = """
    import { createApp as create } from '@/validation/upload.naive.mjs';
    export function createApp() {
      return create({ folder: %s });
    }
    """
    (tmp_path / "photos").mkdir()
    with app(source % json.dumps(str(tmp_path / "photos"))) as client:
        sent = client.post("/photos", files=files)
        assert sent.json() == {"url": "/photos/evil.html"}
        tab.goto(str(client.base_url.join(sent.json()["url"])))
        tab.evaluate(SETTLED)
        assert tab.seen == {"ran"}
        client.post("/photos", files={"photo": ("evil.html", b"second", "image/png")})
        assert client.get("/photos/evil.html").text == "second"  # somebody else's, gone
    tab.seen.clear()
    with served("upload.mjs") as server, server.client() as client:
        assert client.post("/photos", files=files).status_code == 415
        both = {"photo": ("evil.html", png() + page, "text/html")}
        url = client.post("/photos", files=both).json()["url"]
        assert re.fullmatch(r"/photos/[0-9a-f-]{36}", url)
        # sandboxed, so no timer runs in it, and there is nothing to wait for
        tab.goto(str(client.base_url.join(url)), wait_until="load")
        assert tab.evaluate("document.contentType") == "image/png"
        assert tab.evaluate("document.images[0].naturalWidth") == 1
        assert not tab.seen
