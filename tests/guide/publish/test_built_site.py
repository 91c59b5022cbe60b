"""The built site, as published: looked at in Chromium, after the notebooks have run.

Its name comes first among the tests of the site, so its long tests begin first, one on
each worker."""

import html
import json
import re
from html.parser import HTMLParser
from itertools import filterfalse
from urllib.parse import urldefrag, urljoin
from xml.etree import ElementTree

import pytest

from lab import SNIPPETS
from lab.publish import PublishError, builder, feed
from lab.publish.policy import scripts
from lab.run import browser

from .shared import REPO, TREE, URL, moved, part, paths

pytestmark = pytest.mark.site

AXE = (SNIPPETS / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


# --- every page -------------------------------------------------------------------

KB = 1024
PARTS = 2  # of the pages, each looked at by a test of its own
# of a topic's answer and of its other pages, once it is whole; else that of any page
ANSWER, PART, ANY, NOTEBOOK = 80 * KB, 90 * KB, 120 * KB, 200 * KB


def budget(path: str) -> int:
    """Bytes that the first view of a page may take, gzipped."""
    if path.startswith("notebooks/"):
        return NOTEBOOK
    if path == "questions/":
        return PART
    found = part(path)
    if not found or not TREE.topics[found[0]].whole:
        return ANY
    return PART if found[1] else ANSWER


# as a reader who opens everything and scrolls through it: code and tables that are wider
# than their box become focusable once they have been in sight, so all of it is in sight of
# a window as high as the page
OPEN = """
() => {
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  // and axe shall see what a browser need not lay out
  for (const pre of document.querySelectorAll('pre[data-lines]'))
    pre.style.contentVisibility = 'visible';
  return document.documentElement.scrollHeight;
}
"""
FOCUSABLE = """
async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
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
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that look at them
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
@pytest.mark.parametrize("part_of", range(PARTS))
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_keeps_its_promises(published, served, chromium, width, part_of):
    """One visit a page, its cache empty and in the end all folds open. In both schemes:
    no axe violation, no figure too faint to read. No request to a third party, no message
    in the console (so nothing that the policy forbids), no cookie, no sideways scroll,
    and no more than its budget transferred, gzipped."""
    faults = []
    for path in [*filterfalse(moved, paths(published))][part_of::PARTS]:
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
        limit, weight = budget(path), sum(sizes)
        print(f"{path or 'home'}: {weight / KB:.1f} KB of {limit // KB}")
        if len(sizes) <= 4 or weight > limit:
            found.append(f"{weight / KB:.1f} KB in {len(sizes)} files, of {limit // KB}")
        page.set_viewport_size({"width": width, "height": page.evaluate(OPEN)})
        page.evaluate(FOCUSABLE)
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(AXE)
        for scheme in ("default", "slate"):
            if page.evaluate(SCHEME) != scheme:
                page.evaluate(OTHER_SCHEME)
            if page.evaluate(SCHEME) != scheme:
                found.append(f"cannot be switched to {scheme}")
            # what is dark differs in nothing but colours
            rules = COLOURS if scheme == "slate" else None
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
        if moved(path):  # known by what took its place
            now = URL + path.replace("chapters/", "topics/")
            assert f'<link rel="canonical" href="{now}">' in text
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
        answer = (published / f"topics/{topic}/index.html").read_text("utf-8")
        assert f'href="{REPO}/edit/main/docs/topics/{topic}/index.md"' in answer
        assert f'href="{REPO}/edit/main/notebooks/{topic}.ipynb"' in book
        binder = f"https://mybinder.org/v2/gh/somebody/proven-node/main?labpath=notebooks/{topic}.ipynb"
        assert f'href="{binder}"' in answer and f'href="{binder}"' in book
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
