"""Code blocks as pages show them: few elements, and a height that is known beforehand."""

import re

# The text between is escaped, so the first end tag is the one that belongs to it.
_CODE = re.compile(r"<pre>(?=<span></span><code>(.*?)</code></pre>)", re.DOTALL)
_PLAIN_TOKEN = re.compile(r'<span class="(?:w|n|nx|nb|p|o)">([^<]*)</span>')


def fewer_elements(html: str) -> str:
    """A page without the elements around the tokens of code that have no colour of
    their own: white space, names, punctuation, operators. They are most of a topic's
    elements, and a phone lays all of them out before a reader can scroll."""
    return _PLAIN_TOKEN.sub(r"\1", html)


def sized(html: str) -> str:
    """A page whose blocks of code say how many lines they have: from that the style
    sheet knows their heights, so a browser need not lay out what is far below."""

    def sized(block: re.Match) -> str:
        lines = block[1].rstrip("\n").count("\n") + 1
        return f'<pre data-lines="{lines}">'

    return _CODE.sub(sized, html)
