"""Kept connections, slow headers, closing."""

import contextlib
import http.client
import json
import os
import socket
import threading

import httpx
import pytest

from lab.run import load, node, process

from .shared import ORDER, TOPIC, USERS, Users, place, placed

# --- connections --------------------------------------------------------------------


class Relay:
    """Passes bytes on to a port at once, and the end of a connection only after the
    client has sent something more, as a slow network may: until then, the client
    believes in a connection that is closed."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = threading.Semaphore(0)  # one for each end that the server sent
        self.sockets, self.threads = [], []
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(5)

    def _start(self, work, *args) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [client, server]
                ended, believed = threading.Event(), threading.Event()
                self._start(self._ask, client, server, ended, believed)
                self._start(self._answer, server, client, ended, believed)

    def _ask(self, client, server, ended, believed) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                late = ended.is_set()
                with contextlib.suppress(OSError):
                    server.sendall(data)
                if late:
                    believed.set()
        believed.set()  # the client has ended it, too
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server, client, ended, believed) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        ended.set()
        self.closed.release()
        believed.wait(20)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def served(keep_alive_ms: int, **env: str):
    env = {"KEEP_ALIVE_MS": str(keep_alive_ms), "DRAIN_MS": "0", **env}
    env["USERS"] = json.dumps(USERS)
    with node.serve(f"{TOPIC}/server.mjs", env=env) as server:
        yield server


def post_on(connection: http.client.HTTPConnection, key: str) -> int | None:
    """None: no answer, and no way to know whether there is an order."""
    headers = {
        "Authorization": "Bearer ann-key",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    try:
        connection.request("POST", "/orders", json.dumps(ORDER), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (http.client.RemoteDisconnected, ConnectionError):
        return None


def reuse(keep_alive_ms: int, count: int = 10) -> list[int | None]:
    """`count` connections carry a POST each and rest; then each carries another, at
    the moment the server has closed it, or after as long a rest if it does not."""
    with served(keep_alive_ms) as server, Relay(server.port) as relay:
        pool = [
            http.client.HTTPConnection("127.0.0.1", relay.port, timeout=10)
            for _ in range(count)
        ]
        try:
            assert [post_on(c, f"a-{n}") for n, c in enumerate(pool)] == [201] * count
            for connection in pool:
                connection.auto_open = 0  # as a proxy's pool: this one or none
            for _ in pool:
                relay.closed.acquire(timeout=5 if keep_alive_ms < 1000 else 0.15)
            return [post_on(c, f"b-{n}") for n, c in enumerate(pool)]
        finally:
            for connection in pool:
                connection.close()


@pytest.mark.claim("rest-apis/gateway-502", verdict="wrong")
def test_a_connection_that_the_server_closes_first_loses_every_request_on_its_way():
    assert reuse(200) == [None] * 10  # it closed them after 200 ms, and a second
    assert reuse(75_000) == [201] * 10
    defaults = node.evaluate(
        """
    import { createServer } from 'node:http';
    const server = createServer();
    console.log(server.keepAliveTimeout, server.keepAliveTimeoutBuffer ?? 0);
    """
    ).stdout
    assert defaults.split()[0] == "5000"


@pytest.mark.claim("rest-apis/gateway-502", verdict="wrong")
def test_nginx_hides_the_race_from_a_get_and_not_from_a_post(nginx_proxy):
    codes = {}
    for method in ("GET", "POST"):
        with served(200) as server, Relay(server.port) as relay:
            proxy = nginx_proxy(f"http://127.0.0.1:{relay.port}", keepalive=4)
            headers = {"Authorization": "Bearer ann-key"}
            with httpx.Client(base_url=proxy.url, headers=headers) as ann:
                assert ann.get("/orders").status_code == 200
                assert relay.closed.acquire(timeout=5)
                answer = ann.get("/orders") if method == "GET" else place(ann)
                codes[method] = answer.status_code
    assert codes == {"GET": 200, "POST": 502}


@pytest.mark.parametrize(
    "env", [{"PORT": ""}, {"KEEP_ALIVE_MS": "75s"}, {"DRAIN_MS": "-1"}, {"DRAIN_MS": ""}]
)
def test_a_server_with_a_wrong_number_in_its_environment_does_not_start(env):
    done = node.run(f"{TOPIC}/server.mjs", env=env, code=1)
    assert f"Error: {next(iter(env))}: a whole number" in done.stderr


def last_on_its_connection(client: httpx.Client) -> bool:
    return client.get("/ready").headers["connection"] == "close"


def test_a_server_that_stops_says_so_serves_on_and_then_ends(tmp_path):
    database = str(tmp_path / "orders.db")
    with served(75_000, DRAIN_MS="2500", DATABASE=database) as server:
        with contextlib.closing(Users(server)) as users:
            assert users.nobody.get("/ready").json() == {"ok": True}
            os.kill(server.pid, 15)
            process.until(lambda: users.nobody.get("/ready").status_code == 503)
            os.kill(server.pid, 15)  # a second time, say to the group: nothing changes
            order = placed(users.ann)  # who was sent here before is still served
            assert users.nobody.get("/health").status_code == 200
            held = load.Held(f"{server.url}/orders")  # half a request, for the end
            for client in (users.nobody, users.ann):  # each connection is told
                process.until(lambda: last_on_its_connection(client))  # noqa: B023
            held.release()
            assert held.answer()[0] == 401  # it was on its way, so it is answered
            process.until(lambda: not server.alive())
    with served(75_000, DATABASE=database) as server:
        with contextlib.closing(Users(server)) as users:
            assert users.ann.get(f"/orders/{order['id']}").json() == order
