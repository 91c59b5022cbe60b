"""What docs/topics/{{topic}}/ says, run."""

import pytest

from lab.run import node

TOPIC = "{{topic}}"
NAIVE, HARDENED = f"{TOPIC}/total.naive.mjs", f"{TOPIC}/total.mjs"
BASKET = [
    {"quantity": 2, "priceCents": 900},
    {"quantity": 1, "priceCents": 150},
]


def total(snippet: str, items: object):
    with node.serve(snippet) as server, server.client() as client:
        return client.post("/total", json={"items": items})


# TODO one test per behaviour, named as a sentence; one per claim carries its key
@pytest.mark.claim("{{topic}}/decimals-are-exact", verdict="wrong")
def test_tenths_do_not_add_up_and_cents_do():
    lines = node.run(f"{TOPIC}/cents.mjs").stdout.splitlines()
    assert lines[0].endswith("exact: false")
    assert lines[1].endswith("exact: true")


@pytest.mark.parametrize("snippet", [NAIVE, HARDENED])
def test_a_total_is_the_sum_of_its_items(snippet):
    assert total(snippet, BASKET).json() == {"totalCents": 1950}


# TODO attack tests come in pairs: the naive version falls, the hardened one holds
REFUND = [*BASKET, {"quantity": -3, "priceCents": 900}]


def test_the_naive_total_pays_the_customer_for_a_negative_quantity():
    assert total(NAIVE, REFUND).json() == {"totalCents": -750}


@pytest.mark.parametrize(
    "items", [REFUND, [{"quantity": "2", "priceCents": 900}], [None], "mug", None]
)
def test_the_hardened_total_refuses_what_is_not_a_basket(items):
    assert total(HARDENED, items).status_code == 400
