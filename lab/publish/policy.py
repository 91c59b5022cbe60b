"""The content security policy of every page, and the headers for hosts that read `_headers`."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from pathlib import Path

from lab.publish import PublishError

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
