"""The built site, as published: looked at in Chromium, after the notebooks have run."""

import fcntl
import html
import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import urldefrag, urljoin
from xml.etree import ElementTree

import pytest

from lab import BUILD, EXECUTED, NOTEBOOKS, ROOT, SNIPPETS
from lab.check import content, pages
from lab.publish import PublishError, builder, feed, notebook_pages
from lab.publish.policy import scripts
from lab.run import browser

pytestmark = pytest.mark.site

URL = "https://reader.example/proven-node/"  # below a path, as project pages are
REPO = "https://github.com/somebody/proven-node"
TREE = content.read()
CLAIMS = [claim for page in TREE.whole.values() for claim in page.claims]
AXE = (SNIPPETS / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The site with its address and repository known; built once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "published"
    with (shared / "published.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            building = tmp_path_factory.mktemp("site") / "site"
            builder.build(building, GUIDE_URL=URL, GUIDE_REPO=REPO)
            building.rename(folder)
    return folder


@pytest.fixture(scope="module")
def served(published):
    """Its address, with the headers that a host would send."""
    with browser.static(published, "/proven-node") as url:
        yield url


@pytest.fixture
def open_page(chromium, served):
    """Open a path of the site in a context of its own; gives the Playwright page."""
    contexts = []

    def opened(path="", **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{served}/{path}", wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()


def paths(folder: Path) -> dict[str, str]:
    """The text of every page by its path in the site."""
    return {
        page.relative_to(folder).as_posix().removesuffix("index.html"): text
        for page in sorted(folder.rglob("*.html"))
        for text in [page.read_text("utf-8")]
    }


# --- every page -------------------------------------------------------------------

KB = 1024
BUDGETS = {"chapters/": 120 * KB, "notebooks/": 200 * KB, "": 120 * KB}

# as a reader who opens everything and scrolls through it: code and tables that are wider
# than their box become focusable once they have been in sight
READ = """
async () => {
  const frame = () => new Promise(requestAnimationFrame);
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
    scrollTo(0, y);
    await frame();
    await frame();
  }
  // and axe shall see what a browser need not lay out
  for (const pre of document.querySelectorAll('pre[data-lines]'))
    pre.style.contentVisibility = 'visible';
  const wide = () => [...document.querySelectorAll('pre > code, .md-typeset__scrollwrap')]
    .some((box) => box.scrollWidth > box.clientWidth && box.tabIndex < 0);
  // the theme makes what scrolls focusable in its own time; what it forgets, axe tells
  for (const until = performance.now() + 30000; wide() && performance.now() < until; )
    await frame();
}
"""
# what passes is not written down for each element: that takes a quarter of the time
AXE_RUN = """
async (rules) => {
  const runOnly = rules ? { runOnly: rules } : {};
  const { violations } = await axe.run({ resultTypes: ['violations'], ...runOnly });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
    `${id}: ${target.join(' ')} ${failureSummary.replaceAll('\\n', ' ')}`));
}
"""
SCHEME = "() => document.body.dataset.mdColorScheme"
OTHER_SCHEME = """
() => [...document.querySelectorAll('label[for^=__palette]')].find((l) => !l.hidden).click()
"""
# 4.5 is what WCAG asks of text (axe sees to it), 3 of graphics: the signs in figures
FAINT = """
() => {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const lightness = (color) => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data
      .map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const page = lightness(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('.pn-figure text')].flatMap((text) => {
    const ink = lightness(getComputedStyle(text).fill);
    const ratio = (Math.max(page, ink) + .05) / (Math.min(page, ink) + .05);
    return ratio > 3 ? [] : [`${text.textContent.trim()} ${ratio.toFixed(1)}`];
  });
}
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_keeps_its_promises(published, served, chromium, width):
    """One visit a page, its cache empty and in the end all folds open. In both schemes:
    no axe violation, no figure too faint to read. No request to a third party, no message
    in the console (so nothing that the policy forbids), no cookie, no sideways scroll,
    and no more than its budget transferred, gzipped."""
    faults = []
    for path in paths(published):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme="light"
        )
        page = context.new_page()
        sizes, found = [], []
        page.on("console", lambda m: found.append(f"{m.type} {m.text}"))  # noqa: B023
        page.on("pageerror", lambda e: found.append(str(e)))  # noqa: B023
        page.on(
            "request",
            lambda r: r.url.startswith((served, "data:")) or found.append(r.url),  # noqa: B023
        )
        page.on(
            "requestfinished",
            lambda r: sizes.append(r.sizes()["responseBodySize"]),  # noqa: B023
        )
        page.goto(f"{served}/{path}", wait_until="networkidle")
        budget = next(b for prefix, b in BUDGETS.items() if path.startswith(prefix))
        weight = sum(sizes)
        print(f"{path or 'home'}: {weight / KB:.1f} KB of {budget // KB}")
        if len(sizes) <= 4 or weight > budget:
            found.append(f"{weight / KB:.1f} KB in {len(sizes)} files, of {budget // KB}")
        page.evaluate(READ)
        page.evaluate(AXE)
        for scheme in ("default", "slate"):
            if page.evaluate(SCHEME) != scheme:
                page.evaluate(OTHER_SCHEME)
            if page.evaluate(SCHEME) != scheme:
                found.append(f"cannot be switched to {scheme}")
            # the other width asks all rules in both schemes, and a width has no colour
            rules = ["color-contrast"] if (scheme, width) == ("slate", 360) else None
            found += [f"{scheme}: axe {each}" for each in page.evaluate(AXE_RUN, rules)]
            found += [f"{scheme}: faint {each}" for each in page.evaluate(FAINT)]
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{wide} px wide")
        found += [f"cookie {cookie['name']}" for cookie in context.cookies()]
        context.close()
        faults += [f"{path or 'home'}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_what_a_visit_looks_for_is_found_where_it_is_planted(
    published, chromium, tmp_path
):
    text = (published / "index.html").read_text("utf-8")
    # an image without alternative, a figure for one scheme only, text that is for
    # the other, and a script that the build has not seen
    figure = '<svg class="pn-figure"><text fill="#111111">by day</text></svg>'
    text = text.replace(
        "<h1",
        f'<img src="assets/card.png">{figure}<font color="#fcfcfc">by night</font><h1',
    )
    text = text.replace("</body>", "<script>window.planted = true</script></body>")
    (tmp_path / "planted.html").write_text(text, "utf-8")
    for name in ("assets", "_headers"):
        (tmp_path / name).symlink_to(published / name)
    with browser.static(tmp_path) as url:
        page = chromium.new_page()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{url}/planted.html", wait_until="networkidle")
        page.evaluate(AXE)
        by_day, faint_by_day = page.evaluate(AXE_RUN), page.evaluate(FAINT)
        page.evaluate(OTHER_SCHEME)
        by_night = page.evaluate(AXE_RUN)
        faint_by_night = page.evaluate(FAINT)
        assert page.evaluate("window.planted") is None
        page.close()
    assert any(fault.startswith("image-alt: img") for fault in by_day)
    assert any(fault.startswith("color-contrast: font") for fault in by_day)
    assert not any(fault.startswith("color-contrast: font") for fault in by_night)
    assert [each for each in faint_by_day if "by day" in each] == []
    assert len([each for each in faint_by_night if each.startswith("by day 1.")]) == 1
    assert any("Content Security Policy" in text for text in said)


def test_pages_have_no_inline_style_or_handler_and_no_foreign_resource(published):
    """What the policy forbids is not there at all, rather than blocked."""
    for path, text in paths(published).items():
        assert not re.search(r"<style\b|<[^>]+\s(?:style|on\w+)=", text), path
        sources = re.findall(
            r'\bsrc="([^"]+)"|<link rel="stylesheet" href="([^"]+)"', text
        )
        assert sources
        assert not [a or b for a, b in sources if "//" in (a or b)], path


def test_the_policy_is_strict_and_knows_every_script(published):
    header = (published / "_headers").read_text("utf-8")
    assert "unsafe" not in header and "frame-ancestors 'none'" in header
    for path, text in paths(published).items():
        policy = re.search(r'Security-Policy" content="([^"]+)"', text)[1]
        policy = html.unescape(policy)
        assert text.index("Security-Policy") < text.index("<script"), path
        assert "default-src 'none'" in policy and "unsafe" not in policy
        hashes = scripts(text)
        assert hashes and hashes <= set(policy.replace(";", " ").split()), path
        assert hashes <= set(header.replace(";", " ").split()), path


def test_scripts_are_hashed_as_browsers_hash_them():
    # echo -n 'alert(1)' | openssl dgst -sha256 -binary | base64
    known = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    page = '<script>alert(1)</script><script src="a.js"></script>'
    assert scripts(page) == {known}


# --- links ------------------------------------------------------------------------


class _Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def dead(texts: dict[str, str], files: set[str], base: str) -> list[str]:
    """Links of pages to something that is not in the site, anchors included."""
    read = {path: _Links(text) for path, text in texts.items()}
    found = []
    for path, page in read.items():
        for link in page.links:
            target, anchor = urldefrag(urljoin(base + path, link))
            if not target.startswith(base):
                elsewhere = target.startswith(("https:", "data:"))
                if not elsewhere or target.startswith(urljoin(base, "/")):
                    found.append(f"{path}: {link}")
                continue
            name = target.removeprefix(base)
            if (
                name not in files
                and name not in read
                or anchor
                and name in read
                and anchor not in read[name].ids
            ):
                found.append(f"{path}: {link}")
    return found


def test_links_and_anchors_lead_somewhere(published):
    files = {
        file.relative_to(published).as_posix()
        for file in published.rglob("*")
        if file.is_file()
    }
    texts = paths(published)
    assert sum(len(_Links(text).links) for text in texts.values()) > 200
    assert dead(texts, files, URL) == []


@pytest.mark.parametrize(
    "link", ["../gone/", "#gone", "../#gone", "http://plain.example/", "/elsewhere.css"]
)
def test_a_dead_link_is_found(link):
    texts = {"": '<i id="here">', "a/": f'<a href="../#here">ok</a><a href="{link}">'}
    assert dead(texts, {"x.css"}, URL) == [f"a/: {link}"]
    assert dead({"": texts[""]}, set(), URL) == []


# --- what search engines and feed readers get -------------------------------------


def test_pages_describe_themselves_once_each(published):
    sitemap = (published / "sitemap.xml").read_text("utf-8")
    seen: dict[str, str] = {}
    for path, text in paths(published).items():
        described = re.findall(r'<meta name="description" content="([^"]*)"', text)
        assert len(described) == 1, path
        if path == "404.html":
            assert "canonical" not in text and URL + path not in sitemap
            continue
        assert 30 <= len(html.unescape(described[0])) <= 155, path
        assert described[0] not in seen, f"{path} is described as {seen[described[0]]}"
        seen[described[0]] = path
        assert f'<link rel="canonical" href="{URL}{path}">' in text
        assert f"<loc>{URL}{path}</loc>" in sitemap
        assert f'<meta property="og:url" content="{URL}{path}">' in text
        assert f'<meta property="og:description" content="{described[0]}">' in text
        assert f'<meta property="og:image" content="{URL}assets/card.png">' in text
    card = (published / "assets" / "card.png").read_bytes()
    assert card[16:24] == (1200).to_bytes(4) + (630).to_bytes(4)


def test_the_feed_has_the_changelog(published):
    root = ElementTree.parse(published / "changelog.xml").getroot()
    items = root.findall("channel/item")
    entries = re.findall(
        r"^## (\S+): (.*)$", TREE.files["docs/changelog.md"], re.MULTILINE
    )
    assert [item.findtext("title") for item in items] == [title for _, title in entries]
    page = paths(published)["changelog/"]
    for item in items:
        link, anchor = urldefrag(item.findtext("link"))
        assert link == f"{URL}changelog/" and f'id="{anchor}"' in page
        assert 'href="../' not in item.findtext("description")
    head = paths(published)["ledger/"]
    assert 'type="application/rss+xml"' in head and 'href="../changelog.xml"' in head


def test_a_changelog_without_dates_is_answered():
    with pytest.raises(PublishError, match="docs/changelog.md: no entry"):
        feed.feed("<article><h2 id=x>What changed</h2></article>", URL, "x")


def test_edit_and_binder_links_name_the_repository(published):
    for topic in TREE.topics:
        book = (published / f"notebooks/{topic}/index.html").read_text("utf-8")
        chapter = (published / f"chapters/{topic}/index.html").read_text("utf-8")
        assert f'href="{REPO}/edit/main/docs/chapters/{topic}.md"' in chapter
        assert f'href="{REPO}/edit/main/notebooks/{topic}.ipynb"' in book
        binder = f"https://mybinder.org/v2/gh/somebody/proven-node/main?labpath=notebooks/{topic}.ipynb"
        assert f'href="{binder}"' in chapter and f'href="{binder}"' in book
        assert f'href="{topic}.ipynb" download' in book
        source = published / "notebooks" / topic / f"{topic}.ipynb"
        assert json.loads(source.read_text("utf-8"))["cells"]


def test_without_address_and_repository_nothing_points_there(monkeypatch, tmp_path):
    monkeypatch.delenv("GUIDE_URL", raising=False)
    builder.build(tmp_path, GUIDE_REPO="")  # as a workflow sets what it doesn't know
    there = '"canonical"|og:url|og:image|rss\\+xml|mybinder|/edit/main|/issues/new'
    for path, text in paths(tmp_path).items():
        assert not re.search(there, text), path
    assert not (tmp_path / "changelog.xml").exists()


# --- reading ----------------------------------------------------------------------


def test_search_finds_claims_and_follow_ups_and_no_notebook(open_page):
    """The index comes when search is opened, and the policy lets its worker run."""
    page = open_page("chapters/event-loop/")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert not page.evaluate(
        "performance.getEntriesByType('resource').some((r) => /search_index/.test(r.name))"
    )
    page.keyboard.press("/")
    claim, follow_up = "async function block the event loop", "prove sockets no thread"
    for words, target in (
        (claim, "#claim-async-means-non-blocking"),
        (follow_up, "#prove-that-sockets-need-no-thread"),
    ):
        page.get_by_role("textbox", name="Search").fill("")
        page.keyboard.type(words)
        hit = page.locator(f'.md-search-result__link[href*="{target}"]').first
        hit.wait_for(timeout=10_000)
    links = page.locator(".md-search-result__link")
    every = links.evaluate_all("all => all.map((link) => link.href)")
    assert every and not [link for link in every if "/notebooks/" in link]
    assert any(url.endswith("search/search_index.json") for url in asked)
    # following it opens the fold
    page.locator(f'.md-search-result__link[href*="{target}"]').first.click()
    fold = page.locator(f"details:has({target})")
    page.wait_for_function("() => document.querySelector(location.hash)")
    assert fold.evaluate("(fold) => fold.open")


def test_claims_and_follow_ups_have_links_of_their_own(published):
    for topic, page in TREE.whole.items():
        text = (published / f"chapters/{topic}/index.html").read_text("utf-8")
        names = [f"claim-{claim.options['id']}" for claim in page.claims]
        names += [fold.id for fold in page.details if fold.id]
        assert len(names) > 15
        for name in names:
            assert text.count(f'id="{name}"') == 1
            assert f'class="headerlink" href="#{name}"' in text, name


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
    return page.locator(".pn-ledger tr[data-verdict]").evaluate_all(
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


def test_the_summary_has_every_answer_and_is_printed_on_two_pages(open_page):
    page = open_page("summary/")
    answers = page.locator(".pn-answers section")
    assert answers.locator("h2 a:first-child").all_inner_texts() == [
        pages.question(chapter) for chapter in TREE.whole.values()
    ]
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "12mm")
    printed = page.pdf(format="A4", margin=margin)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2


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
        f"{len(own)} of {len(CLAIMS)} claims"
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


def test_printing_opens_the_folds(open_page):
    page = open_page("chapters/event-loop/")
    closed = "document.querySelectorAll('.md-content details:not([open])').length"
    assert page.evaluate(closed) > 20
    page.evaluate(
        f"addEventListener('beforeprint', () => {{ window.closed = {closed}; }})"
    )
    page.pdf()
    assert page.evaluate("window.closed") == 0
    assert page.evaluate(closed) > 20  # as before


def test_the_keyboard_gets_everywhere_and_shows_where_it_is(open_page):
    page = open_page("chapters/event-loop/")
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


def test_code_scrolls_inside_its_block_on_a_phone(open_page):
    page = open_page("chapters/event-loop/", viewport={"width": 360, "height": 800})
    wider = page.locator("article pre > code").evaluate_all(
        "all => all.filter((code) => code.scrollWidth > code.clientWidth).length"
    )
    assert wider > 5  # and no page is: see above


@pytest.mark.parametrize("width", [1280, 360])
def test_code_that_is_not_laid_out_yet_is_as_high_as_it_will_be(open_page, width):
    """Else a link would end beside its target, and the page would move under a reader."""
    page = open_page("chapters/event-loop/", viewport={"width": width, "height": 800})
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
    assert skipped > 20
    for before, after in heights:
        assert abs(before - after) < 0.5, heights  # px: browsers round a line's height


def test_an_unknown_address_says_where_to_go(open_page):
    page = open_page("chapters/no-such-chapter/")
    assert page.get_by_role("heading", name="There is no such page").is_visible()
    page.get_by_role("link", name="the ledger").click()
    assert page.url.endswith("/proven-node/ledger/")


# --- chapters and notebooks -------------------------------------------------------


@pytest.mark.parametrize("kind", ["chapters", "notebooks"])
def test_figures_say_what_they_show(published, kind):
    for topic in TREE.whole:
        text = (published / kind / topic / "index.html").read_text("utf-8")
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
        assert len(re.findall(r'jp-CodeCell[^>]*id="cell-id=', text)) == len(code) > 3
        assert "with the results of a run of its own" in text


def test_the_built_chapter_shows_what_was_recorded(published):
    text = (published / "chapters/event-loop/index.html").read_text("utf-8")
    assert "{measured" not in text and "{version" not in text and "--8&lt;--" not in text
    assert re.search(r"checked with Node [\d.]+, Express [\d.]+; measured [\d-]+<", text)
    assert "recorded, not asserted" in text and "asserted &gt; 3×" in text
    assert "login.naive.mjs — naive, not for use" in text
    proof = rf'test: <a href="{REPO}/blob/main/tests/topics/event-loop/test_\w+.py#L\d+"'
    assert len(re.findall(proof, text)) >= 12
    assert (published / "evidence/event-loop.json").exists()


def test_home_says_what_is_written_and_what_is_not(published):
    text = paths(published)[""]
    questions = re.findall(r'class="pn-question"[^>]*>(.*?)<', text)
    assert questions == [
        html.escape(pages.question(page)) for page in TREE.topics.values()
    ]
    assert len(re.findall(r"\d+ claims tried: ", text)) == len(TREE.whole) > 0
    drafts = len(TREE.topics) - len(TREE.whole)
    assert text.count("being written") == drafts


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
