"""What a build adds when all pages are there: the content security policy, the
headers for hosts that read a `_headers` file, and the changelog's feed."""

import base64
import email.utils
import hashlib
import html
import re
import xml.etree.ElementTree as etree
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin

from lab import GuideError

# Scripts that stand in a page are allowed by their hash; styles come from files only.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # the theme's icons are masks in its CSS
    "font-src": "'self'",
    "connect-src": "'self'",  # the search index
    "worker-src": "'self'",  # the search
    "base-uri": "'none'",
    "form-action": "'self'",
}
# A policy in a page cannot forbid framing; what else only a header can say.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
_CHANGE = re.compile(
    r'<h2 id="([^"]+)">(\d{4}-\d\d-\d\d): (.*?)<a class="headerlink".*?</h2>'
    r"(.*?)(?=<h2|\Z)",
    re.DOTALL,
)


class PublishError(GuideError):
    """Something that is published cannot be made."""


def secure(site: Path) -> None:
    """Give every page its policy, and the site a `_headers` file with all of them."""
    every: set[str] = set()
    for page in sorted(site.rglob("*.html")):
        text = page.read_text("utf-8")
        hashes = scripts(text)
        every |= hashes
        charset = '<meta charset="utf-8">'
        if text.count(charset) != 1:
            raise PublishError(
                f"{page.relative_to(site)}: no single {charset} to put the policy "
                "after — has the theme changed? see lab/publish.py"
            )
        content = html.escape(policy(hashes))
        meta = f'<meta http-equiv="Content-Security-Policy" content="{content}">'
        page.write_text(text.replace(charset, f"{charset}{meta}"), "utf-8")
    lines = {"Content-Security-Policy": f"{policy(every)}; frame-ancestors 'none'"}
    text = "".join(f"  {name}: {value}\n" for name, value in (lines | HEADERS).items())
    (site / "_headers").write_text(f"/*\n{text}", "utf-8")


def scripts(page: str) -> set[str]:
    """The hashes, as a policy writes them, of the scripts that stand in a page."""
    found = set()
    for attributes, body in _SCRIPT.findall(page):
        if "src=" in attributes or "application/json" in attributes:
            continue
        digest = hashlib.sha256(body.encode()).digest()
        found.add(f"'sha256-{base64.b64encode(digest).decode()}'")
    return found


def policy(hashes: Iterable[str]) -> str:
    """The content security policy with these scripts allowed."""
    allowed = " ".join([POLICY["script-src"], *sorted(hashes)])
    return "; ".join(
        f"{name} {value}" for name, value in (POLICY | {"script-src": allowed}).items()
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
