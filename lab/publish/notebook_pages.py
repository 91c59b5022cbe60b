"""Notebooks as pages: taken executed where that may be shown, and made light."""

import json
import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lab import BUILD, EXECUTED, NOTEBOOKS, ROOT
from lab.publish.elements import binder_link

log = logging.getLogger("mkdocs.lab.publish")

# From a notebook's page: out goes 595 KB of JupyterLab's style, scripts from a CDN
# and copy buttons that bring each cell's text a second time. Code becomes a code
# block as on every other page, so the theme styles it and gives it a button.
_LIGHTER = (
    (r"<style[^>]*>.*?</style>", ""),
    (r"<script[^>]*>.*?</script>", ""),
    (r"<!--.*?-->", ""),
    (r'<div class="zeroclipboard-container">.*?</clipboard-copy>\s*</div>', ""),
    (r'<div [^>]*class="clipboard-copy-txt">.*?</div>', ""),
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


def bring(files: Files, config: MkDocsConfig) -> None:
    """Add the notebooks, executed where that may be shown, to MkDocs' files."""
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        root, note = executed(source)
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


def executed(source: Path) -> tuple[Path, str]:
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


def page(html: str, page: Page, config: MkDocsConfig) -> str:
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
        f'<a href="../../topics/{topic}/">its topic</a>',
        f'<a href="{topic}.ipynb" download>download</a>',
    ]
    repo = config["repo_url"] or ""
    if binder := binder_link(repo, topic):
        links.append(f'<a href="{binder}">run it in Binder</a>')
        page.edit_url = f"{repo.rstrip('/')}/edit/main/notebooks/{topic}.ipynb"
    return f'<p class="pn-note">A notebook, {how} · {" · ".join(links)}</p>{html}'
