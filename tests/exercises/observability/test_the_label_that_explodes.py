"""The checks of observability/the-label-that-explodes. A docstring is the hint that a
learner reads when the check fails."""

import re

import pytest

from lab.run import node

COUNT = re.compile(r"^http_request_duration_seconds_count\{(.*)\} (\d+)$", re.MULTILINE)
METHODS = ("PUT", "PATCH", "DELETE", "PURGE", "PROPFIND", "LINK", "SEARCH", "MOVE")


def counted(attempt, *requests):
    """The series that these requests make: their labels, and how many each counts."""
    with node.serve(attempt) as server, server.client() as client:
        for method, path in requests:
            client.request(method, path)
        text = client.get("/metrics").text
    return [
        (dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(count))
        for labels, count in COUNT.findall(text)
    ]


def test_what_is_worth_knowing_stays_known(attempt):
    """Dropping the labels is no way out: products and orders differ, and so do an order
    that is there and one that is not."""
    seen = counted(
        attempt, ("GET", "/products"), ("GET", "/orders/ord_1"), ("GET", "/orders/ord_2")
    )
    statuses = sorted(labels.get("status", "") for labels, _ in seen)
    assert statuses == ["200", "200", "404"], f"the series are {seen}"


@pytest.mark.fails_at_start
def test_orders_are_one_route_whatever_their_id(attempt):
    """The path is what the client wrote. What did you write, that matched it? Express
    knows it when the answer is finished."""
    seen = counted(attempt, *(("GET", f"/orders/ord_{n}") for n in range(2, 32)))
    assert len(seen) == 1, f"thirty unknown orders made {len(seen)} series"


@pytest.mark.fails_at_start
def test_addresses_that_the_shop_does_not_have_are_one_series(attempt):
    """Where nothing matched there is no pattern to name. One word for all of it will do,
    but there must be one: a crawler is worth knowing of."""
    seen = counted(attempt, *(("GET", f"/wp-admin/{n}.php") for n in range(30)))
    assert len(seen) == 1, f"thirty addresses made {len(seen)} series"
    assert seen[0][1] == 30, f"thirty requests were counted as {seen[0][1]}"


@pytest.mark.fails_at_start
def test_methods_that_the_shop_does_not_have_are_one_series(attempt):
    """Node's parser knows more than thirty methods, and whoever asks chooses. When is a
    method a value that you wrote?"""
    seen = counted(attempt, *((method, "/products") for method in METHODS))
    assert len(seen) == 1, f"eight methods made {len(seen)} series"
