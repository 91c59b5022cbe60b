"""Fixtures that several files of these tests take."""

import contextlib
from urllib.parse import urlencode

import pytest

from lab.run import node

from .shared import (
    ANN,
    DEPS,
    FORGOTTEN_APP,
    POLICIES,
    SETTLED,
    hosts,
    package,
)


@pytest.fixture
def twin(tmp_path):
    """Writes a module that serves a factory with `DEPS` of shared.py, and `deps`."""

    def write(snippet: str, deps: str = "", before: str = "", name: str = "module"):
        (tmp_path / "deps.mjs").write_text(DEPS)
        path = tmp_path / f"{name}.mjs"
        path.write_text(
            f"import {{ createApp as create }} from '{node.uri('hardening/' + snippet)}';\n"
            f"import {{ check, logger, store }} from './deps.mjs';\n{before}\n"
            f"export function createApp() {{\n"
            f"  return create({{ check, logger, store, {deps} }});\n}}\n"
        )
        return path

    return write


@pytest.fixture
def site(named_hosts, tmp_path, twin):
    """`with site(snippet) as (page, host)`: Ann is logged in at shop.test."""

    @contextlib.contextmanager
    def serve(snippet: str):
        # its port is known only now, so the app learns its origin by the first request
        module = twin(snippet, "origin: 'https://shop.test'")
        with hosts(named_hosts, tmp_path, module) as (page, host):
            page.goto(f"{host('shop.test')}/login")
            page.fill("input[name=email]", ANN["email"])
            page.fill("input[name=password]", ANN["password"])
            with page.expect_response(lambda one: one.request.method == "POST"):
                page.click("button")
            yield page, host

    return serve


@pytest.fixture
def forgotten(named_hosts, tmp_path):
    """`with forgotten(policy) as (look, host, output)`: `look(note)` shows the note in
    Chromium and gives what the console said."""

    @contextlib.contextmanager
    def serve(policy: str):
        uploads = tmp_path / "uploads"
        uploads.mkdir(exist_ok=True)
        (uploads / "ran.js").write_text("console.log('ran')")
        (uploads / "ran.html").write_text('<script src="/uploads/ran.js"></script>')
        module = tmp_path / "forgotten.mjs"
        module.write_text(
            FORGOTTEN_APP.format(
                helmet=package("helmet"), policy=POLICIES[policy], uploads=uploads,
                **{name: node.uri(f"hardening/{name}.mjs") for name in ("headers", "reports")},
                forgotten=node.uri("hardening/forgotten.mjs"),
            )
        )  # fmt: skip
        with hosts(named_hosts, tmp_path, module) as (page, host):
            said = []
            page.on("console", lambda message: said.append(message.text))

            def look(note: str) -> list[str]:
                said.clear()
                page.goto(f"{host('shop.test')}/?{urlencode({'note': note})}")
                page.evaluate(SETTLED)
                return list(said)

            yield look, host, page

    return serve


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "uploads"
    root.mkdir()
    (root / "good.txt").write_text("good")
    (root / "..good.txt").write_text("good")
    (root / "good.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><script>document.documentElement'
        '.setAttribute("ran", location.origin)</script></svg>'
    )
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "uploads-private").mkdir()
    (tmp_path / "uploads-private" / "secret.txt").write_text("SECRET")
    (root / "link.txt").symlink_to("../secret.txt")
    return root


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "terms.txt").write_text("terms")
    (folder / "ord_1.pdf").write_text("order")
    return folder
