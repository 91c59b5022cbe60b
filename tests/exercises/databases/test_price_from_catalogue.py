"""The checks of databases/price-from-catalogue. A docstring is the hint that a
learner reads when the check fails."""

import pytest

from lab.run import node


def total(attempt, *items):
    with node.serve(attempt) as server, server.client() as client:
        return client.post("/total", json={"items": items})


# TODO what must hold before and after, so that nobody mends one thing and breaks another
def test_an_unknown_item_is_not_found(attempt):
    """The catalogue decides what there is: look the sku up before the sum."""
    assert total(attempt, {"sku": "hat", "quantity": 1}).status_code == 404


# TODO what the start must fail; the hint names a direction, not the answer
@pytest.mark.fails_at_start
def test_a_price_from_the_client_is_not_charged(attempt):
    """Whose word is a price in the body of a request?"""
    answer = total(attempt, {"sku": "mug", "quantity": 2, "priceCents": 1})
    charged = answer.json()["totalCents"]
    assert charged == 1800, f"two mugs went for {charged} cents"
