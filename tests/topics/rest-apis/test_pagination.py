"""Pages by cursor while others write."""

import json
import re

import httpx
import pytest

from lab.run import node

from .shared import NAIVE, TOPIC, at, placed, problem

# --- pages --------------------------------------------------------------------------


def pages_of(user: httpx.Client, **params) -> list[list[dict]]:
    found, after = [], {}
    while True:
        answer = user.get("/orders", params={**params, **after})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        if answer.json()["next"] is None:
            return found
        after = {"after": answer.json()["next"]}


@pytest.mark.parametrize("sort", ["created", "-created", "total", "-total"])
def test_pages_by_key_hold_each_order_once_in_order_whatever_comes_between(api, sort):
    with api() as users:
        made = [
            placed(users.ann, {"items": [{"sku": "tea", "quantity": 1 + n % 3}]})
            for n in range(7)
        ]
        placed(users.bob)
        found = [o for page in pages_of(users.ann, limit=3, sort=sort) for o in page]
        field = sort.removeprefix("-")
        expected = made if field == "created" else sorted(made, key=lambda o: o["total"])
        if field == "total":
            assert [o["total"] for o in found] == sorted(
                (o["total"] for o in made), reverse=sort.startswith("-")
            )
        else:
            assert found == (expected[::-1] if sort.startswith("-") else expected)
        assert sorted(o["id"] for o in found) == sorted(o["id"] for o in made)

        # an order that goes between two pages takes no other with it
        first = users.ann.get("/orders", params={"limit": 3, "sort": sort}).json()
        gone = first["items"][0]["id"]
        users.ann.delete(f"/orders/{gone}", headers=at(1))
        params = {"limit": 100, "sort": sort, "after": first["next"]}
        rest = users.ann.get("/orders", params=params).json()["items"]
        assert [o["id"] for o in first["items"] + rest] == [o["id"] for o in found]


@pytest.mark.claim("rest-apis/offset-is-fine", verdict="wrong")
def test_a_page_by_offset_skips_an_order_when_one_before_it_goes(api):
    with api(NAIVE) as users:
        made = [placed(users.ann)["id"] for _ in range(4)]
        first = users.ann.get("/orders", params={"offset": 0}).json()[:2]
        users.ann.delete(f"/orders/{made[0]}")
        second = users.ann.get("/orders", params={"offset": 2}).json()
        seen = {order["id"] for order in first + second}
        assert made[2] not in seen


def test_pages_are_filtered_by_status(api):
    with api() as users:
        order, _ = placed(users.ann), placed(users.ann)
        users.ann.post(f"/orders/{order['id']}/cancellation", headers=at(1))
        (page,) = pages_of(users.ann, status="cancelled", limit=1)
        assert [found["id"] for found in page] == [order["id"]]
        problem(users.ann.get("/orders", params={"status": "lost"}), 400)


@pytest.mark.claim("rest-apis/offset-is-fine", verdict="wrong")
def test_offset_visits_every_row_before_the_page_and_a_key_visits_the_page():
    lines = node.run(f"{TOPIC}/pages.mjs").stdout.splitlines()
    assert "after 19980: offset visits 20000 rows, keyset 20 rows" in lines
    assert lines[-1] == "after 999980: offset visits 1000000 rows, keyset 20 rows"


def test_the_stores_pages_come_from_an_index_and_sort_nothing(tmp_path):
    """What SQLite plans for the very queries of store.mjs."""
    path = tmp_path / "orders.db"
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    const asked = [];
    const prepare = DatabaseSync.prototype.prepare;
    DatabaseSync.prototype.prepare = function (text) {{
      asked.push(text);
      return prepare.call(this, text);
    }};
    const {{ createStore }} = await import('{node.uri("rest-apis/store.mjs")}');
    const store = createStore({json.dumps(str(path))});
    for (const sort of ['created', '-created', 'total', '-total']) {{
      await store.of('ann').list({{ sort, limit: 5, after: {{ total: 1, seq: 1 }} }});
    }}
    const db = new DatabaseSync({json.dumps(str(path))});
    for (const text of asked) {{
      console.log(prepare.call(db, `EXPLAIN QUERY PLAN ${{text}}`).all()
        .map(({{ detail }}) => detail).join(' + '));
    }}
    """
    ).stdout
    plans = seen.splitlines()
    assert len(plans) == 4
    for plan in plans:
        assert re.match(r"SEARCH orders USING INDEX by_(time|total) ", plan), plan
        assert "seq" in plan or "total" in plan and "TEMP" not in plan
