"""What the blocks of the Markdown extension share: the tree, and how a proof or a
measurement is shown."""

import posixpath
import re
import xml.etree.ElementTree as etree
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from lab.check import content, pages
from lab.record.evidence import shown


@cache
def tree() -> content.Tree:
    """The guide, read once a build (the hook clears the cache for each)."""
    return content.read()


_here = ""


def begin(path: str) -> None:
    """Say which page is rendered next, by its path in docs/."""
    global _here
    _here = path


def here() -> pages.Page | None:
    """The page that is being rendered; None when nobody said, or it is no page of ours."""
    return tree().pages.get(f"docs/{_here}")


def topic() -> content.Topic | None:
    """The topic to which the page that is being rendered belongs."""
    page = here()
    return tree().topics.get(page.topic) if page and page.part else None


def link(target: str) -> str:
    """A target below docs/ as the page that is being rendered has to write it."""
    return posixpath.relpath(target, posixpath.dirname(_here) or ".")


def linked(text: str, path: str) -> str:
    """Markdown of the page at `path` (below docs/) with its links as the page that is
    being rendered has to write them."""

    def again(found: re.Match) -> str:
        file, hash_, anchor = found[1].partition("#")
        file = posixpath.join(posixpath.dirname(path), file) if file else path
        return f"]({link(posixpath.normpath(file))}{hash_}{anchor})"

    return _LINK.sub(again, text)


_LINK = re.compile(r"\]\((?![a-z]+:)([^)]*)\)")


def element(parent, tag: str, css: str = "", text: str | None = None, **attributes: str):
    """A new child of `parent`. `text` is read as inline Markdown later on."""
    attributes |= {"class": css} if css else {}
    child = etree.SubElement(parent, tag, attributes)
    child.text = text
    return child


def how(entry: Mapping) -> str:
    """How a value was got: samples, spread, bound, circumstances."""
    parts = [shown(entry)]
    if entry["n"] > 1:
        low, high = ({**entry, "value": value} for value in entry["spread"])
        parts.append(f"median of {entry['n']}, {shown(low)} to {shown(high)}")
    bounds = [
        f"{sign} {shown({**entry, 'value': entry[bound]})}"
        for bound, sign in (("above", ">"), ("below", "<"))
        if entry.get(bound) is not None
    ]
    parts.append(
        f"asserted {' and '.join(bounds)}" if bounds else "recorded, not asserted"
    )
    return ", ".join([*parts, circumstances(entry)])


# how an RFC or an advisory is called, and where it stands
CITED = {
    "rfc": ("RFC ", "https://www.rfc-editor.org/rfc/rfc"),
    "cve": ("CVE-", "https://www.cve.org/CVERecord?id=CVE-"),
    "ghsa": ("GHSA-", "https://github.com/advisories/GHSA-"),
}


def fact(entry: Mapping) -> str:
    """A default as a page prints it, in the largest unit that leaves it whole."""
    value, unit = entry["value"], entry.get("unit", "")
    larger = {"ms": (1000, "s"), "bytes": (1024, "KiB")}.get(unit)
    if larger and value % larger[0] == 0:
        value, unit = value // larger[0], larger[1]
    return f"{value} {unit}".strip()


def circumstances(entry: Mapping) -> str:
    """The versions and the date of a recorded entry."""
    versions = ", ".join(
        f"{name.capitalize()} {version}" for name, version in entry["versions"].items()
    )
    return f"{versions}, {entry['date']}"


def tests(claim: pages.Claim) -> Iterator[tuple[str, str, int]]:
    """The tests that prove a claim: name as a sentence, file, line."""
    for path, line, name in tree().proofs.get(claim.key, []):
        yield sentence(name), path, line


def sentence(test: str) -> str:
    """The name of a test as a sentence."""
    words = test.removeprefix("test_").split("_")
    text = " ".join(_WORDS.get(word, word) for word in words)
    return text[0].upper() + text[1:]


# as they are written; a test's name is lower case
_WORDS = {
    "commonjs": "CommonJS", "cpu": "CPU", "csrf": "CSRF", "dns": "DNS", "etag": "ETag",
    "http": "HTTP", "https": "HTTPS", "io": "I/O", "ip": "IP", "ips": "IPs",
    "ipv4": "IPv4", "ipv6": "IPv6", "javascript": "JavaScript", "json": "JSON",
    "jwt": "JWT", "node": "Node", "nginx": "nginx", "redis": "Redis", "redos": "ReDoS",
    "sql": "SQL", "tcp": "TCP", "tls": "TLS", "url": "URL", "xss": "XSS",
}  # fmt: skip


def add_named_proofs(parent, names: Iterable[str], repo: str) -> None:
    """An entry for each proof that a question names; its gate sees to it that they are
    there."""
    for name in names:
        slug, _, rest = name.partition("/")
        kind, colon, what = rest.partition(":")
        item = element(parent, "li")
        if colon and kind == "test" and (found := tree().tests.get(f"{slug}/{what}")):
            item.text = "test: "
            add_test(item, repo, sentence(what), *found)
        elif colon and (entry := tree().evidence.get(f"{slug}/{what}")):
            item.text = f"measured: {entry['what']} — {how(entry)}"
        elif claim := tree().claims.get(name):
            item.text = "claim: "
            place, _, anchor = claim.place.partition("#")
            at = element(item, "a", href=f"{link(place)}#{anchor}")
            element(at, "q", text=claim.heard)


def add_proofs(parent, claim: pages.Claim, repo: str) -> None:
    """An entry for each test and each measurement that stands behind a claim."""
    for sentence, path, line in tests(claim):
        add_test(element(parent, "li", text="test: "), repo, sentence, path, line)
    for entry in measurements(claim):
        element(parent, "li", text=f"measured: {entry['what']} — {how(entry)}")


def measurements(claim: pages.Claim) -> list[dict]:
    """The recorded values that a claim shows, or that prove it."""
    keys = [*pages.MEASURED.findall(claim.body), claim.key]
    found = (tree().evidence.get(key) for key in dict.fromkeys(keys))
    return [entry for entry in found if entry and "value" in entry]


def measured_on(entries: Iterable[Mapping]) -> str:
    """The newest date among recorded entries; empty when there are none."""
    return max((entry["date"] for entry in entries), default="")


def add_test(parent, repo: str, sentence: str, path: str, line: int) -> None:
    """A test by its name, linked when it is known where the repository is."""
    if repo:
        href = f"{repo.rstrip('/')}/blob/main/{path}#L{line}"
        element(parent, "a", text=sentence, href=href)
    else:
        parent.text = f"{parent.text or ''}{sentence}, in "
        element(parent, "code", text=path)


def evidence_of(topic: str) -> list[dict]:
    """Everything recorded for a topic."""
    found = tree().evidence.items()
    return [entry for key, entry in found if key.startswith(f"{topic}/")]


def binder_link(repo: str, topic: str) -> str:
    """Where a notebook runs in Binder; empty unless the repository is on GitHub."""
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?", repo)
    path = f"notebooks/{topic}.ipynb"
    return f"https://mybinder.org/v2/gh/{found[1]}/main?labpath={path}" if found else ""
