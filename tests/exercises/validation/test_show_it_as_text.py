"""The checks of validation/show-it-as-text. A docstring is the hint that a learner reads
when the check fails."""

from html.parser import HTMLParser

import pytest

from lab.run import node

SCRIPT = "<script>alert(1)</script>"
HONEST = "O'Brien <3 tea & biscuits"


class Page(HTMLParser):
    """The elements with their attributes, and the text, of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.links, self.titles = [], "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *sorted(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.text += data


def entry(name="Ann", text="Good tea", home=""):
    return {"name": name, "text": text, "home": home}


def shown(attempt, entries):
    """What a visitor gets after some entries, and what is stored of them."""
    with node.serve(attempt) as server, server.client() as client:
        for one in entries:
            client.post("/entries", json=one)
        stored = client.get("/entries.json").json()
        return Page(client.get("/").text), stored


def elements_of(attempt, entries):
    """The elements with these entries, and with as many harmless ones."""
    page, _ = shown(attempt, entries)
    usual, _ = shown(attempt, [entry()] * len(entries))
    return page, sorted(set(page.elements) - set(usual.elements)), usual


@pytest.mark.fails_at_start
def test_no_text_becomes_an_element(attempt):
    """There is always another tag. Which characters would have to be written otherwise
    for a browser to see text, and when is it known that a browser will read it?"""
    texts = (SCRIPT, "<img src=x onerror=alert(1)>", "<scr<script>ipt>a()</script>")
    page, extra, usual = elements_of(attempt, [entry(text=text) for text in texts])
    assert page.elements == usual.elements, f"elements made of text: {extra}"


@pytest.mark.fails_at_start
def test_no_name_becomes_an_attribute(attempt):
    """The name stands in an attribute, too. What ends an attribute's value?"""
    names = ['" onmouseover="alert(1)', "' onclick='alert(1)"]
    page, extra, usual = elements_of(attempt, [entry(name=name) for name in names])
    assert page.elements == usual.elements, f"attributes made of a name: {extra}"
    assert sorted(page.titles) == sorted(names), f"titles: {page.titles}, not {names}"


@pytest.mark.fails_at_start
def test_no_link_runs_a_script(attempt):
    """Encoding a URL for an attribute doesn't change where it leads. Which schemes may
    a home page have, and who knows how a browser will read this text?"""
    homes = (
        "javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)",
        "\x01javascript:alert(1)", "data:text/html,<script>alert(1)</script>",
    )  # fmt: skip
    page, _ = shown(attempt, [entry(home=home) for home in homes])
    assert not page.links, f"there are links to {page.links}"


def test_a_link_to_a_home_page_still_works(attempt):
    """https://shop.test/?a=1&b=2 must come out of the attribute as it went in."""
    page, _ = shown(attempt, [entry(home="https://shop.test/?a=1&b=2")])
    assert page.links == ["https://shop.test/?a=1&b=2"]


@pytest.mark.fails_at_start
def test_what_is_stored_is_what_was_sent(attempt):
    """Another client (an app, a mail, a search) reads the same entries, and no browser
    is between. Whose business is HTML?"""
    texts = (f"I like {SCRIPT} in books", HONEST, "&lt;b&gt;")
    entries = [entry(text=text) for text in texts]
    _, stored = shown(attempt, entries)
    for one in entries:
        assert one in stored, f"sent {one}, stored {stored}"


@pytest.mark.fails_at_start
def test_what_people_write_is_readable(attempt):
    """What was encoded twice, or cut away, is not what she wrote."""
    texts = (HONEST, "5 > 4 & &lt; is <", 'a "quoted" word', f"about {SCRIPT}")
    page, _ = shown(attempt, [entry(text=text, name=text) for text in texts])
    for text in texts:
        assert page.text.count(text) == 2, f"{text!r} is not in {page.text!r} twice"
