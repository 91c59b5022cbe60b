"""What a client says: named and bounded, or written to the database as it came."""

import json

import pytest

from lab.run import node

from .shared import TEA, TOPIC, many, place


@pytest.mark.claim("architecture/layers-keep-input-out", verdict="depends")
@pytest.mark.parametrize(
    ("snippet", "role"), [("customers.naive.mjs", "admin"), ("customers.mjs", "customer")]
)
def test_a_role_in_the_body_is_stored_unless_the_input_is_named(snippet, role):
    attack = {"email": "eve@shop.test", "name": "Eve", "role": "admin"}
    with node.serve(f"{TOPIC}/{snippet}") as running, running.client() as client:
        answer = client.post("/customers", json=attack)
        assert answer.status_code == 201
        assert answer.json() == {**attack, "role": role}


def test_the_hardened_registration_takes_a_customer_once_and_nothing_else():
    ann = {"email": "ann@shop.test", "name": "Ann"}
    with node.serve(f"{TOPIC}/customers.mjs") as running, running.client() as client:
        bad = [{}, {**ann, "name": 7}, {**ann, "name": "x" * 201}, [], {"email": ""}]
        assert {client.post("/customers", json=b).status_code for b in bad} == {422}
        codes = [client.post("/customers", json=ann).status_code for _ in range(2)]
        assert codes == [201, 409]
        json_ = {"Content-Type": "application/json"}
        broken = client.post("/customers", content=b"{", headers=json_)
        assert broken.status_code == 400
        assert "body-parser" not in broken.text  # no stack trace
        large = client.post("/customers", json={**ann, "more": "x" * 20_000})
        assert large.status_code == 413


BORDERS = {
    "a thousand": ({"items": [many("tea", 1000)]}, "#/items/0/quantity"),
    "half a piece": ({"items": [many("tea", 0.5)]}, "#/items/0/quantity"),
    "text for a number": ({"items": [many("tea", "1")]}, "#/items/0/quantity"),
    "no name": ({"items": [many("tea; --", 1)]}, "#/items/0/sku"),
    "nothing": ({"items": []}, "#/items"),
    "fifty-one": ({"items": [TEA] * 51}, "#/items"),
    "half a character": ({"items": [TEA], "note": "\ud800"}, "#/note"),
    "the end of a text": ({"items": [TEA], "note": "a\x00b"}, "#/note"),
    "a long note": ({"items": [TEA], "note": "x" * 501}, "#/note"),
}


def test_what_is_no_order_is_refused_with_its_place(shop):
    """Also what a database could not store as it is: a lone surrogate, or a NUL."""
    json_ = {"Content-Type": "application/json"}
    with shop("layered/app.mjs") as client:
        for kind, (order, pointer) in BORDERS.items():
            answer = client.post("/orders", content=json.dumps(order), headers=json_)
            assert answer.status_code == 422, kind
            found = [error["pointer"] for error in answer.json()["errors"]]
            assert found == [pointer], kind
        most = {"items": [TEA] * 20, "note": "x" * 500}
        assert client.post("/orders", json=most).status_code == 201


def test_an_order_with_many_errors_gets_twenty_of_them(shop):
    with shop("layered/app.mjs") as client:
        refused = place(client, *([many("no such thing", 0)] * 50), note=7)
        errors = refused.json()["errors"]
        assert len(errors) == 20
        assert errors[0]["pointer"] == "#/note"
        assert errors[-1]["pointer"] == "#/items/9/sku"
