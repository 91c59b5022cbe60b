"""The built site, opened in Chromium."""

import re

import pytest

from lab import ROOT, browser, site


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site.build(folder)
    return folder


@pytest.fixture
def chrome():
    try:
        browser.executable()
    except browser.BrowserError as error:
        pytest.skip(str(error))
    with browser.chromium() as running:
        yield running


PAGES = ("", "chapters/event-loop/", "notebooks/event-loop/")
SCHEMES = ("light", "dark")
WIDTHS = (1280, 360)


def test_pages_ask_nobody_else_log_no_error_and_fit_the_screen(built, chrome):
    with browser.static(built) as url:
        for scheme in SCHEMES:
            for width in WIDTHS:
                faults = []
                context = chrome.new_context(
                    viewport={"width": width, "height": 800}, color_scheme=scheme
                )
                page = context.new_page()
                page.on("console", lambda m: faults.append(f"{m.type}: {m.text}"))  # noqa: B023
                page.on("pageerror", lambda e: faults.append(str(e)))  # noqa: B023
                page.on(
                    "request",
                    lambda r: r.url.startswith((url, "data:")) or faults.append(r.url),  # noqa: B023
                )
                for path in PAGES:
                    page.goto(f"{url}/{path}", wait_until="networkidle")
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, f"/{path} is {wide} px wide at {width}"
                assert faults == [], f"{scheme}, {width} px"
                context.close()


CONTRAST = """
() => [...document.querySelectorAll('.pn-figure text')].map((text) => {
  const lightness = (color) => {
    const canvas = document.createElement('canvas').getContext('2d');
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data
      .map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const page = lightness(getComputedStyle(document.body).backgroundColor);
  const ink = lightness(getComputedStyle(text).fill);
  return (Math.max(page, ink) + .05) / (Math.min(page, ink) + .05);
})
"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_figures_are_legible_on_both_schemes(built, chrome, scheme):
    with browser.static(built) as url:
        page = chrome.new_page(color_scheme=scheme)
        page.goto(f"{url}/chapters/event-loop/", wait_until="networkidle")
        ratios = page.evaluate(CONTRAST)
        assert len(ratios) > 20
        # 4.5 is what WCAG asks of text, 3 of graphics: the coloured signs
        assert min(ratios) > 3, sorted(ratios)[:5]
        named = page.locator("svg.pn-figure[role=img]").evaluate_all(
            "all => all.map((svg) => svg.getAttribute('aria-label').length)"
        )
        assert min(named) >= 40


def test_a_missing_browser_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(browser.BrowserError, match="apt-get install chromium"):
        browser.executable()


def test_the_built_chapter_shows_what_was_recorded(built):
    text = (built / "chapters/event-loop/index.html").read_text("utf-8")
    assert "{measured" not in text and "{version" not in text and "--8&lt;--" not in text
    assert 'id="claim-async-means-non-blocking"' in text
    assert re.search(r"checked with Node [\d.]+, Express [\d.]+; measured [\d-]+<", text)
    assert "recorded, not asserted" in text and "asserted &gt; 3×" in text
    assert "login.naive.mjs — naive, not for use" in text
    assert (built / "evidence/event-loop.json").exists()


def test_a_notebook_is_published_executed_only_if_its_cells_are_the_source(
    monkeypatch, tmp_path
):
    source = ROOT / "notebooks" / "event-loop.ipynb"
    monkeypatch.setattr(site, "EXECUTED", tmp_path)
    assert site._executed(source)[0] == ROOT
    copy = tmp_path / source.name
    copy.write_text(source.read_text("utf-8"), "utf-8")
    assert site._executed(source) == (site.BUILD, "")
    copy.write_text(source.read_text("utf-8").replace("experiments", "trials"), "utf-8")
    assert "changed since" in site._executed(source)[1]
