"""What several files of these tests share."""

import contextlib
import json
import socket

from lab.run import node


def told(source: str, timeout: float = 20):
    """What JavaScript printed, as JSON."""
    return json.loads(node.printed(source, timeout=timeout))


def asked(server, path: str) -> socket.socket:
    """A connection that has asked for `path`."""
    client = socket.create_connection(("127.0.0.1", server.port), 10)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


@contextlib.contextmanager
def asking(server, path: str, times: int):
    """That many connections that have asked for `path`, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(asked(server, path)) for _ in range(times)]


def status(client: socket.socket) -> int:
    """The status of the answer."""
    return int(client.recv(20).split()[1])


def until_closed(client: socket.socket) -> bytes:
    """What comes until the other side ends the connection, also by a reset."""
    data = b""
    try:
        while more := client.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


# a dependency that is played: `seen` counts what reached it, `play` answers
DEPENDENCY = """
import { once } from 'node:events';
import { createServer } from 'node:http';
async function played(play) {
  const seen = [];
  const server = createServer((req, res) => {
    seen.push(`${req.method} ${req.url}`);
    play(req, res, seen.length);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => { server.close(); server.closeAllConnections(); };
  return { url: `http://127.0.0.1:${server.address().port}`, seen, close };
}
const say = (value) => console.log(JSON.stringify(value));
const outcome = (promise) =>
  promise.then((value) => value?.status ?? value, (error) => error?.name);
"""
