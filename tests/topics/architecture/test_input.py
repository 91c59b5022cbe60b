"""Input that is named by the boundary, or written to the database as it came."""

import pytest

from lab.run import node

from .shared import TOPIC

# --- a leak, a boundary, two writers --------------------------------------------------


@pytest.mark.claim("architecture/layers-keep-input-out")
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
