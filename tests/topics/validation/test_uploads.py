"""Uploads: by content, size and number."""

import re

import pytest

from lab.run import node

from .shared import png, served

# --- uploads ------------------------------------------------------------------------

GIF = b"GIF89a" + b"\0" * 20

UPLOADS = {
    "png": (png(), "photo.png", "image/png", 201),
    "jpeg": (b"\xff\xd8\xff\xe0" + b"\0" * 20, "photo.jpg", "image/jpeg", 201),
    "gif, said to be text": (GIF, "notes.txt", "text/plain", 201),
    "name with a path": (GIF, "../../../etc/passwd", "image/gif", 201),
    "name with a NUL": (GIF, "a.gif\0.html", "image/gif", 201),
    "two extensions": (GIF, "shell.php.gif", "image/gif", 201),
    "name in Arabic": (GIF, "\u0634\u0627\u064a.gif", "image/gif", 201),
    "html": (b"<script>1</script>", "a.png", "image/png", 415),
    "svg": (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml", 415),
    "script behind spaces": (b"  \x89PNG\r\n\x1a\n", "a.png", "image/png", 415),
    "zip": (b"PK\x03\x04", "a.png", "image/png", 415),
    "gif of 1987": (b"GIF87a" + b"\0" * 20, "a.gif", "image/gif", 201),
    "gif of no year": (b"GIF88a" + b"\0" * 20, "a.gif", "image/gif", 415),
    "half a signature": (b"\x89PNG", "a.png", "image/png", 415),
    "nothing": (b"", "a.png", "image/png", 415),
    "too large": (png() + b"\0" * 100_001, "a.png", "image/png", 413),
}


@pytest.mark.claim("validation/mimetype-is-the-type", verdict="wrong")
def test_an_upload_is_taken_by_content_and_size_and_stored_under_a_name_of_ours():
    with served("upload.mjs") as server, server.client() as client:
        for name, (content, filename, kind, status) in UPLOADS.items():
            sent = client.post("/photos", files={"photo": (filename, content, kind)})
            assert sent.status_code == status, name
            if status == 201:
                url = sent.json()["url"]
                assert re.fullmatch(r"/photos/[0-9a-f-]{36}", url), name
                got = client.get(url)
                assert got.content == content
                assert got.headers["Content-Type"].startswith("image/")
                assert got.headers["X-Content-Type-Options"] == "nosniff"
        two = [("photo", ("a.gif", GIF)), ("photo", ("b.gif", GIF))]
        assert client.post("/photos", files=two).status_code == 400
        assert client.post("/photos", files={"other": ("a.gif", GIF)}).status_code == 400
        field = {"photo": ("a.gif", GIF)}
        assert client.post("/photos", files=field, data={"x": "1"}).status_code == 400
        assert client.post("/photos").status_code == 400
        assert client.get("/photos/none").status_code == 404


PART = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.gif"\r\n\r\n'

BAD_FORMS = {
    "no boundary": ("multipart/form-data", PART + GIF),
    "nothing in it": ("multipart/form-data; boundary=b", b""),
    "cut off": ("multipart/form-data; boundary=b", PART + GIF),
    "a part without a head": (
        "multipart/form-data; boundary=b",
        b"--b\r\nx\r\n\r\n--b--",
    ),
    "another type": ("application/json", b"{}"),
}


@pytest.mark.parametrize("form", BAD_FORMS)
def test_a_form_that_cannot_be_read_is_its_senders_fault(form):
    kind, content = BAD_FORMS[form]
    with served("upload.mjs") as server, server.client() as client:
        sent = client.post("/photos", content=content, headers={"Content-Type": kind})
        assert sent.status_code == 400
        assert "Error" not in server.output()


PHOTOS = """
import {{ createApp as create }} from '@/validation/upload.mjs';
export function createApp() {{
  return create({{ photos: {photos} }});
}}
"""

GIF_FORM = {"photo": ("a.gif", GIF)}


@pytest.mark.parametrize(
    "photos",
    [
        "{ set() { throw new Error('ours') }, get() { throw new Error('ours') } }",
        "{ async set() { throw new Error('ours') }, async get() { throw new Error() } }",
    ],
    ids=["throws", "rejects"],
)
def test_a_store_that_fails_under_an_upload_is_our_fault(app, photos):
    with app(PHOTOS.format(photos=photos)) as client:
        for _ in range(2):  # and the process lives
            # what is not the upload's error goes on to the app's own handler
            assert client.post("/photos", files=GIF_FORM).status_code == 500
            assert client.get("/photos/a").status_code == 500


def test_a_store_of_photos_may_take_its_time(app):
    photos = """{
      map: new Map(),
      async get(id) { return this.map.get(id); },
      async set(id, photo) { await null; this.map.set(id, photo); },
    }"""
    with app(PHOTOS.format(photos=photos)) as client:
        url = client.post("/photos", files=GIF_FORM).json()["url"]
        assert client.get(url).content == GIF
        assert client.get("/photos/none").status_code == 404


def test_the_store_of_photos_in_memory_has_an_end(app):
    """Two fit; the next is refused, and what was there is still there."""
    source = """
    import { createApp as create, inMemory } from '@/validation/upload.mjs';
    export function createApp() {
      return create({ photos: inMemory(2) });
    }
    """
    with app(source) as client:
        urls = [client.post("/photos", files=GIF_FORM).json()["url"] for _ in range(2)]
        assert client.post("/photos", files=GIF_FORM).status_code == 500
        assert {client.get(url).content for url in urls} == {GIF}


def test_an_upload_that_is_slower_than_the_servers_time_is_a_408_and_needs_its_own_server():
    """Both get the same upload, which rests in the middle until one server has given
    it up. The one for uploads waits for it."""
    seen = node.evaluate(
        """
    import { once } from 'node:events';
    import { connect } from 'node:net';
    import { createServer } from 'node:http';
    import { createApp, uploadServer } from './validation/upload.mjs';
    const soon = { connectionsCheckingInterval: 50 };
    const usual = { ...soon, headersTimeout: 300, requestTimeout: 300 };
    const form = Buffer.from('--b\\r\\nContent-Disposition: form-data; name="photo"; ' +
      'filename="a.gif"\\r\\n\\r\\nGIF89a and more\\r\\n--b--\\r\\n');
    async function begin(server) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const socket = connect(server.address().port, '127.0.0.1');
      const status = once(socket, 'data').then(([data]) => String(data).slice(9, 12));
      socket.write('POST /photos HTTP/1.1\\r\\nHost: x\\r\\n' +
        'Content-Type: multipart/form-data; boundary=b\\r\\n' +
        `Content-Length: ${form.length}\\r\\n\\r\\n`);
      socket.write(form.subarray(0, 20));
      return { server, socket, status };
    }
    const app = createApp();
    const [given, own] = await Promise.all(
      [createServer(usual, app), uploadServer(app, soon)].map(begin));
    console.log(await given.status);
    own.socket.write(form.subarray(20));
    console.log(await own.status);
    for (const { server } of [given, own]) server.close().closeAllConnections();
    const { requestTimeout } = uploadServer(app, { bytes: 5e6, rate: 50_000 });
    console.log(requestTimeout);
    try { uploadServer(app, { rate: 'fast' }); } catch (e) { console.log(e.name); }
    """.replace("\\\\", "\\")
    ).stdout
    assert seen.split() == ["408", "201", "110000", "RangeError"]
