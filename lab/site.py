"""The MkDocs hook: brings notebooks in, and makes their pages light.

Also the commands that build and serve the site.
"""

import importlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lab import (
    BUILD,
    EXECUTED,
    NOTEBOOKS,
    ROOT,
    SNIPPETS,
    GuideError,
    markdown,
    publish,
)

log = logging.getLogger("mkdocs.lab.site")
QUIET = {"NO_MKDOCS_2_WARNING": "1"}  # Material's notice about MkDocs 2
# `python -m mkdocs`, without what jsonschema loads to check formats that no notebook has:
# 38 grammars, five seconds of each build where Jupyter's server is installed as well
_LIGHT = """
import runpy, sys
sys.modules["rfc3987_syntax"] = None
sys.argv[0] = "mkdocs"
runpy.run_module("mkdocs", run_name="__main__", alter_sys=True)
"""
MKDOCS = (sys.executable, "-c", _LIGHT)

# From a notebook's page: out goes 595 KB of JupyterLab's style, scripts from a CDN
# and copy buttons that bring each cell's text a second time. Code becomes a code
# block as on every other page, so the theme styles it and gives it a button.
_LIGHTER = (
    (r"<style[^>]*>.*?</style>", ""),
    (r"<script[^>]*>.*?</script>", ""),
    (r"<!--.*?-->", ""),
    (r'<div class="zeroclipboard-container">.*?</clipboard-copy>\s*</div>', ""),
    (r'<div class="clipboard-copy-txt" id="[^"]*">.*?</div>', ""),
    (r'<div class="jp-InputPrompt[^>]*>.*?</div>', ""),
    (r'<div class="jp-OutputPrompt[^>]*>.*?</div>', ""),
    (r'<div class="jp-Collapser[^>]*>\s*</div>', ""),
    (r'(<div class="jp-[^>]*) tabindex="0"', r"\1"),
    (
        r'<div class="[^"]*\bhighlight\b[^"]*">(?:<pre>)+(?:<span></span>)?(.*?)\s*</pre>',
        r'<div class="highlight"><pre><span></span><code>\1</code></pre>',
    ),
    (r'class="anchor-link"', 'class="headerlink" title="Permanent link"'),
)


# The text between is escaped, so the first end tag is the one that belongs to it.
_CODE = re.compile(r"<pre>(?=<span></span><code>(.*?)</code></pre>)", re.DOTALL)
_PLAIN_TOKEN = re.compile(r'<span class="(?:w|n|nx|nb|p|o)">([^<]*)</span>')


class SiteError(GuideError):
    """The site cannot be built or served."""


def serve(port: int) -> None:
    """`mkdocs serve` on 127.0.0.1, with live reload. Raises SiteError when the
    port is taken."""
    with socket.socket() as probe:
        # as the server does: a port in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SiteError(
                f"port {port}: something else listens there — stop it, or take "
                f"another one: make serve PORT={port + 1}"
            ) from None
    # in place of this process, so that whoever ends it ends the server
    address = f"127.0.0.1:{port}"
    argv = [*MKDOCS, "serve", "--dev-addr", address]
    os.chdir(ROOT)
    os.execve(sys.executable, argv, {**os.environ, **QUIET})


def build(folder: Path | None = None, **env: str) -> None:
    """`mkdocs build --strict`, with `env` added to the environment. Raises SiteError
    when it fails."""
    where = ["--site-dir", str(folder)] if folder else []
    done = subprocess.run(
        [*MKDOCS, "build", "--strict", *where],
        cwd=ROOT,
        env={**os.environ, **QUIET, **env},
        check=False,
    )
    if done.returncode:
        raise SiteError("mkdocs build: failed — its warnings are above")


# --- hooks ---------------------------------------------------------------------
# MkDocs runs this file as a module of its own, once. What it does is taken from
# `lab.site` as it is now, so that an edit anywhere in lab/ shows at the next build.


_MODULES = (
    "process", "node", "evidence", "pages", "gates", "elements", "overview",
    "markdown", "publish", "site",
)  # fmt: skip
_CONVERTED = BUILD / "mkdocs-jupyter"  # notebooks, for the rebuilds of one server
_served = False
_edited: dict[str, int] = {}


def on_startup(command, dirty):
    global _served
    _served = command == "serve"
    shutil.rmtree(_CONVERTED, ignore_errors=True)


def on_config(config):
    if config["repo_url"]:  # MkDocs would say "master", and warn where there is none
        config["edit_uri"] = "edit/main/docs/"
    # converting a notebook takes longer than all other pages together; builds beside
    # each other would read what another one writes, so only a server keeps it
    book = config["plugins"]["mkdocs-jupyter"].config
    book["cache"], book["cache_dir"] = _served, str(_CONVERTED)
    config["watch"] += [str(path) for path in _watched()]


def _watched() -> Iterator[Path]:
    """The topics' folders, and of one with npm packages of its own what stands beside
    them: thousands of files are too many to look at twice a second."""
    for topic in SNIPPETS.iterdir():
        if topic.is_dir() and topic.name not in ("node_modules", "_specimens"):
            apart = {packages.parent for packages in topic.glob("*/node_modules")}
            found = topic.iterdir() if apart else [topic]
            yield from (path for path in found if path not in apart)


def on_pre_build(config):
    modules = [importlib.import_module(f"lab.{name}") for name in _MODULES]
    edited = {
        module.__name__: Path(module.__file__).stat().st_mtime_ns for module in modules
    }
    if _edited and edited != _edited:
        for module in modules:
            importlib.reload(module)
    _edited.update(edited)
    sys.modules["lab.elements"].tree.cache_clear()


@event_priority(100)  # before mkdocs-jupyter looks at the files
def on_files(files, config):
    sys.modules["lab.site"].bring_notebooks(files, config)
    return files


def on_page_content(html, page, config, files):
    ours = sys.modules["lab.site"]
    if page.file.src_uri.endswith(".ipynb"):
        html = ours.notebook_page(html, page, config)
    return ours.sized_code(ours.fewer_elements(html))


def on_post_build(config):
    sys.modules["lab.site"].publish_site(config, served=_served)


def bring_notebooks(files: Files, config: MkDocsConfig) -> None:
    """Add the notebooks, executed where that may be shown, to MkDocs' files."""
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        root, note = _executed(source)
        if note:
            log.info("%s: %s", source.name, note)
        files.append(
            File(
                f"notebooks/{source.name}",
                str(root),
                config["site_dir"],
                config["use_directory_urls"],
            )
        )


def _executed(source: Path) -> tuple[Path, str]:
    """The folder to take a notebook from, and why it is not the executed one.

    An executed copy counts when its cells are those of the source and none of
    them failed.
    """
    copy = EXECUTED / source.name
    if not copy.exists():
        return ROOT, "shown without results: run `make test`"
    ours, theirs = (
        json.loads(path.read_text("utf-8"))["cells"] for path in (source, copy)
    )
    if [cell["source"] for cell in ours] != [cell["source"] for cell in theirs]:
        return ROOT, "changed since it was last run, so shown without results"
    if any(
        out.get("output_type") == "error" for c in theirs for out in c.get("outputs", [])
    ):
        return ROOT, "failed when it was last run, so shown without results"
    return BUILD, ""


def fewer_elements(html: str) -> str:
    """A page without the elements around the tokens of code that have no colour of
    their own: white space, names, punctuation, operators. They are most of a chapter's
    elements, and a phone lays all of them out before a reader can scroll."""
    return _PLAIN_TOKEN.sub(r"\1", html)


def sized_code(html: str) -> str:
    """A page whose blocks of code say how many lines they have: from that the style
    sheet knows their heights, so a browser need not lay out what is far below."""

    def sized(block: re.Match) -> str:
        lines = block[1].rstrip("\n").count("\n") + 1
        return f'<pre data-lines="{lines}">'

    return _CODE.sub(sized, html)


def publish_site(config: MkDocsConfig, *, served: bool) -> None:
    """The feed, and the policy, which live reload's own script would offend."""
    folder = Path(config["site_dir"])
    if url := config["site_url"]:
        page = (folder / "changelog" / "index.html").read_text("utf-8")
        text = publish.feed(page, urljoin(url, "changelog/"), config["site_name"])
        (folder / "changelog.xml").write_text(text, "utf-8")
    if not served:
        publish.secure(folder)


def notebook_page(html: str, page: Page, config: MkDocsConfig) -> str:
    """A notebook's page made light, with a line that says how it was made."""
    page.meta.setdefault("search", {"exclude": True})  # "In [1]: Copied!"
    topic = Path(page.file.src_uri).stem
    page.meta.setdefault(
        "description", f"{page.title}, as a notebook to read, run and change"
    )

    for pattern, instead in _LIGHTER:
        html = re.sub(pattern, instead, html, flags=re.DOTALL)
    how = "with the results of a run of its own, not of the recorded one"
    if "jp-OutputArea-output" not in html:
        how = "without results: it was not run before this build"
    links = [
        f'<a href="../../chapters/{topic}/">its chapter</a>',
        f'<a href="{topic}.ipynb" download>download</a>',
    ]
    repo = config["repo_url"] or ""
    if binder := markdown.binder_link(repo, topic):
        links.append(f'<a href="{binder}">run it in Binder</a>')
        page.edit_url = f"{repo.rstrip('/')}/edit/main/notebooks/{topic}.ipynb"
    return f'<p class="pn-note">A notebook, {how} · {" · ".join(links)}</p>{html}'
