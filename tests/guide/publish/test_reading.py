"""What a reader does on the built site, in Chromium: finds, filters, prints, goes on."""

import html
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from lab import BUILD, EXECUTED, NOTEBOOKS, ROOT, SNIPPETS
from lab.publish import moved as moved_pages
from lab.publish import notebook_pages
from lab.run import browser, process

from .shared import CLAIMS, QUESTIONS, REPO, TREE, paths

pytestmark = pytest.mark.site


# --- reading ----------------------------------------------------------------------


def test_search_finds_claims_and_questions_and_no_notebook(open_page):
    """The index comes when search is opened, and the policy lets its worker run."""
    page = open_page("topics/event-loop/")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert not page.evaluate(
        "performance.getEntriesByType('resource').some((r) => /search_index/.test(r.name))"
    )
    page.keyboard.press("/")
    claim, question = "async function block the event loop", "prove sockets no thread"
    for words, target in (
        (claim, "#claim-async-means-non-blocking"),
        (question, "#prove-that-sockets-need-no-thread"),
    ):
        page.get_by_role("textbox", name="Search").fill("")
        page.keyboard.type(words)
        hit = page.locator(f'.md-search-result__link[href*="{target}"]').first
        hit.wait_for(timeout=10_000)
    links = page.locator(".md-search-result__link")
    every = links.evaluate_all("all => all.map((link) => link.href)")
    assert every and not [link for link in every if "/notebooks/" in link]
    assert any(url.endswith("search/search_index.json") for url in asked)
    page.locator(f'.md-search-result__link[href*="{target}"]').first.click()
    page.wait_for_function("() => document.querySelector(location.hash)")
    assert page.locator(target).is_visible()


QUERIES = json.loads((Path(__file__).parent / "queries.json").read_text("utf-8"))


def test_what_people_type_finds_its_place_among_the_first_two(open_page):
    """A page, or a place on one, of the topics; a list of alternatives by `|`."""
    page = open_page("topics/")
    page.keyboard.press("/")
    box = page.get_by_role("textbox", name="Search")
    links = page.locator(".md-search-result__link")
    bad = []
    for words, wanted in QUERIES.items():
        for text, condition in (("", "=== 0"), (words, "> 0")):
            box.fill(text)
            box.press("Shift")  # the theme looks at the box when a key comes up
            page.wait_for_function(
                f"() => document.querySelectorAll('.md-search-result__link').length {condition}"
            )
        found = links.evaluate_all(
            "all => all.slice(0, 2).map(({ href }) => href.split('/proven-node/')[1])"
        )
        places = [
            re.sub(r"\?h=[^#]*", "", href).removeprefix("topics/") for href in found
        ]
        if not any(p.startswith(tuple(wanted.split("|"))) for p in places):
            bad.append(f"{words}: {places}, not {wanted}")
    assert len(QUERIES) >= 40 and not bad, "\n".join(bad)


def test_claims_and_questions_have_links_of_their_own(published):
    places = [each.place for each in (*CLAIMS, *QUESTIONS)]
    assert len(places) > 200
    texts = paths(published)
    for place in places:
        path, _, name = place.partition("#")
        text = texts[path.removesuffix("index.md").replace(".md", "/")]
        assert text.count(f'id="{name}"') == 1, place
        assert f'class="headerlink" href="#{name}"' in text, place


def test_the_scheme_is_switched_and_kept_without_a_cookie(open_page):
    page = open_page(color_scheme="light")
    scheme = "document.body.dataset.mdColorScheme"
    assert page.evaluate(scheme) == "default"
    page.get_by_title("Switch to dark").click()
    assert page.evaluate(scheme) == "slate"
    page.reload(wait_until="networkidle")
    assert page.evaluate(scheme) == "slate"
    assert page.context.cookies() == []


def shown(page) -> list[str]:
    """The verdicts of the rows in sight."""
    return page.locator(".pn-ledger tr[data-row]").evaluate_all(
        "rows => rows.filter((row) => row.offsetParent).map((row) => row.dataset.verdict)"
    )


def test_the_ledger_is_complete_without_javascript(open_page):
    page = open_page("ledger/", java_script_enabled=False)
    verdicts = page.locator(".pn-ledger .pn-verdict:visible").all_inner_texts()
    assert verdicts == [claim.options["verdict"] for claim in CLAIMS]
    assert page.locator(".pn-filter").count() == 0
    links = page.locator(".pn-ledger .pn-heard")
    assert links.count() == len(CLAIMS)
    total = page.locator(".pn-counts tfoot td").last.inner_text()
    assert total == str(len(CLAIMS))


def test_every_source_that_can_be_looked_up_is_listed_where_sources_are_wrong(
    open_page,
):
    page = open_page("errata/", java_script_enabled=False)
    listed = page.locator(".pn-erratum")
    own = {claim.key.replace("/", "--"): claim for claim in CLAIMS if claim.source}
    assert len(own) > 10
    assert set(listed.evaluate_all("all => all.map(({ id }) => id)")) == set(own)
    for name, claim in own.items():
        one = page.locator(f"#{name}")
        assert one.locator("a").first.get_attribute("href") == claim.source["url"]
        assert one.locator(".pn-verdict").inner_text() == claim.options["verdict"]
        assert one.locator(".pn-proofs li").count() >= 1


def test_the_summary_has_every_answer_and_is_printed_with_three_on_a_sheet(open_page):
    page = open_page("summary/")
    answers = page.locator(".pn-answers section")
    assert answers.locator("h2 a:first-child").all_inner_texts() == [
        topic.question for topic in TREE.counted.values()
    ]
    assert 2 <= sheets(page) <= math.ceil(len(TREE.counted) / 3)
    page.emulate_media(media="print")
    found = page.evaluate(SIZES, ".md-content :is(p, td)")
    assert min(found) >= 9 * POINT - 0.01, min(found)


def test_the_ledger_is_filtered_from_the_keyboard(open_page):
    page = open_page("ledger/")
    page.locator(".pn-counts a").last.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "topic"
    page.keyboard.press("e")  # chooses Event loop
    page.keyboard.press("Tab")
    page.keyboard.press("w")  # chooses wrong
    own = [
        c for c in CLAIMS if c.topic == "event-loop" and c.options["verdict"] == "wrong"
    ]
    assert shown(page) == ["wrong"] * len(own)
    assert page.locator(".pn-filter output").inner_text() == (
        f"{len(own)} of {len(CLAIMS)}"
    )
    assert page.url.endswith("?topic=event-loop&verdict=wrong")
    page.reload(wait_until="networkidle")
    assert shown(page) == ["wrong"] * len(own)


def test_a_link_to_a_row_of_the_ledger_wins_over_the_filter(open_page):
    claim = next(claim for claim in CLAIMS if claim.options["verdict"] == "depends")
    row = claim.key.replace("/", "--")
    page = open_page(f"ledger/?verdict=wrong#{row}")
    assert page.locator(f"#{row}").is_visible()
    assert len(shown(page)) == len(CLAIMS)


A4 = {"format": "A4", "margin": dict.fromkeys(("top", "right", "bottom", "left"), "12mm")}
POINT = 96 / 72  # CSS px
SIZES = """
(selector) => [...document.querySelectorAll(selector)]
  .filter((element) => element.checkVisibility() && element.textContent.trim())
  .map((element) => parseFloat(getComputedStyle(element).fontSize))
  .filter((size) => size > 0) // links that are not for paper
"""


def sheets(page) -> int:
    """How many A4 sheets a page prints on."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(**A4)))


def test_folds_are_printed_as_they_are_and_all_of_them_on_request(open_page):
    page = open_page("topics/event-loop/questions/")
    page.evaluate(
        """() => {
          const folds = [...document.querySelectorAll('.md-content .pn-fold')];
          const seen = () => folds.filter((fold) =>
            fold.lastElementChild.checkVisibility()).length;
          folds[0].open = true;
          window.seen = seen;
          window.folds = folds.length;
          window.print = () => {
            dispatchEvent(new Event('beforeprint'));
            window.printed = true;
          };
        }"""
    )
    assert page.evaluate("folds") > 10
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("seen()") == 1
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.get_by_role("button", name="Print with all folds open").click()
    page.emulate_media(media="print")
    assert page.evaluate("printed") is True
    assert page.evaluate("seen()") == page.evaluate("folds")


WHOLE = [slug for slug, topic in TREE.topics.items() if topic.whole]


@pytest.mark.parametrize("topic", WHOLE)
def test_an_answer_is_eight_screens_long_at_most(open_page, topic):
    page = open_page(f"topics/{topic}/", viewport={"width": 1440, "height": 900})
    end = "document.querySelector('article').getBoundingClientRect().bottom + scrollY"
    assert 900 < page.evaluate(end) <= 8 * 900


@pytest.mark.parametrize("topic", WHOLE)
def test_an_answer_is_printed_on_six_sheets_that_can_be_read(open_page, topic):
    page = open_page(f"topics/{topic}/")
    assert 1 < sheets(page) <= 6
    page.emulate_media(media="print")
    for selector, least in (
        (".md-content :is(p, li, td)", 9),
        (".md-content pre code", 8),
    ):
        found = page.evaluate(SIZES, selector)
        assert found and min(found) >= least * POINT - 0.01, (selector, min(found))


def test_the_keyboard_gets_everywhere_and_shows_where_it_is(open_page):
    page = open_page("topics/event-loop/")
    page.keyboard.press("Tab")
    assert "md-skip" in page.evaluate("document.activeElement.className")
    stops = []
    while sum(stop["content"] for stop in stops) < 8:  # behind the whole navigation
        assert len(stops) < 100, "Tab does not get to the text"
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const { outlineStyle, outlineWidth } = getComputedStyle(at);
                  const box = at.getBoundingClientRect();
                  return { name: at.outerHTML.slice(0, 80), outline: outlineStyle,
                    seen: box.width > 0 && box.height > 0, y: box.top + scrollY,
                    content: Boolean(at.closest('article')) };
                }"""
            )
        )
    assert [stop for stop in stops if stop["outline"] == "none"] == []
    content = [stop["y"] for stop in stops if stop["content"]]
    line = 40  # px: what stands on one line has tops of its own
    assert all(after > before - line for before, after in pairwise(content))


def test_who_asks_for_less_motion_gets_none(open_page):
    moving = """() => [...document.querySelectorAll('*')].filter((element) =>
      getComputedStyle(element).transitionDuration.split(', ').some((d) => d !== '0s')
    ).length"""
    assert open_page(reduced_motion="reduce").evaluate(moving) == 0
    assert open_page(reduced_motion="no-preference").evaluate(moving) > 0


def test_code_wraps_on_a_phone_with_a_hanging_indent_and_is_copied_as_it_was(open_page):
    page = open_page(
        "topics/event-loop/claims/",
        viewport={"width": 360, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
    )
    page.evaluate(
        "for (const fold of document.querySelectorAll('details')) fold.open = 1"
    )
    blocks = page.locator("article pre > code")
    assert blocks.evaluate_all(
        "all => all.filter((code) => code.scrollWidth > code.clientWidth).length"
    ) == 0  # fmt: skip
    # a line that wraps: what is left begins further in than the line
    deeper = page.locator("article pre .l[data-i]").evaluate_all(
        """all => all.map((line) => {
          const range = document.createRange();
          range.selectNodeContents(line);
          const lefts = [...range.getClientRects()].filter(({ width }) => width > 8)
            .map(({ left, top }) => [Math.round(top), left]);
          const tops = [...new Set(lefts.map(([top]) => top))];
          const first = (top) => Math.min(...lefts.filter((l) => l[0] === top).map((l) => l[1]));
          return tops.length > 1 ? first(tops[1]) - first(tops[0]) : null;
        }).filter((x) => x !== null)"""
    )
    assert len(deeper) > 5
    for name in ("order.mjs", "busy-pool.mjs"):
        block = page.locator(f'.highlight:has(.filename:text("{name}"))')
        block.scroll_into_view_if_needed()
        block.get_by_role("button", name="Copy").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        source = (SNIPPETS / "event-loop" / name).read_text("utf-8")
        plain = [line for line in source.split("\n") if "--8<--" not in line]
        assert copied.rstrip() in "\n".join(plain) and copied.count("\n") > 3, copied


def test_naive_code_is_marked_and_has_no_copy_button(open_page):
    page = open_page("topics/event-loop/")
    page.evaluate(
        "for (const fold of document.querySelectorAll('details')) fold.open = 1"
    )
    naive = page.locator(".highlight.pn-naive")
    assert naive.count() >= 1
    for index in range(naive.count()):
        naive.nth(index).scroll_into_view_if_needed()
        assert "naive, not for use" in naive.nth(index).locator(".filename").inner_text()
    other = page.locator(".highlight:not(.pn-naive)").last
    other.scroll_into_view_if_needed()
    other.locator("button").wait_for()
    assert naive.locator("button").count() == 0


@pytest.mark.parametrize("width", [1280, 700])
def test_code_that_is_not_laid_out_yet_is_as_high_as_it_will_be(open_page, width):
    """Else a link would end beside its target, and the page would move under a reader.
    A phone lays out everything, since lines wrap there."""
    page = open_page("topics/rest-apis/claims/", viewport={"width": width, "height": 800})
    skipped, heights = page.evaluate(
        """() => {
          for (const fold of document.querySelectorAll('details')) fold.open = true;
          const all = [...document.querySelectorAll('pre[data-lines]')];
          const skipped = all.filter((pre) => !pre.querySelector('code')
            .checkVisibility({ contentVisibilityAuto: true }));
          const height = (pre) => pre.getBoundingClientRect().height;
          const before = all.map(height);
          for (const pre of all) pre.style.contentVisibility = 'visible';
          return [skipped.length, all.map((pre, i) => [before[i], height(pre)])];
        }"""
    )
    assert skipped > 3
    for before, after in heights:
        assert abs(before - after) < 0.5, heights  # px: browsers round a line's height


def test_an_unknown_address_says_where_to_go(open_page):
    page = open_page("topics/no-such-topic/")
    assert page.get_by_role("heading", name="There is no such page").is_visible()
    page.get_by_role("link", name="the ledger").click()
    assert page.url.endswith("/proven-node/ledger/")


# --- topics and notebooks -------------------------------------------------------


@pytest.mark.parametrize("kind", ["topics", "notebooks"])
def test_figures_say_what_they_show(published, kind):
    for topic in TREE.counted:
        folder = published / kind / topic
        text = "".join(page.read_text("utf-8") for page in folder.rglob("index.html"))
        figures = re.findall(r"<svg[^>]*\bpn-figure\b[^>]*>", text)
        assert len(figures) >= 2 and text.count("<text") > 20, (
            f"{kind}/{topic}: no figures — the notebook must have run before: make test"
        )
        for figure in figures:
            assert 'role="img"' in figure
            assert len(re.search('aria-label="([^"]*)"', figure)[1]) >= 40, topic
        assert not re.search(r"<img(?![^>]*\balt=)", text)


def test_notebook_pages_are_light_and_whole(published):
    """None of JupyterLab's style, no script of its own; every code cell is there."""
    for source in NOTEBOOKS.glob("*.ipynb"):
        text = (published / f"notebooks/{source.stem}/index.html").read_text("utf-8")
        assert "cdn" not in text.lower() and "unpkg" not in text
        cells = json.loads(source.read_text("utf-8"))["cells"]
        code = [c for c in cells if c["cell_type"] == "code"]
        assert (
            len(re.findall(r'id="cell-id=\d+" class="[^"]*jp-CodeCell', text))
            == len(code)
            > 3
        )
        assert "with the results of a run of its own" in text


def test_the_built_topic_shows_what_was_recorded(published):
    folder = published / "topics/event-loop"
    pages = {page.parent.name: page.read_text("utf-8") for page in folder.rglob("*.html")}
    assert pages.keys() == {"event-loop", "questions", "claims", "code"}
    text = "".join(pages.values())
    assert "{measured" not in text and "{version" not in text and "--8&lt;--" not in text
    for page in pages.values():
        assert re.search(
            r"proved with Node [\d.]+, Express [\d.]+; measured [\d-]+<", page
        )
    assert re.search(r"\d+ minutes; ", pages["event-loop"])
    assert "recorded, not asserted" in text and "asserted &gt; 3×" in text
    assert "login.naive.mjs — naive, not for use" in text
    proof = rf'test: <a href="{REPO}/blob/main/tests/topics/event-loop/test_\w+.py#L\d+"'
    assert len(re.findall(proof, text)) >= 12
    assert (published / "evidence/event-loop.json").exists()


def test_home_says_what_is_written_and_what_is_not(published):
    text = paths(published)[""]
    questions = re.findall(r'class="pn-question"[^>]*>(.*?)<', text)
    assert questions == [html.escape(topic.question) for topic in TREE.topics.values()]
    assert len(re.findall(r"\d+ claims tried: ", text)) == len(TREE.counted) > 0
    drafts = len(TREE.topics) - len(TREE.counted)
    assert text.count("being written") == drafts


# --- the bank of questions, old addresses, downloads ------------------------------


def test_the_bank_has_every_question_without_javascript(open_page):
    page = open_page("questions/", java_script_enabled=False)
    links = page.locator(".pn-bank li a")
    assert links.all_inner_texts() == [
        re.sub(r"[`*]", "", each.asked) for each in QUESTIONS
    ]
    notes = page.locator(".pn-bank li .pn-note").all_inner_texts()
    assert notes == [f"{q.options['level']} · {q.options['kind']}" for q in QUESTIONS]


def test_the_bank_is_filtered_by_topic_level_kind_and_words(open_page):
    page = open_page("questions/")
    rows = page.locator(".pn-bank li:visible")
    assert rows.count() == len(QUESTIONS)
    page.get_by_label("Level").select_option("senior")
    page.get_by_label("Topic").select_option("jwt")
    own = [q for q in QUESTIONS if q.topic == "jwt" and q.options["level"] == "senior"]
    assert rows.count() == len(own) > 0
    page.get_by_label("Words").fill("rotate")
    wanted = [q.asked for q in own if "rotate" in f"{q.asked} {q.also}".lower()]
    # the words beside a question are fetched when somebody begins to type
    process.until(lambda: rows.locator("a").all_inner_texts() == wanted)
    assert page.url.endswith("?topic=jwt&level=senior&words=rotate")
    page.reload(wait_until="networkidle")
    assert page.locator(".pn-filter output").inner_text() == (
        f"{rows.count()} of {len(QUESTIONS)}"
    )
    page.get_by_label("Words").fill("no such words anywhere")
    assert rows.count() == 0 and not page.locator(".pn-bank h2:visible").count()


OLD = json.loads((Path(__file__).parent / "old_anchors.json").read_text("utf-8"))


def test_every_old_anchor_leads_to_a_place_that_is_there(published, open_page):
    """As the pages had them when each topic was one page."""
    texts = paths(published)
    assert sum(len(anchors) for anchors in OLD.values()) > 500
    for topic, anchors in OLD.items():
        where = moved_pages.places(TREE.topics[topic])
        for anchor in anchors:
            part, now = where[anchor]
            path = f"topics/{topic}/" + ("" if part == "index" else f"{part}/")
            assert not now or f'id="{now}"' in texts[path], f"{topic}#{anchor}"
            old = anchor if anchor == now else f"{anchor}={now}"
            assert re.search(
                rf'data-anchors="[^"]*(?<![\w-]){old}[ "]', texts[f"chapters/{topic}/"]
            )


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("", "topics/jwt/"),
        ("#claim-clocks-agree", "topics/jwt/claims/#claim-clocks-agree"),
        ("#leaked-secret", "topics/jwt/questions/#leaked-secret"),
        ("#show-me", "topics/jwt/code/"),
        ("#in-production", "topics/jwt/#in-production"),
        ("#never-there", "topics/jwt/"),
    ],
)
def test_an_old_address_leads_on(open_page, old, now):
    page = open_page(f"chapters/jwt/{old}")
    page.wait_for_url(f"**/{now}*")
    assert page.url.split("/proven-node/")[1].startswith(now)


def test_an_old_address_links_the_four_pages_without_javascript(open_page):
    page = open_page("chapters/jwt/#leaked-secret", java_script_enabled=False)
    links = page.locator("article li a")
    assert links.evaluate_all("all => all.map(({ href }) => href.split('/topics/')[1])") == [
        "jwt/", "jwt/questions/", "jwt/claims/", "jwt/code/",
    ]  # fmt: skip


def test_a_missing_browser_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(browser.BrowserError, match="apt-get install chromium"):
        browser.executable()


def test_a_notebook_is_published_executed_only_if_its_cells_are_the_source(
    monkeypatch, tmp_path
):
    source = ROOT / "notebooks" / "event-loop.ipynb"
    assert EXECUTED.parent == BUILD
    monkeypatch.setattr(notebook_pages, "EXECUTED", tmp_path)
    assert notebook_pages.executed(source)[0] == ROOT
    copy = tmp_path / source.name
    copy.write_text(source.read_text("utf-8"), "utf-8")
    assert notebook_pages.executed(source) == (BUILD, "")
    copy.write_text(source.read_text("utf-8").replace("experiments", "trials"), "utf-8")
    assert "changed since" in notebook_pages.executed(source)[1]
