"""Paths that lead out of a folder, and files that a browser would run."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from lab.run import node, process

from .shared import SNIPPETS, hosts, javascript, matrix

SOURCE = node.label(Path(__file__))

# --- files --------------------------------------------------------------------------

FILES = """
import express from 'express';
import path from 'node:path';
import {{ createApp as naive, ways }} from '@/hardening/files.naive.mjs';
import {{ contained, createApp as hardened }} from '@/hardening/files.mjs';

const root = {root!r};
const files = new Map([
  ['f1', {{ owner: 'ann', name: 'Räúm "1".svg', stored: 'good.svg' }}],
  ['f2', {{ owner: 'bob', name: 'b.txt', stored: 'good.txt' }}],
  ['f3', {{ owner: 'ann', name: 'c.txt', stored: '../secret.txt' }}],
]);
const authenticate = (req) => (req.headers.user ? {{ id: req.headers.user }} : null);
export function createApp() {{
  const app = express();
  for (const way of Object.keys(ways)) app.use(`/${{way}}`, naive({{ root, way }}));
  app.get('/sendFile/files', (req, res) => res.sendFile(req.query.name, {{ root }}));
  app.get('/contained/files', async (req, res) => {{
    const file = await contained(root, req.query.name);
    const options = {{ dotfiles: 'allow' }};
    return file ? res.sendFile(file, options) : res.sendStatus(404);
  }});
  app.use('/hardened', hardened({{ root, files, authenticate }}));
  app.use((error, req, res, next) => res.sendStatus(error.status ?? 500));
  return app;
}}
"""

WAYS = {
    "joined": "path.join", "stripped": "../ taken\nout", "prefixed": "startsWith\n(root)",
    "sendFile": "sendFile\nwith root", "contained": "contained()",
}  # fmt: skip


@pytest.mark.records
@pytest.mark.claim("hardening/join-contains", verdict="wrong")
def test_which_ways_of_a_path_lead_out_of_the_folder(app, folder):
    names = {
        "../secret.txt": "../secret.txt",
        "encoded: %2e%2e%2f": "%2e%2e%2fsecret.txt",
        "....//secret.txt": "....//secret.txt",
        "an absolute path": str(folder.parent / "secret.txt"),
        "a sibling folder": "../uploads-private/secret.txt",
        "a symbolic link": "link.txt",
        "a NUL: x%00.txt": "../secret.txt%00.txt",
        "Windows: ..%5c": "..%5csecret.txt",
    }
    table: dict[str, dict[str, str]] = {}
    with app(FILES.format(root=str(folder))) as server, server.client() as client:
        for way, title in WAYS.items():
            assert client.get(f"/{way}/files?name=good.txt").text == "good"
            table[title] = {}
            for row, name in names.items():
                answer = client.get(f"/{way}/files?name={name}")
                out = "SECRET" in answer.text
                assert out or answer.status_code >= 400
                table[title][row] = "served" if out else "held"
        assert client.get("/contained/files?name=..good.txt").text == "good"
        for nothing in ("", ".", "good.txt/..", "gone.txt"):
            assert client.get(f"/contained/files?name={nothing}").status_code == 404
    print(json.dumps(table, indent=1))
    served = {
        way: {row for row, word in table[title].items() if word == "served"}
        for way, title in WAYS.items()
    }
    assert served["contained"] == set()
    assert served["sendFile"] == {"a symbolic link"}
    assert served["prefixed"] == {"a sibling folder", "a symbolic link"}
    assert served["stripped"] >= {"....//secret.txt", "a symbolic link"}
    assert served["joined"] >= {"../secret.txt", "encoded: %2e%2e%2f", "a sibling folder"}
    matrix(
        "hardening/traversal", table, "served",
        "Eight names of files that lie outside of a folder against five ways to make "
        "a path. path.join and taking ../ out served several, startsWith(root) the "
        "sibling folder and the symbolic link, sendFile with root the link, contained() "
        "none.",
        source=SOURCE,
    )  # fmt: skip


def test_a_file_is_its_owners_goes_by_id_and_is_downloaded_inert(app, folder):
    with app(FILES.format(root=str(folder))) as server, server.client() as client:
        assert client.get("/hardened/files/f1").status_code == 401
        ann = {"user": "ann"}
        for other in ("f2", "f3", "f9", "..%2f..%2fsecret.txt", "__proto__"):
            assert client.get(f"/hardened/files/{other}", headers=ann).status_code == 404
        answer = client.get("/hardened/files/f1", headers=ann)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith("attachment;")
        assert "filename*=UTF-8''R%C3%A4%C3%BAm" in disposition
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "private, no-store"


def test_contained_names_lead_to_real_paths_in_the_folder_and_to_no_other(folder):
    (folder.parent / "as-linked").symlink_to("uploads")
    names = {
        "good.txt": True, "..good.txt": True, "./good.txt": True, "x/../good.txt": True,
        "../uploads/good.txt": True, str(folder / "good.txt"): True,
        "": False, ".": False, "..": False, "../secret.txt": False, "link.txt": False,
        "../uploads-private/secret.txt": False, "/etc/hostname": False,
    }  # fmt: skip
    for root in (folder, folder.parent / "as-linked"):
        said = javascript(
            f"const [root, names] = {json.dumps([str(root), list(names)])};"
            + """
        import { contained } from '@/hardening/files.mjs';
        console.log(JSON.stringify(await Promise.all(names.map((one) => contained(root, one)))));
        """
        )
        given = dict(zip(names, said, strict=True))
        assert {name: bool(real) for name, real in given.items()} == names
        assert given["good.txt"] == str(folder / "good.txt")


def test_a_disk_that_fails_is_not_a_file_that_is_not_there():
    said = javascript("""
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    const { realpath } = fs;
    let code;
    fs.realpath = (place) => code && place.endsWith('/x')
      ? Promise.reject(Object.assign(new Error(code), { code })) : realpath(place);
    syncBuiltinESMExports();
    const { contained } = await import('@/hardening/files.mjs');
    const seen = {};
    for (code of ['EIO', 'EMFILE', 'ENOMEM', 'ENOENT', 'EACCES', 'ELOOP'])
      seen[code] = await contained('.', 'x').catch(() => 'thrown');
    code = '';
    seen.names = await Promise.all(
      ['\\0', 7, undefined, 'a'.repeat(300), 'serve.mjs/x', '/root/x', '..', '../..'].map(
        (one) => contained('.', one)));
    console.log(JSON.stringify(seen));
    """)
    names = said.pop("names")
    assert names == [None] * 8
    assert {code for code, what in said.items() if what == "thrown"} == {
        "EIO", "EMFILE", "ENOMEM"
    }  # fmt: skip
    assert said["ENOENT"] is said["EACCES"] is said["ELOOP"] is None


def test_an_uploaded_svg_runs_its_script_in_chromium_or_is_a_download(
    folder, named_hosts, tmp_path
):
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    module = tmp_path / "files.mjs"
    module.write_text(FILES.format(root=str(folder)).replace("@/", f"{SNIPPETS}/"))
    with hosts(named_hosts, tmp_path, module) as (page, host):
        page.set_extra_http_headers({"user": "ann"})
        shop = host("shop.test")
        page.goto(f"{shop}/joined/files?name=good.svg")
        assert page.evaluate("document.documentElement.getAttribute('ran')") == shop
        page.goto(f"{shop}/joined/files?name=good.txt")
        with page.expect_download() as download:
            page.evaluate("location.href = '/hardened/files/f1'")
        assert download.value.suggested_filename.endswith(".svg")
        assert page.url.endswith("name=good.txt")


def test_the_exercise_ends_well_though_somebody_has_cleaned_up_before(tmp_path):
    exercise = "hardening/exercises/three-holes-in-a-download"
    for name in ("start", "solution"):
        path = f"{exercise}/{name}.mjs"
        with node.serve(path, env={"TMPDIR": str(tmp_path)}) as server:
            for made in tmp_path.iterdir():
                shutil.rmtree(made)
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: not server.alive())
            assert "Error" not in server.output()
