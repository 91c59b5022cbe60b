"""The checks of rest-apis/make-a-retry-safe. A docstring is the hint that a learner
reads when the check fails."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lab.run import node


def place(server, sku="tea", key="k-1", customer="ann") -> httpx.Response:
    headers = {"Idempotency-Key": key, "X-Customer": customer}
    with server.client() as client:
        return client.post("/orders", json={"sku": sku}, headers=headers)


def orders(server, customer="ann") -> list[dict]:
    with server.client(headers={"X-Customer": customer}) as client:
        return client.get("/orders").json()


def test_a_retry_after_the_answer_places_no_second_order(attempt):
    """The first answer is the answer, however often the question comes."""
    with node.serve(attempt) as server:
        first, second = place(server), place(server)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert len(orders(server)) == 1


@pytest.mark.fails_at_start
def test_twenty_at_once_with_one_key_place_one_order(attempt):
    """All of them look before the first one has written. What could be remembered at
    the moment of looking, when there is no answer yet?"""
    with node.serve(attempt) as server:
        headers = {"Idempotency-Key": "k-1", "X-Customer": "ann"}
        with server.client(headers=headers) as ann, ThreadPoolExecutor(20) as pool:
            body = {"sku": "tea"}
            asked = pool.map(lambda _: ann.post("/orders", json=body), range(20))
            answers = list(asked)
        count = len(orders(server))
        assert count == 1, f"{count} orders were placed, not 1"
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1


@pytest.mark.fails_at_start
def test_a_key_of_another_customer_is_another_key(attempt):
    """Two phones may choose the same key, and one of them on purpose. Whose is it?"""
    with node.serve(attempt) as server:
        place(server, "tea", customer="ann")
        answer = place(server, "mug", customer="bob")
        assert answer.json().get("customer") == "bob", f"Bob got {answer.text}"
        assert [order["sku"] for order in orders(server, "bob")] == ["mug"]


@pytest.mark.fails_at_start
def test_a_key_that_was_used_for_another_basket_is_refused(attempt):
    """The answer to the first question is no answer to the second. What would the
    server have to know in order to tell them apart?"""
    with node.serve(attempt) as server:
        place(server, "tea")
        code = place(server, "mug").status_code
        assert code == 422, f"the second basket was answered {code}, not 422"
        assert len(orders(server)) == 1


@pytest.mark.fails_at_start
def test_what_was_refused_is_not_remembered_as_placed(attempt):
    """A refusal placed nothing, so there is nothing to repeat: the next try is a
    first one."""
    with node.serve(attempt) as server:
        codes = [place(server, "yak").status_code for _ in range(2)]
        assert codes == [409, 409], f"an order without stock was answered {codes}"
        assert orders(server) == []
