"""Two readers of one request: lengths, encodings, lenient parsing."""

import json

import pytest

from lab.run import node, process

from .shared import exchange, javascript

# --- request smuggling --------------------------------------------------------------


def smuggled() -> dict[str, dict]:
    """What Node's two parsers make of each payload."""
    rows = json.loads(
        node.printed(f"""
    import {{ matrix }} from '{node.uri("hardening/smuggling.mjs")}';
    console.log(JSON.stringify(await matrix()));
    """)
    )
    return {row.pop("name"): row for row in rows}


@pytest.mark.claim("hardening/smuggling", verdict="depends")
def test_the_default_parser_smuggles_nothing_and_the_insecure_one_does():
    rows = smuggled()
    plain = rows.pop("plain")
    assert plain["strict"] == plain["lenient"] == {"urls": ["/"], "code": "200"}
    assert len(rows) == 14
    assert all(row["strict"]["code"] == "400" for row in rows.values())
    assert not any("/admin" in row["strict"]["urls"] for row in rows.values())
    let_in = {name for name, row in rows.items() if "/admin" in row["lenient"]["urls"]}
    assert let_in == {
        "CL.TE", "TE before the colon", "TE folded", "no CRLF after the chunk",
    }  # fmt: skip


def test_a_connection_that_the_parser_resets_is_an_answer_to_the_matrix_too():
    said = javascript("""
    import { found } from '@/hardening/smuggling.mjs';
    const much = 'x'.repeat(3_000_000); // never read, so the connection is reset
    const raw = `GET / HTTP/1.1\\r\\nnonsense\\r\\n\\r\\n${much}`;
    console.log(JSON.stringify(await found(raw)));
    """)
    assert said["urls"] == []


# A proxy as there once were many: it forbids /admin, knows Content-Length only, and
# sends all clients' requests through one connection.
FRONT = r"""
import { createServer as createBack } from 'node:http';
import { connect, createServer } from 'node:net';
const back = createBack(OPTIONS, (req, res) => {
  console.log(`reached ${req.url}`);
  req.on('error', () => {}).resume();
  req.on('end', () => res.end('ok'));
});
back.listen(0, '127.0.0.1', () => {
  const inner = connect(back.address().port, '127.0.0.1');
  inner.on('error', () => {});
  const front = createServer((client) => {
    client.on('error', () => {});
    client.once('data', (bytes) => {
      const text = bytes.toString('latin1');
      const head = text.slice(0, text.indexOf('\r\n\r\n') + 4);
      if (/^\w+ [/]admin/.test(head)) return client.end('HTTP/1.1 403 No\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      inner.pipe(client);
      return inner.write(text.slice(0, head.length + length), 'latin1');
    });
  });
  process.once('SIGTERM', () => { front.close(); inner.destroy(); back.close(); });
  front.listen(0, '127.0.0.1', () =>
    console.log(`listening on http://127.0.0.1:${front.address().port}`));
});
"""


@pytest.mark.parametrize("options", ["{ insecureHTTPParser: true }", "{}"])
def test_through_an_old_proxy_the_forbidden_path_is_reached_with_the_insecure_parser(
    tmp_path, options
):
    insecure = "true" in options
    path = tmp_path / "front.mjs"
    path.write_text(FRONT.replace("OPTIONS", options))
    payload = node.printed(f"""
    import {{ PAYLOADS }} from '{node.uri("hardening/smuggled.mjs")}';
    process.stdout.write(PAYLOADS['CL.TE']);
    """)
    with node.serve(path) as server:
        assert b" 403 " in exchange(server.port, b"GET /admin HTTP/1.1\r\n\r\n")
        assert (b" 200 " if insecure else b" 400 ") in exchange(
            server.port, payload.encode()
        )
        process.until(lambda: not insecure or "reached /admin" in server.output())
        assert ("reached /admin" in server.output()) is insecure
