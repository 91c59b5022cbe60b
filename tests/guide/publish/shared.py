"""The built site, as a host would publish it, and what its tests share."""

import re
from pathlib import Path

from lab.check import content

URL = "https://reader.example/proven-node/"  # below a path, as project pages are
REPO = "https://github.com/somebody/proven-node"
TREE = content.read()
CLAIMS = [claim for topic in TREE.counted.values() for claim in topic.claims]
QUESTIONS = [each for topic in TREE.counted.values() for each in topic.questions]


def paths(folder: Path) -> dict[str, str]:
    """The text of every page by its path in the site."""
    return {
        page.relative_to(folder).as_posix().removesuffix("index.html"): text
        for page in sorted(folder.rglob("*.html"))
        for text in [page.read_text("utf-8")]
    }


def moved(path: str) -> bool:
    """Whether a page stands at an old address, and only leads on."""
    return path.startswith("chapters/")


def part(path: str) -> tuple[str, str] | None:
    """Topic and part of a topic's page in the site, the part of its answer empty."""
    found = re.fullmatch(r"topics/([\w-]+)/(?:(\w+)/)?", path)
    return (found[1], found[2] or "") if found else None
