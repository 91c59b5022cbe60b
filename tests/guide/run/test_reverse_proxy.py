"""The reverse proxy: nginx, and the lines of Node that stand in for it."""

import socket

import httpx
import pytest

from lab.run import process, services
from lab.run.services import ServiceError

from .shared import read_until

# --- the proxy -----------------------------------------------------------------------


def test_a_proxy_passes_requests_and_answers_on(proxy, echo):
    with httpx.Client(base_url=proxy(echo()).url) as client:
        answer = client.put("/a%20b?q=1", content=b"x" * 200_000, headers={"A": "b"})
        seen = answer.json()
        assert (seen["method"], seen["url"]) == ("PUT", "/a%20b?q=1")
        assert len(seen["body"]) == 200_000
        assert seen["headers"]["a"] == "b"
        assert seen["headers"]["host"] == client.base_url.netloc.decode()
        assert seen["headers"]["x-forwarded-proto"] == "http"
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        chunks = client.request("DELETE", "/", content=iter([b"in ", b"parts"]))
        assert chunks.json()["body"] == "in parts"


@pytest.mark.parametrize(
    ("forwarded", "sent", "seen"),
    [
        ("append", None, "127.0.0.3"),
        ("append", "203.0.113.9", "203.0.113.9, 127.0.0.3"),
        ("overwrite", "203.0.113.9", "127.0.0.3"),
        ("pass", "203.0.113.9", "203.0.113.9"),
        ("pass", None, None),
    ],
)
def test_a_proxy_treats_x_forwarded_for_as_told(proxy, echo, forwarded, sent, seen):
    url = proxy(echo(), forwarded=forwarded).url
    from_3 = httpx.HTTPTransport(local_address="127.0.0.3")
    headers = {"X-Forwarded-For": sent} if sent else {}
    with httpx.Client(transport=from_3) as client:
        request = client.get(url, headers=headers).json()
    assert request["headers"].get("x-forwarded-for") == seen
    assert request["remoteAddress"] == "127.0.0.2"


def test_a_proxy_takes_turns_among_its_upstreams(proxy, echo):
    url = proxy([echo("a"), echo("b")]).url
    names = [httpx.get(url).json()["name"] for _ in range(6)]
    assert names in (list("ababab"), list("bababa"))


def test_a_proxy_can_keep_a_client_at_one_upstream(proxy, echo):
    url = proxy([echo("a"), echo("b")], balance="client-address").url

    def names(address):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport) as client:
            return {client.get(url).json()["name"] for _ in range(4)}

    each = [names(f"127.0.0.{last}") for last in range(3, 19)]
    assert all(len(one) == 1 for one in each)
    assert set.union(*each) == {"a", "b"}


def test_a_proxy_can_prefer_the_upstream_with_fewer_requests(proxy, echo):
    upstreams = [echo("a"), echo("b")]
    service = proxy(upstreams, balance="least-connections")
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        process.until(lambda: any(httpx.get(url).json()["held"] for url in upstreams), 10)
        names = {httpx.get(service.url).json()["name"] for _ in range(4)}
        for url in upstreams:
            httpx.get(f"{url}/release")
        answer = b"".join(iter(lambda: slow.recv(65536), b"")).decode()
    assert len(names) == 1
    assert f'"name":"{names.pop()}"' not in answer


def test_a_proxy_keeps_connections_to_its_upstreams_only_if_told(proxy, echo):
    def ports(url):
        return len({httpx.get(url).json()["remotePort"] for _ in range(5)})

    upstream = echo()
    assert ports(proxy(upstream).url) == 5
    assert ports(proxy(upstream, keepalive=4).url) == 1


def test_a_proxy_retries_elsewhere_unless_told(proxy, echo):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        alive = echo()

        def statuses(method, **options):
            url = proxy([dead, alive], **options).url
            return sorted(httpx.request(method, url).status_code for _ in range(4))

        assert statuses("GET", retry=False) == [200, 200, 502, 502]
        assert statuses("GET") == [200] * 4


def test_a_retried_request_kills_one_upstream_after_the_other(proxy, echo):
    upstreams = [echo("a"), echo("b")]
    assert httpx.get(proxy(upstreams).url + "/dies").status_code == 502
    ports = [int(url.rsplit(":", 1)[1]) for url in upstreams]
    process.until(lambda: not any(map(services.listens, ports)), 10)


UPGRADE = "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def upgrade(url: str, path: str, first: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 10)
    client.sendall((UPGRADE % path).encode() + first)
    return client


def test_a_proxy_passes_an_upgrade_on_only_if_told(proxy, echo):
    upstream = echo()
    with upgrade(proxy(upstream, websocket=True).url, "/") as client:
        client.sendall(b" world")
        answer = read_until(client, b"hello, world").decode()
        assert answer.startswith("HTTP/1.1 101 ")
        assert "upgrade: echo" in answer.lower()
        client.sendall(b"!")
        assert read_until(client, b"!") == b"!"
    with upgrade(proxy(upstream).url, "/") as client:
        assert client.recv(12) == b"HTTP/1.1 200"
    with upgrade(proxy(upstream, websocket=True).url, "/no") as client:
        assert read_until(client, b"no").startswith(b"HTTP/1.1 403 ")


def test_a_proxy_without_its_upstream_answers_502(proxy):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = proxy(f"http://127.0.0.1:{closed.getsockname()[1]}", websocket=True).url
        assert httpx.get(url).status_code == 502
        with upgrade(url, "/") as client:
            assert client.recv(12) == b"HTTP/1.1 502"


def test_a_stopped_proxy_comes_back_on_its_port(proxy, echo):
    service = proxy(echo())
    service.stop()
    assert not services.listens(service.port)
    service.start()
    assert httpx.get(service.url).status_code == 200


def test_nginx_speaks_to_the_upstreams_as_it_does_when_nobody_tuned_it(nginx_proxy, echo):
    def version(**options):
        return httpx.get(nginx_proxy(echo(), **options).url).json()["v"]

    assert version() == "1.0"
    assert version(keepalive=1) == "1.1"
    assert version(websocket=True) == "1.1"


def test_nginx_takes_further_directives(nginx_proxy, echo):
    service = nginx_proxy(echo(), location="return 418;")
    assert httpx.get(service.url).status_code == 418
    assert service.kind == "nginx"


PROXY_FAULTS = {
    "kind": (["http://127.0.0.1:1"], {"kind": "apache"}, "no 'apache' — choose from"),
    "balance": (["http://127.0.0.1:1"], {"balance": "fair"}, "no 'fair' — choose from"),
    "far away": (["http://example.com:80"], {}, "'http://example.com:80' is no upstream"),
    "none": ([], {}, "no upstream — give the URL"),
    "source": ("http://127.0.0.1:1", {"source": "192.0.2.1"}, "connect from 192.0.2.1"),
    "nginx's": (
        "http://127.0.0.1:1",
        {"kind": "node", "location": "return 418;"},
        "does not read nginx's directives",
    ),
}


@pytest.mark.parametrize("name", PROXY_FAULTS)
def test_a_proxy_that_cannot_be_is_refused_in_one_line(name):
    upstreams, options, message = PROXY_FAULTS[name]
    with pytest.raises(ServiceError, match=message):
        with services.proxy(upstreams, **options):
            pytest.fail("it was started")


def test_a_directive_that_nginx_refuses_is_shown(nginx_proxy, echo):
    with pytest.raises(ServiceError, match='unknown directive "proxy_magic"'):
        nginx_proxy(echo(), location="proxy_magic on;")
