"""ETags and versions: nobody overwrites what he has not seen."""

import re
import socket

import pytest

from lab.run import node

from .shared import MUGS, NAIVE, Users, at, placed, problem

# --- versions -----------------------------------------------------------------------


def two_writers(users: Users, url: str, rounds: int, naive: bool) -> list[int]:
    """Both read, then both add one to the quantity, in turn. The second tries again
    when it is told that it is late. Returns the quantity, and what was refused."""
    refused = 0

    def write(read: dict) -> int:
        item = {"sku": "tea", "quantity": read["items"][0]["quantity"] + 1}
        headers = {} if naive else at(read["version"])
        return users.ann.put(url, json={"items": [item]}, headers=headers).status_code

    for _ in range(rounds):
        first, second = (users.ann.get(url).json() for _ in range(2))
        assert write(first) == 200
        if write(second) == 412:
            refused += 1
            assert write(users.ann.get(url).json()) == 200
    return [users.ann.get(url).json()["items"][0]["quantity"], refused]


def test_of_two_writers_each_update_counts_with_if_match_and_half_are_lost_without(api):
    start = {"items": [{"sku": "tea", "quantity": 1}]}
    with api(NAIVE) as users:
        url = f"/orders/{placed(users.ann, start)['id']}"
        assert two_writers(users, url, 20, naive=True) == [21, 0]  # 40 were written
    with api() as users:
        url = f"/orders/{placed(users.ann, start)['id']}"
        assert two_writers(users, url, 20, naive=False) == [41, 20]


@pytest.mark.claim("rest-apis/etag-for-free", verdict="wrong")
def test_the_etag_of_express_is_weak_and_if_match_must_not_match_it(api):
    with api() as users:
        order = placed(users.ann)
        url = f"/orders/{order['id']}"
        listed = users.ann.get("/orders")
        assert listed.headers["ETag"].startswith('W/"')  # Express's own
        assert users.ann.get(url).headers["ETag"] == '"1"'  # ours
        for tag, status in (
            ('W/"1"', 412),  # the version, but weak
            ('"0", "7"', 412),
            ("1", 400),  # without its quotes
            (None, 428),
        ):
            headers = {"If-Match": tag} if tag else {}
            answer = users.ann.put(url, json=MUGS, headers=headers)
            problem(answer, status)
            if status == 412:
                assert answer.headers["ETag"] == '"1"'
        assert users.ann.get(url).json() == order
        assert users.ann.put(url, json=MUGS, headers={"If-Match": "*"}).is_success
        tags = {"If-Match": '"1", "2"'}
        assert users.ann.put(url, json=MUGS, headers=tags).is_success


def test_an_unchanged_answer_is_304_without_a_body(api):
    with api() as users:
        order = placed(users.ann)
        for url in (f"/orders/{order['id']}", "/orders"):
            first = users.ann.get(url)
            tag = {"If-None-Match": first.headers["ETag"]}
            second = users.ann.get(url, headers=tag)
            assert (second.status_code, second.content) == (304, b"")
            assert second.headers["ETag"] == first.headers["ETag"]
            assert second.headers["Cache-Control"] == "private, no-cache"
        users.ann.put(f"/orders/{order['id']}", json=MUGS, headers=at(1))
        assert users.ann.get(url, headers=tag).status_code == 200


def answer_bytes(server: node.Server, path: str, tag: str = "") -> tuple[bytes, str]:
    """All that is sent for a GET, headers included, and its ETag."""
    head = f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"
    head += "Authorization: Bearer ann-key\r\n"
    head += f"If-None-Match: {tag}\r\n" if tag else ""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"{head}\r\n".encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    return data, re.search(rb"\nETag: (\S+)", data)[1].decode()


@pytest.mark.claim("rest-apis/not-modified-is-cheap", verdict="depends")
def test_a_304_saves_nearly_all_of_a_page_and_about_half_of_one_order(api):
    with api() as users:
        for _ in range(50):
            url = f"/orders/{placed(users.ann)['id']}"
        shares = {}
        for path in (url, "/orders?limit=50"):
            full, tag = answer_bytes(users.server, path)
            short, _ = answer_bytes(users.server, path, tag)
            assert full.startswith(b"HTTP/1.1 200") and short.startswith(b"HTTP/1.1 304")
            shares[path] = len(short) / len(full)
        assert shares["/orders?limit=50"] < 0.05
        assert 0.3 < shares[url] < 0.7


@pytest.mark.parametrize("method", ["update", "remove"])
def test_who_is_overtaken_between_reading_and_writing_gets_412(api, method):
    before = f"""
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    const real = createStore();
    const of = (id) => ({{ ...real.of(id), {method}: async () => null }});
    """
    with api(deps="store: { ...real, of }", before=before) as users:
        url = f"/orders/{placed(users.ann)['id']}"
        if method == "update":
            problem(users.ann.put(url, json=MUGS, headers=at(1)), 412)
        else:
            problem(users.ann.delete(url, headers=at(1)), 412)
