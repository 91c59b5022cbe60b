"""Fixtures that several files of these tests take."""

import re

import pytest

from lab.run import node

from .shared import TOPIC


@pytest.fixture
def module(tmp_path):
    """Writes a program around the chapter's modules that listens and ends itself."""

    def write(body: str, name: str = "module"):
        path = tmp_path / f"{name}.mjs"
        if not (tmp_path / "node_modules").exists():
            (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
        folder = node.SNIPPETS.as_uri()
        body = re.sub(r"from '\./", f"from '{folder}/{TOPIC}/", body)
        path.write_text(
            "import { createServer } from 'node:http';\n"
            "import { appendFileSync } from 'node:fs';\n"
            f"{body}\n"
            "server.listen(Number(process.env.PORT), '127.0.0.1', () =>\n"
            "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
            "process.once('SIGTERM', () => { stop(); server.close();\n"
            "  server.closeAllConnections(); });\n"
        )
        return path

    return write
