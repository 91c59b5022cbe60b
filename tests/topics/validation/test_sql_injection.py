"""Text that becomes SQL."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.run import node

from .shared import BASE, served

# --- SQL ----------------------------------------------------------------------------


def sqlmap(url: str, folder: Path) -> str:
    """What sqlmap says of the parameter `name`; bounded."""
    done = subprocess.run(
        [
            Path(sys.executable).parent / "sqlmap", "-u", f"{url}/products?name=Green+tea",
            "-p", "name", "--batch", "--flush-session", "--level=1", "--risk=1",
            "--technique=B", "--dbms=sqlite", f"--output-dir={folder}", "--threads=1",
            "--disable-coloring", "--skip-waf",
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    return done.stdout


@pytest.mark.claim("validation/parameters-stop-sql", verdict="right")
def test_sqlmap_takes_what_was_validated_and_finds_nothing_behind_parameters(tmp_path):
    for snippet, found in (("search.naive.mjs", True), ("search.mjs", False)):
        with served(snippet) as server, server.client() as c:
            assert c.get("/products", params={"name": ""}).status_code == 400
            assert len(c.get("/products", params={"name": "Green tea"}).json()) == 1
            honest = c.get("/products", params={"name": "O'Brien's mug"})
            assert honest.status_code == (500 if found else 200)
            said = sqlmap(server.url, tmp_path)
        assert ("Parameter: name (GET)" in said) is found, said
        assert ("do not appear to be injectable" in said) is not found, said


def test_a_union_reads_the_cards_out_of_the_naive_search():
    name = "' UNION SELECT owner, number FROM cards --"
    for snippet, numbers in (
        ("search.naive.mjs", ["4111 1111 1111 1111"]),
        ("search.mjs", []),
    ):
        with served(snippet) as server, server.client() as c:
            rows = c.get("/products", params={"name": name}).json()
            assert [row["name"] for row in rows] == numbers


def test_sqlite_stores_another_text_for_half_a_surrogate_pair():
    seen = node.evaluate(
        """
    import { open } from './validation/database.mjs';
    const db = open();
    db.prepare('INSERT INTO products VALUES (?, ?)').run('half', 'a\\ud800');
    const { name } = db.prepare("SELECT name FROM products WHERE sku = 'half'").get();
    console.log(name === 'a\\ufffd', [...'\\u{1f468}\\u200d\\u{1f469}'].length);
    """
    ).stdout
    assert seen.split() == ["true", "3"]


def test_reviews_are_listed_in_an_order_from_the_list_and_in_no_other():
    with served("reviews.mjs") as server, server.client() as c:
        for rating in (5, 2, 4):
            c.post("/reviews", json={**BASE, "rating": rating})

        def order(sort):
            page = c.get("/reviews", params={"name": "Ann", "sort": sort})
            return re.findall(r'<data value="(\d)"', page.text)

        assert (order("newest"), order("best")) == (["4", "2", "5"], ["5", "4", "2"])
        assert c.get("/reviews?name=Ann&sort=rating").status_code == 400
    seen = node.evaluate(
        """
    import { open } from './validation/database.mjs';
    import { reviewsOf } from './validation/store.mjs';
    try { reviewsOf(open()).by('Ann', 'rating'); } catch (e) { console.log(e.name); }
    """
    ).stdout
    assert seen.split() == ["RangeError"]
