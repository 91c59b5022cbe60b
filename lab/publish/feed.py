"""The changelog as RSS, so that readers learn which answers changed."""

import email.utils
import html
import re
import xml.etree.ElementTree as etree
from datetime import UTC, datetime
from urllib.parse import urljoin

from lab.publish import PublishError

_CHANGE = re.compile(
    r'<h2 id="([^"]+)">(\d{4}-\d\d-\d\d): (.*?)<a class="headerlink".*?</h2>'
    r"(.*?)(?=<h2|\Z)",
    re.DOTALL,
)


def feed(page: str, url: str, title: str) -> str:
    """RSS 2.0 of the changelog's entries, from its rendered page at `url`.

    Raises PublishError when there is none: an entry is a heading of the second level
    that begins with its date.
    """
    entries = _CHANGE.findall(page.partition("</article>")[0])
    if not entries:
        raise PublishError(
            "docs/changelog.md: no entry — write `## 2026-01-31: What changed`"
        )
    rss = etree.Element("rss", version="2.0")
    channel = etree.SubElement(rss, "channel")
    _texts(channel, title=f"{title}: answers that changed", link=url)
    _texts(channel, description="What is new, and what proved wrong", language="en-GB")
    for anchor, date, heading, body in entries:
        day = datetime.fromisoformat(date).replace(tzinfo=UTC)
        item = etree.SubElement(channel, "item")
        link = f"{url}#{anchor}"
        name = html.unescape(re.sub(r"<[^>]+>", "", heading)).strip()
        _texts(
            item,
            title=name,
            link=link,
            guid=link,
            pubDate=email.utils.format_datetime(day),
        )
        absolute = re.sub(
            r'(href|src)="([^"]+)"',
            lambda found: f'{found[1]}="{urljoin(url, html.unescape(found[2]))}"',
            body.strip(),
        )
        _texts(item, description=absolute)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + etree.tostring(rss, "unicode")


def _texts(parent: etree.Element, **texts: str) -> None:
    for tag, text in texts.items():
        etree.SubElement(parent, tag).text = text
