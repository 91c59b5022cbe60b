"""The checks of validation/show-it-as-text. A docstring is the hint that a learner reads
when the check fails."""

from html.parser import HTMLParser

import pytest

from lab import node

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


def shown(attempt, name="Ann", text="Good tea", home=""):
    """What a visitor gets after one entry, and what is stored of it."""
    with node.serve(attempt) as server, server.client() as client:
        entry = {"name": name, "text": text, "home": home}
        client.post("/entries", json=entry)
        stored = client.get("/entries.json").json()
        return Page(client.get("/").text), stored, entry


@pytest.mark.fails_at_start
def test_no_text_becomes_an_element(attempt):
    """There is always another tag. Which characters would have to be written otherwise
    for a browser to see text, and when is it known that a browser will read it?"""
    usual, _, _ = shown(attempt)
    for text in (SCRIPT, "<img src=x onerror=alert(1)>", "<scr<script>ipt>a()</script>"):
        page, _, _ = shown(attempt, text=text)
        assert page.elements == usual.elements, f"{text!r} makes {page.elements}"


@pytest.mark.fails_at_start
def test_no_name_becomes_an_attribute(attempt):
    """The name stands in an attribute, too. What ends an attribute's value?"""
    usual, _, _ = shown(attempt)
    for name in ('" onmouseover="alert(1)', "' onclick='alert(1)"):
        page, _, _ = shown(attempt, name=name)
        assert page.elements == usual.elements, f"{name!r} makes {page.elements}"
        assert page.titles == [name], f"the title is {page.titles}, not {name!r}"


@pytest.mark.fails_at_start
def test_no_link_runs_a_script(attempt):
    """Encoding a URL for an attribute doesn't change where it leads. Which schemes may
    a home page have, and who knows how a browser will read this text?"""
    for home in (
        "javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)",
        "\x01javascript:alert(1)", "data:text/html,<script>alert(1)</script>",
    ):  # fmt: skip
        page, _, _ = shown(attempt, home=home)
        assert not page.links, f"{home!r} becomes a link to {page.links[0]!r}"


def test_a_link_to_a_home_page_still_works(attempt):
    """https://shop.test/?a=1&b=2 must come out of the attribute as it went in."""
    page, _, _ = shown(attempt, home="https://shop.test/?a=1&b=2")
    assert page.links == ["https://shop.test/?a=1&b=2"]


@pytest.mark.fails_at_start
def test_what_is_stored_is_what_was_sent(attempt):
    """Another client (an app, a mail, a search) reads the same entries, and no browser
    is between. Whose business is HTML?"""
    for text in (f"I like {SCRIPT} in books", HONEST, "&lt;b&gt;"):
        _, stored, entry = shown(attempt, text=text)
        assert stored == [entry], f"stored {stored}, sent {entry}"


@pytest.mark.fails_at_start
def test_what_people_write_is_readable(attempt):
    """What was encoded twice, or cut away, is not what she wrote."""
    for text in (HONEST, "5 > 4 & &lt; is <", 'a "quoted" word'):
        page, _, _ = shown(attempt, text=text, name=text)
        assert page.text.count(text) == 2, f"{text!r} is not in {page.text!r} twice"
