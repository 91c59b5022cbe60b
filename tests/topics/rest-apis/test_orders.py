"""The resource: methods, status codes, whose order it is."""

from lab.run import node

from .shared import (
    HARDENED,
    MERGE,
    MUGS,
    NAIVE,
    ORDER,
    TOPIC,
    Users,
    at,
    count,
    place,
    placed,
    problem,
)

# --- the resource -------------------------------------------------------------------


def test_an_order_is_placed_read_replaced_changed_cancelled_and_deleted(api):
    with api() as users:
        answer = place(users.ann, ORDER)
        order = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/orders/{order['id']}"
        assert answer.headers["ETag"] == '"1"'
        assert order == {
            "id": order["id"],
            "customer": "ann",
            "items": ORDER["items"],
            "status": "open",
            "total": 1598,
            "version": 1,
        }
        url = answer.headers["Location"]
        read = users.ann.get(url)
        assert read.text == answer.text  # one version, one sequence of bytes
        assert users.ann.head(url).headers["ETag"] == '"1"'

        put = users.ann.put(url, json=MUGS, headers=at(1))
        assert (put.status_code, put.headers["ETag"]) == (200, '"2"')
        assert put.json() == {**order, **MUGS, "total": 1250, "version": 2}

        patch = users.ann.patch(url, content='{"note":null}', headers={**at(2), **MERGE})
        assert "note" not in patch.json() and patch.json()["items"] == MUGS["items"]

        cancelled = users.ann.post(f"{url}/cancellation", headers=at(3))
        assert cancelled.json()["status"] == "cancelled"
        again = users.ann.post(f"{url}/cancellation", headers=at(4))
        assert problem(again, 409)["detail"] == "It is cancelled."
        problem(users.ann.put(url, json=ORDER, headers=at(4)), 409)

        other = f"/orders/{placed(users.ann)['id']}"
        assert users.ann.delete(other, headers=at(1)).status_code == 204
        problem(users.ann.get(other), 404)


# --- whose order --------------------------------------------------------------------


def walk(users: Users, ids: list[str]) -> list[int]:
    """What Bob gets who tries each id in each way there is."""
    codes = []
    for id_ in ids:
        url = f"/orders/{id_}"
        codes += [
            users.bob.get(url).status_code,
            users.bob.put(url, json=ORDER, headers=at(1)).status_code,
            users.bob.patch(
                url, content='{"note":"bob"}', headers={**MERGE, **at(1)}
            ).status_code,
            users.bob.post(f"{url}/cancellation", headers=at(1)).status_code,
            users.bob.delete(url, headers=at(1)).status_code,
        ]
    return codes


def test_another_user_who_walks_the_ids_gets_all_of_the_naive_apis_orders(api):
    with api(NAIVE) as users:
        for _ in range(5):
            placed(users.ann)
        seen = [users.bob.get(f"/orders/{n}").json() for n in range(1, 6)]
        assert {order["customer"] for order in seen} == {"ann"}
        assert users.bob.delete("/orders/3").status_code == 200
        assert count(users.ann) == 4


def test_another_user_who_knows_the_ids_gets_404_from_the_hardened_one(api):
    with api() as users:
        orders = [placed(users.ann) for _ in range(3)]
        ids = [order["id"] for order in orders]
        assert set(walk(users, ids)) == {404}
        assert count(users.bob) == 0
        for order in orders:
            assert users.ann.get(f"/orders/{order['id']}").json() == order
        # and it is the answer to an order that never was, to the letter
        unknown = users.bob.get("/orders/ord_none")
        theirs = users.bob.get(f"/orders/{ids[0]}")
        assert unknown.text == theirs.text
        problem(users.nobody.get("/orders"), 401)


def test_who_is_unknown_is_not_parsed(api):
    wrong = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with api() as users:
        answer = users.nobody.post("/orders", **wrong)
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        problem(users.ann.post("/orders", **wrong), 400)
        for token in ("Bearer", "Bearer x", "Basic ann-key", "ann-key"):
            answer = users.nobody.get("/orders", headers={"Authorization": token})
            problem(answer, 401)


def test_without_authenticate_the_app_serves_nobody():
    with node.serve(f"{TOPIC}/{HARDENED}") as server, server.client() as client:
        assert client.get("/health").json() == {"ok": True}
        assert client.get("/ready").json() == {"ok": True}
        for headers in ({}, {"Authorization": "Bearer ann-key"}):
            problem(client.get("/orders", headers=headers), 401)
        empty = {"Content-Type": "application/json", "Content-Length": "0"}
        problem(client.post("/orders", headers=empty), 401)
