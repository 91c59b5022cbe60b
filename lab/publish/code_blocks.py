"""Code blocks as pages show them: few elements, lines that can wrap, and a height that is
known beforehand."""

import re

# The text between is escaped, so the first end tag is the one that belongs to it.
_CODE = re.compile(r"<pre><span></span><code>(.*?)</code></pre>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PLAIN_TOKEN = re.compile(r'<span class="(?:w|n|nx|nb|p|o)">([^<]*)</span>')


def fewer_elements(html: str) -> str:
    """A page without the elements around the tokens of code that have no colour of
    their own: white space, names, punctuation, operators. They are most of a topic's
    elements, and a phone lays all of them out before a reader can scroll."""
    return _PLAIN_TOKEN.sub(r"\1", html)


def lined(html: str) -> str:
    """A page whose blocks of code say how many lines they have, and what each line is.

    From their number the style sheet knows a block's height, so a browser need not lay
    out what is far below; and on a phone each line wraps with a hanging indent. Pygments
    ends its elements at each line's end, so a line is whole. Search indexes no code
    blocks: what people look for stands in the text."""

    def line(text: str) -> str:
        indent = len(_TAG.sub("", text)) - len(_TAG.sub("", text).lstrip(" "))
        deep = f' data-i="{indent}"' if indent else ""
        return f'<span class="l"{deep}>{text}\n</span>'

    def block(found: re.Match) -> str:
        lines = found[1].removesuffix("\n").split("\n")
        start = f'<pre data-lines="{len(lines)}" data-search-exclude>'
        return f"{start}<span></span><code>{''.join(map(line, lines))}</code></pre>"

    return _CODE.sub(block, html)
