"""Notebooks to HTML, in the place of `mkdocs_jupyter.convert`: with its functions, imported
only when a notebook changed, and without what is done to a page and undone again.

What a notebook gives is kept, in `build/`, under a digest of its bytes, of the options, and
of what converts it. Nothing is executed here: `mkdocs.yml` says `execute: false`.
"""

import hashlib
import importlib
import json
import os
import re
import sys
import tempfile
import types
from pathlib import Path

from lab import BUILD, ROOT

KEPT = BUILD / "notebook-pages"
TEMPLATES = BUILD / "notebook-templates"  # compiled, by their text
MOST = 60  # pages kept: several builds of the notebooks that there are
_CODE = (Path(__file__), ROOT / "uv.lock")  # the lock: nbconvert, Pygments and the rest


def stand_in() -> None:
    """Take the place of `mkdocs_jupyter.convert`, and of jupytext, which is imported when
    somebody asks it for something: no notebook here needs it."""
    sys.modules["mkdocs_jupyter.convert"] = sys.modules[__name__]
    late = types.ModuleType("jupytext")

    def imported(name: str):
        sys.modules.pop("jupytext", None)
        return getattr(importlib.import_module("jupytext"), name)

    late.__getattr__ = imported
    sys.modules["jupytext"] = late


def nb2html(path: str, **options: object) -> str:
    """The notebook's HTML, as `mkdocs_jupyter.convert.nb2html` gives it for these
    options, converted now or kept from before."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=repr).encode())
    for file in (Path(path), *_CODE):
        digest.update(file.read_bytes())
    kept = KEPT / f"{digest.hexdigest()}.html"
    try:
        html = kept.read_text("utf-8")
        os.utime(kept)
    except FileNotFoundError:
        html = _converter().nb2html(path, **options)
        _keep(kept, html)
    return html


def nb2md(path: str) -> str:
    """The notebook's prose, as Markdown without code, for its table of contents."""
    cells = json.loads(Path(path).read_text("utf-8"))["cells"]
    prose = "\n\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )
    return re.sub(r"```.*?```|`[^`\n]*`", "", prose, flags=re.DOTALL)


def _keep(path: Path, text: str) -> None:
    """Write a page whole, so that a build beside this one reads all of it or nothing, and
    delete what was not used for longest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".new", encoding="utf-8", delete=False
    ) as file:
        file.write(text)
    Path(file.name).replace(path)
    pages = []
    for page in path.parent.iterdir():
        try:
            pages.append((page.stat().st_mtime, page))
        except FileNotFoundError:
            continue  # another build deleted it
    for _, page in sorted(pages, reverse=True)[MOST:]:
        page.unlink(missing_ok=True)


def _converter():
    """mkdocs-jupyter's own converter, which compiles its templates once, and not for each
    notebook, and leaves the HTML as its templates made it."""
    sys.modules.pop("mkdocs_jupyter.convert", None)
    try:
        real = importlib.import_module("mkdocs_jupyter.convert")
    finally:
        sys.modules["mkdocs_jupyter.convert"] = sys.modules[__name__]
    from jinja2 import FileSystemBytecodeCache
    from nbconvert.exporters import html, templateexporter

    if html.BeautifulSoup is not _Unparsed:
        html.BeautifulSoup = _Unparsed
        create = templateexporter.TemplateExporter._create_environment
        TEMPLATES.mkdir(parents=True, exist_ok=True)

        def remembering(exporter):
            environment = create(exporter)
            environment.bytecode_cache = FileSystemBytecodeCache(str(TEMPLATES))
            return environment

        templateexporter.TemplateExporter._create_environment = remembering
    return real


class _Unparsed(str):
    """HTML that nbconvert need not parse: it would make each cell focusable, which
    `notebook_pages` takes back, and describe images that have no text, which a test of
    the built pages refuses."""

    def __new__(cls, html: str, features: str):
        return super().__new__(cls, html)

    def select(self, selector: str) -> list:
        """No element."""
        return []
