"""The checks of architecture/move-the-transaction. A docstring is the hint that a
learner reads when the check fails."""

import concurrent.futures
import contextlib

import pytest

from lab.run import node

TEA = [{"sku": "tea", "quantity": 1}]
LONG = "x" * 21  # the database refuses it


@contextlib.contextmanager
def shop(attempt):
    with node.serve(attempt) as server, server.client() as client:
        yield client


def stock(client):
    return [client.get(f"/products/{sku}").json()["stock"] for sku in ("tea", "mug")]


def place(client, items=TEA, note="ring"):
    return client.post("/orders", json={"items": items, "note": note})


def test_an_order_is_placed_and_cancelled(attempt):
    """This worked at the start: serve your file and look at what it answers."""
    with shop(attempt) as client:
        placed = place(client)
        assert placed.status_code == 201, f"placing answered {placed.status_code}"
        assert stock(client) == [9, 10]
        cancelled = client.post(f"/orders/{placed.json()['id']}/cancellation")
        assert cancelled.json()["status"] == "cancelled"
        assert stock(client) == [10, 10]


@pytest.mark.fails_at_start
def test_an_order_that_cannot_be_stored_takes_nothing(attempt):
    """Two repositories write, and the second one fails. Who knows that the first one's
    write belongs to it?"""
    with shop(attempt) as client:
        refused = [place(client, note=LONG).status_code for _ in range(5)]
        assert refused == [409] * 5
        left = stock(client)
        assert left == [10, 10], f"{10 - left[0]} tea taken by 5 refused orders"


@pytest.mark.fails_at_start
def test_an_order_of_two_products_takes_both_or_none(attempt):
    """One call of a repository for each product is one transaction for each product."""
    with shop(attempt) as client:
        items = [*TEA, {"sku": "mug", "quantity": 11}]
        assert place(client, items).status_code == 409
        left = stock(client)
        assert left == [10, 10], f"the stock is {left}, not [10, 10]"


@pytest.mark.fails_at_start
def test_a_cancellation_that_fails_leaves_the_order_open(attempt):
    """The order `old` holds a cup, which cannot be given back. What was written before
    that was found out?"""
    with shop(attempt) as client:
        assert client.post("/orders/old/cancellation").status_code == 409
        order = client.get("/orders/old").json()
        assert order["status"] == "open", f"the order is {order['status']}"
        left = stock(client)
        assert left == [10, 10], f"the stock is {left}, not [10, 10]"


def test_a_failure_leaves_no_transaction_behind(attempt):
    """After an error the connection must be as it was: is there a way out of your
    transaction without COMMIT or ROLLBACK?"""
    with shop(attempt) as client:
        assert place(client, note=LONG).status_code == 409
        assert place(client).status_code == 201


def test_orders_at_the_same_time_do_not_mix(attempt):
    """There is one connection, so there is one transaction. What may another request do
    while yours awaits? Every second order here is refused, and the others must not be."""
    with shop(attempt) as client:
        notes = ["ring", LONG] * 4
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda note: place(client, note=note), notes))
        codes = [answer.status_code for answer in answers]
        assert codes == [201, 409] * 4, f"the answers were {codes}"
        for answer in answers[::2]:
            id = answer.json()["id"]
            assert client.get(f"/orders/{id}").json()["id"] == id
