"""What a rebuild remembers: it gives the site that a build without memory gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT

# builds once for each text of the page, in one process; with memory if told
BUILD = """
import json, sys
from pathlib import Path
from mkdocs.commands.build import build
from mkdocs.config import load_config

folder, memory = Path(sys.argv[1]), sys.argv[2] == "memory"
if memory:
    from lab.publish import remember
    remember.install()
    remember.install()
coloured = []
if memory:
    from pygments.formatters import HtmlFormatter
    once = HtmlFormatter.format_unencoded
    def counted(self, tokens, out):
        coloured.append(1)
        return once(self, tokens, out)
    HtmlFormatter.format_unencoded = counted
sites = []
for text in json.loads(sys.argv[3]):
    (folder / "docs" / "index.md").write_text(text, "utf-8")
    del coloured[:]
    build(load_config(str(folder / "mkdocs.yml")))
    out = folder / "site"
    files = [out / "index.html", out / "b" / "index.html", out / "search/search_index.json"]
    sites.append([[file.read_text("utf-8") for file in files], len(coloured)])
print(json.dumps(sites))
"""
CONFIG = """
site_name: T
theme: {name: material}
plugins: [search]
markdown_extensions: [pymdownx.highlight, pymdownx.inlinehilite, pymdownx.superfences]
"""
JS = "```js\nconst {} = 1;\n```\n"
TITLED = '```js title="{}.mjs"\nlet y = 2;\n```\n'
FIRST = "Text without a heading, `#!js call()`.\n\n" + JS.format("a") + TITLED.format("a")
EDITED = FIRST.replace("const a", "const b").replace("a.mjs", "b.mjs")


@pytest.fixture
def guide(tmp_path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(CONFIG, "utf-8")
    (tmp_path / "docs" / "b.md").write_text(f"# B\n\n{JS.format('c')}", "utf-8")
    return tmp_path


def built(guide: Path, how: str, *texts: str) -> list:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, guide, how, json.dumps(texts)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_a_rebuild_gives_what_a_build_gives_and_colours_only_what_is_new(guide):
    titled = f"---\ntitle: Another\n---\n{EDITED}"
    texts = (FIRST, FIRST, EDITED, titled, FIRST)
    remembered = built(guide, "memory", *texts)
    fresh = built(guide, "none", *texts)
    assert [site for site, _ in remembered] == [site for site, _ in fresh]
    blocks, inline = 3, 1  # code within a line is coloured each time
    assert [count for _, count in remembered] == [
        blocks + inline, inline, 2 + inline, inline, inline,
    ]  # fmt: skip
