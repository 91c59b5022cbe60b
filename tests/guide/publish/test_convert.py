"""Notebooks to pages: what is kept between builds, and that it is what mkdocs-jupyter makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import NOTEBOOKS
from lab.publish import convert

OPTIONS = {"execute": False, "theme": "", "highlight_extra_classes": "highlight"}
# converts a notebook as builds do, once for each text that it has and what is asked for;
# says each time whether nbconvert had been imported
BUILD = """
import json, sys
from pathlib import Path
from lab.publish import convert
book, convert.KEPT = Path(sys.argv[1]), Path(sys.argv[2])
convert.stand_in()
from mkdocs_jupyter import plugin
made = []
for text, options in json.loads(sys.argv[3]):
    book.write_text(text, "utf-8")
    html = plugin.convert.nb2html(str(book), **options)
    loaded = [name for name in ("nbconvert", "jupytext.formats") if name in sys.modules]
    made.append([html, loaded, len(list(convert.KEPT.iterdir()))])
print(json.dumps(made))
"""
# the same by mkdocs-jupyter alone; in a process of its own, since ours changes nbconvert
THEIRS = """
import json, sys
from mkdocs_jupyter import convert
print(json.dumps(convert.nb2html(sys.argv[1], **json.loads(sys.argv[2]))))
"""


def python(program: str, *args: object):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def book(tmp_path) -> Path:
    """A notebook with prose, code and an output."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "id": "a", "source": "# Sums & all\n"},
        {
            "cell_type": "code", "metadata": {}, "id": "b", "source": "print('<1>')",
            "execution_count": 1,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "<1>\n"}],
        },
    ]  # fmt: skip
    real = json.loads(next(NOTEBOOKS.glob("*.ipynb")).read_text("utf-8"))
    path = tmp_path / "sums.ipynb"
    path.write_text(json.dumps({**real, "cells": cells}), "utf-8")
    return path


def test_an_unchanged_notebook_is_converted_once_and_nbconvert_not_even_imported(
    book, tmp_path
):
    one = book.read_text("utf-8")
    other = one.replace("<1>", "<2>")

    def build(*asked):
        return python(BUILD, book, tmp_path / "kept", json.dumps(asked))

    [[html, loaded, kept]] = build((one, OPTIONS))
    assert (loaded, kept) == (["nbconvert"], 1)
    again, hidden, changed = build(
        (one, OPTIONS), (one, {**OPTIONS, "no_input": True}), (other, OPTIONS)
    )
    assert again == [html, [], 1]
    assert hidden[1:] == [["nbconvert"], 2]  # other options, another page
    assert changed[2] == 3
    assert "&lt;2&gt;" in changed[0] and "&lt;2&gt;" not in html


def test_what_converts_is_part_of_what_is_kept(book, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "KEPT", tmp_path / "kept")
    code = tmp_path / "code.py"
    monkeypatch.setattr(convert, "_CODE", (code,))
    made = iter(["one", "two"])
    real = type("Real", (), {"nb2html": staticmethod(lambda path, **_: next(made))})
    monkeypatch.setattr(convert, "_converter", lambda: real)
    for text, page in (("a", "one"), ("b", "two"), ("a", "one"), ("b", "two")):
        code.write_text(text, "utf-8")
        assert convert.nb2html(str(book), **OPTIONS) == page


def test_the_page_is_the_one_that_mkdocs_jupyter_makes(book, tmp_path):
    from bs4 import BeautifulSoup

    asked = [(book.read_text("utf-8"), OPTIONS)]
    [[ours, *_]] = python(BUILD, book, tmp_path / "kept", json.dumps(asked))
    theirs = python(THEIRS, book, json.dumps(OPTIONS))

    def elements(html: str) -> list:
        soup = BeautifulSoup(html, features="html.parser")
        for element in soup.select("[tabindex]"):  # _Unparsed says why
            del element["tabindex"]
        return [
            (element.name, sorted(element.attrs.items()), element.get_text().split())
            for element in soup.find_all(True)
        ]

    assert elements(ours) == elements(theirs)
    assert "&lt;1&gt;" in ours


def test_a_table_of_contents_has_the_headings_of_the_prose(tmp_path):
    book = tmp_path / "book.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["# One\n", "\n", "```sh\n# none\n```\n"]},
        {"cell_type": "code", "source": "# no heading"},
        {"cell_type": "markdown", "source": "## Two\n\nand `# none`"},
    ]
    book.write_text(json.dumps({"cells": cells}), "utf-8")
    lines = convert.nb2md(str(book)).split("\n")
    assert [line for line in lines if "#" in line] == ["# One", "## Two"]


def test_what_was_used_longest_ago_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "MOST", 2)
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        convert._keep(tmp_path / name, name)
        os.utime(tmp_path / name, (1_000_000 - age,) * 2)
    convert._keep(tmp_path / "newest", "newest")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "newest"}
