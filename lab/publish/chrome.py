"""A page as it is sent: the theme's landmarks named, without white space that nobody
sees, and without the words that are only there for the search index."""

import re
from pathlib import Path

# In a navigation whose sections have a page of their own, the label that should name a
# list is empty; its title, which stands in it, has the name.
_NAMELESS = re.compile(
    r'(<nav class="md-nav" data-md-level="\d+") aria-labelledby="__nav_[\d_]+_label"'
    r'([^>]*>\s*<label class="md-nav__title"[^>]*>\s*<span[^>]*></span>\s*)([^<]*?)(\s*<)'
)
_SYNONYMS = re.compile(r'<p class="pn-also">.*?</p>\s*', re.DOTALL)
_ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
# between elements that lie below one another, where white space has no meaning
_SPACE = re.compile(
    r"(</?(?:div|nav|ul|li|label|header|footer|aside|main|section|form|link|meta|head|body"
    r"|html|title|script)\b[^>]*>)\s+(?=<)"
)


def uncomment(assets: Path) -> None:
    """Take the comments out of our own style sheets and scripts: they are for who edits
    them, and a fifth of what every reader would load. A comment of a script is a line of
    its own."""
    for path in assets.glob("*.css"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"/\*.*?\*/\s*", "", text, flags=re.DOTALL), "utf-8")
    for path in assets.glob("*.js"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"^\s*//.*\n", "", text, flags=re.MULTILINE), "utf-8")


def named(html: str) -> str:
    """A page whose navigations have names that a screen reader can list."""
    return _NAMELESS.sub(r'\1 aria-label="\3"\2\3\4', html)


def without_synonyms(html: str) -> str:
    """A page without the other words for its questions: the index has them by now."""
    return _SYNONYMS.sub("", html)


def tight(html: str) -> str:
    """A page without white space between the theme's elements; the article, where it
    may be part of the text, stays as it is."""
    found = _ARTICLE.search(html)
    if not found:
        return html
    before, after = html[: found.start()], html[found.end() :]
    return _SPACE.sub(r"\1", before) + found[0] + _SPACE.sub(r"\1", after)
