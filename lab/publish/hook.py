"""The MkDocs hook: brings notebooks and old addresses in, makes pages light, adds downloads,
policy and feed.

MkDocs runs this file as a module of its own, once. What it does is imported anew at each
build, so that an edit anywhere in `lab/` shows at the next one.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

from lab import SNIPPETS

_served = False
_edited: dict[str, int] = {}


def on_startup(command, dirty):
    """Remember whether this is `mkdocs serve`, and let it remember."""
    global _served
    _served = command == "serve"
    _now("remember").install()


def on_config(config):
    """Set what depends on the environment and on serving."""
    if config["repo_url"]:  # MkDocs would say "master", and warn where there is none
        config["edit_uri"] = "edit/main/docs/"
    config["watch"] += [str(path) for path in watched(SNIPPETS)]


def on_pre_build(config):
    """Forget the modules of `lab` if one was edited, and what they had read."""
    _forget_edited_modules()
    _now("elements").tree.cache_clear()


@event_priority(100)  # before mkdocs-jupyter looks at the files
def on_files(files, config):
    """Add the notebooks, what leads on from old addresses, and the bank's words."""
    _now("notebook_pages").bring(files, config)
    for file in _now("moved").pages(_now("elements").tree(), config):
        files.append(file)
    words = _now("overview").also(_now("elements").tree())
    files.append(File.generated(config, "assets/also.json", content=words))
    return files


def on_env(env, config, files):
    """Keep compiled templates from one build to the next."""
    _now("remember").templates(env)
    return env


def on_page_markdown(markdown, page, config, files):
    """Say which page comes, and what of it search shall put first."""
    _now("elements").begin(page.file.src_uri)
    if (found := _now("elements").here()) and found.part:
        boost = {"index": 1.5, "questions": 2, "code": 0.5}.get(found.part, 1)
        page.meta.setdefault("search", {"boost": boost})


def on_page_content(html, page, config, files):
    """Make a page light, and give an old address that of what took its place."""
    if page.file.src_uri.endswith(".ipynb"):
        html = _now("notebook_pages").page(html, page, config)
    if page.file.src_uri.startswith("chapters/") and page.canonical_url:
        page.canonical_url = page.canonical_url.replace("/chapters/", "/topics/")
    if (found := _now("elements").here()) and found.part == "questions":
        # the page is a list of its questions already: beside it the levels will do
        for level in next(iter(page.toc)).children:
            level.children.clear()
    code_blocks = _now("code_blocks")
    return code_blocks.lined(code_blocks.fewer_elements(html))


def on_post_page(output, page, config):
    """Make ready what is sent; the search plugin has read the page by now."""
    chrome = _now("chrome")
    return chrome.tight(chrome.named(chrome.without_synonyms(output)))


def on_post_build(config):
    """Downloads, the feed, and the policy, which live reload's own script would offend."""
    folder = Path(config["site_dir"])
    tree = _now("elements").tree()
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    for topic in tree.topics.values():
        _now("modules").pack(tree, topic, downloads)
    if url := config["site_url"]:
        page = (folder / "changelog" / "index.html").read_text("utf-8")
        text = _now("feed").feed(page, urljoin(url, "changelog/"), config["site_name"])
        (folder / "changelog.xml").write_text(text, "utf-8")
    if not _served:
        _now("chrome").uncomment(folder / "assets")
        _now("policy").secure(folder)


def watched(snippets: Path) -> Iterator[Path]:
    """What a live reload looks at in `snippets`: the topics' folders, and of one with npm
    packages of its own what stands beside them. Thousands of files are too many to look
    at twice a second."""
    for topic in snippets.iterdir():
        if topic.is_dir() and topic.name not in ("node_modules", "_specimens"):
            apart = {packages.parent for packages in topic.glob("*/node_modules")}
            found = topic.iterdir() if apart else [topic]
            yield from (path for path in found if path not in apart)


def _now(module: str):
    """A module of this room as it is now."""
    return importlib.import_module(f"lab.publish.{module}")


def _forget_edited_modules() -> None:
    ours = {name: module for name, module in sys.modules.items() if name[:4] == "lab."}
    now = {
        name: Path(module.__file__).stat().st_mtime_ns for name, module in ours.items()
    }
    if any(now[name] != seen for name, seen in _edited.items() if name in now):
        for name in ours:
            del sys.modules[name]
        now = {}
    _edited.clear()
    _edited.update(now)
