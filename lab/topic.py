"""Start a topic: its four places, from lab/template/, and its entries in the
navigation. What is made passes every gate and test at once; the word TODO marks
what is to be written, and `gates.missing` counts what a whole topic has."""

import re
from pathlib import Path

from lab import ROOT, GuideError
from lab.check import content
from lab.run import suite

TEMPLATE = Path(__file__).parent / "template"
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 30  # characters: the templates' lines have room for that
TITLE = re.compile(r"[A-Z][\w ,/.-]*")  # what YAML reads as text, unquoted


class TopicError(GuideError):
    """A topic that cannot be started; nothing was written."""


def start(topic: str, title: str = "", root: Path = ROOT) -> list[Path]:
    """Make the topic's files and add it to mkdocs.yml; return what was written.

    `title` is the one in the navigation, by default the slug in words. Raises
    TopicError, before anything is written, when the slug or the title is none,
    or when something of that name is there already.
    """
    title = title or topic.replace("-", " ").capitalize()
    if not SLUG.fullmatch(topic) or len(topic) > LONGEST:
        raise TopicError(
            f"topic '{topic}': not a slug — use lower-case words with hyphens, at most "
            f"{LONGEST} characters, e.g. rate-limiting"
        )
    if not TITLE.fullmatch(title):
        raise TopicError(
            f"title '{title}': not a title — start with a capital and use letters, "
            "digits, spaces, commas, dots, slashes and hyphens, e.g. Rate limiting"
        )
    if there := [path for path in _places(topic) if (root / path).exists()]:
        raise TopicError(
            f"topic '{topic}': there is already {', '.join(there)} — choose another "
            "slug, or delete what is left of it; nothing was written"
        )
    config = root / "mkdocs.yml"
    nav = with_entry(
        config.read_text("utf-8"), "Topics",
        f"- {title}:",
        f"    - topics/{topic}/index.md",
        f"    - Questions: topics/{topic}/questions.md",
        f"    - On trial: topics/{topic}/claims.md",
        f"    - Code: topics/{topic}/code.md",
    )  # fmt: skip
    nav = with_entry(nav, "Notebooks", f"- {title}: notebooks/{topic}.ipynb")
    files = {root / path: text for path, text in _files(topic, title).items()}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    config.write_text(nav, "utf-8")
    return [*files, config]


def _places(topic: str) -> list[str]:
    """Whatever belongs to a topic, if it exists."""
    places = (*suite.places(topic), f"docs/evidence/{topic}.json")
    return [place.rstrip("/") for place in places]


def _files(topic: str, title: str) -> dict[str, str]:
    """The topic's files by path: the template's, with their names filled in."""
    made = {}
    for source in sorted(TEMPLATE.rglob("*.*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        path = source.relative_to(TEMPLATE).as_posix()
        path = re.sub(r"\btopic\b", topic, path)
        text = source.read_text("utf-8")
        made[path] = text.replace("{{topic}}", topic).replace("{{title}}", title)
    return made


def with_entry(text: str, section: str, *entry: str) -> str:
    """mkdocs.yml with an entry (its lines) at the end of a section of its navigation.

    An edit of the text, so that comments and order stay. Raises TopicError when
    MkDocs would not find the entry where it was put.
    """
    lines = text.split("\n")
    heading = re.compile(rf"(\s*)- {section}:\s*(#.*)?")
    found = [(i, m) for i, line in enumerate(lines) if (m := heading.fullmatch(line))]
    if found:
        last, margin = found[0][0], found[0][1][1]
        indent = ""
        for number, line in enumerate(lines[last + 1 :], last + 1):
            depth = len(line) - len(line.lstrip())
            if line.strip() and depth <= len(margin):
                break
            if line.lstrip().startswith("- "):
                last, indent = number, indent or line[:depth]
        indent = indent or margin + "    "
        lines[last + 1 : last + 1] = [indent + line for line in entry]
    edited = "\n".join(lines)
    paths = [line.split()[-1] for line in entry if "/" in line]
    before, after = (content.Tree({"mkdocs.yml": part}).nav for part in (text, edited))
    if [item for item in after if item not in paths] != before or not {*paths} <= {
        *after
    }:
        raise TopicError(
            f"mkdocs.yml: the navigation has no list '- {section}:' to add to — write "
            "it as a block, one entry a line; nothing was written"
        )
    return edited
