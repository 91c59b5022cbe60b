"""A request that is said twice does one thing."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lab.run import node, services

from .shared import (
    HARDENED,
    MUGS,
    NAIVE,
    ORDER,
    at,
    count,
    place,
    placed,
    problem,
)

# --- said twice ---------------------------------------------------------------------


class LostReply:
    """Sends a request as often as it is told, and throws the answer away until the
    last: what a client does whose connection breaks each time."""

    def __init__(self, user: httpx.Client, times: int = 3) -> None:
        self.user, self.times = user, times

    def __call__(self, method: str, url: str, **options) -> list[int]:
        return [
            self.user.request(method, url, **options).status_code
            for _ in range(self.times)
        ]


@pytest.mark.claim("rest-apis/same-response", verdict="wrong")
def test_said_three_times_put_and_delete_leave_the_state_of_one_and_other_answers(api):
    with api() as users:
        say = LostReply(users.ann)
        once, thrice = (f"/orders/{placed(users.ann)['id']}" for _ in range(2))
        users.ann.put(once, json=MUGS, headers=at(1))
        assert say("PUT", thrice, json=MUGS, headers=at(1)) == [200, 412, 412]
        left = [users.ann.get(url).json() for url in (once, thrice)]
        assert {**left[0], "id": left[1]["id"]} == left[1]

        assert say("DELETE", thrice, headers=at(2)) == [204, 404, 404]
        assert users.ann.get(thrice).status_code == 404
        assert count(users.ann) == 1
        assert say("GET", once) == [200] * 3


@pytest.mark.claim("rest-apis/post-twice", verdict="wrong")
def test_said_three_times_a_post_makes_three_orders_and_with_a_key_one(api):
    with api(NAIVE) as users:
        assert LostReply(users.ann)("POST", "/orders", json=ORDER) == [201] * 3
        assert count(users.ann) == 3
    with api() as users:
        answers = [place(users.ann, key="one-intent") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({answer.text for answer in answers}) == 1
        assert count(users.ann) == 1


SLOW_PRICES = """
let waiting = 0;
let all;
const twenty = new Promise((resolve) => { all = resolve; });
const slow = async (skus) => {
  waiting += 1;
  if (waiting === 20) all();
  await twenty;
  return new Map(skus.map((sku) => [sku, 799]));
};
"""


@pytest.mark.claim("rest-apis/twenty-with-one-key", verdict="right")
@pytest.mark.parametrize(("snippet", "orders"), [(NAIVE, 20), (HARDENED, 1)])
def test_twenty_at_once_with_one_key(api, snippet, orders):
    """The naive cache looks, waits for prices, and only then remembers. Prices come
    when all twenty have asked for them, so none of them is late."""
    with api(snippet, "priceOf: slow", SLOW_PRICES) as users:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: place(users.ann, key="a-1"), range(20)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == orders
        assert count(users.ann) == orders


def test_a_key_is_one_customers_and_one_requests(api):
    with api(NAIVE) as users:
        place(users.ann, key="a-1")
        assert place(users.bob, MUGS, key="a-1").json()["customer"] == "ann"
    with api() as users:
        place(users.ann, key="a-1")
        theirs = place(users.bob, MUGS, key="a-1").json()
        assert (theirs["customer"], theirs["total"]) == ("bob", 1250)
        found = problem(place(users.ann, MUGS, key="a-1"), 422)
        assert found["errors"][0]["header"] == "Idempotency-Key"
        # and the same content is the same request, however it is written
        text = '{"items": [{"quantity": 2, "sku": "tea"}]}'
        headers = {"Idempotency-Key": "a-1", "Content-Type": "application/json"}
        again = users.ann.post("/orders", content=text, headers=headers)
        assert again.json()["customer"] == "ann"
        # what was refused is not remembered: the client may mend it
        problem(place(users.ann, {"items": []}, key="a-2"), 422)
        assert place(users.ann, key="a-2").status_code == 201


@pytest.mark.claim("rest-apis/stateless-scales", verdict="depends")
@pytest.mark.parametrize(("snippet", "orders"), [(NAIVE, 2), (HARDENED, 1)])
def test_two_processes_behind_one_address_and_a_post_that_is_retried(
    module, tmp_path, snippet, orders
):
    """Stateless says that any process may take the retry. It does not say that the
    other one knows of the first."""
    shared = f"""
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    const store = createStore({json.dumps(str(tmp_path / "orders.db"))});
    """
    path = module(snippet, "store" if snippet == HARDENED else "", shared)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(node.serve(path)) for _ in range(2)]
        proxy = stack.enter_context(services.proxy([s.url for s in servers]))
        headers = {"Authorization": "Bearer ann-key"}
        with httpx.Client(base_url=proxy.url, headers=headers, timeout=20) as ann:
            answers = [place(ann, key="a-1") for _ in range(4)]
        assert {answer.status_code for answer in answers} == {201}
        found = []
        for server in servers:
            with server.client(headers=headers) as ann:
                found.append(count(ann))
        assert (sum(found) if snippet == NAIVE else max(found)) == orders


def test_a_retry_gets_the_first_answer_whatever_the_prices_are_by_then(api):
    before = """
    let asked = 0;
    const risen = async (skus) => {
      asked += 1;
      if (asked > 2) throw new Error('no prices');
      return new Map(skus.map((sku) => [sku, 100 * asked]));
    };
    """
    with api(deps="priceOf: risen", before=before) as users:
        first = place(users.ann, key="a-1")
        assert first.json()["total"] == 200
        assert placed(users.ann)["total"] == 400
        problem(place(users.ann), 500)
        assert place(users.ann, key="a-1").text == first.text


def test_keys_are_forgotten_after_a_day_and_survive_a_restart(tmp_path):
    seen = node.evaluate(
        f"""
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    let time = 0;
    const open = () => createStore({json.dumps(str(tmp_path / "o.db"))},
      {{ now: () => time }});
    let store = open();
    const insert = (id) => store.of('ann').insert(
      {{ id, items: [], status: 'open', total: 0, version: 1 }},
      {{ key: 'k', request: 'r' }});
    console.log((await insert('a')).id);
    store.close();
    store = open();
    console.log((await insert('b')).id, await store.ping());
    time = 86_400_001;
    console.log((await insert('c')).id);
    // half of it fails: then none of it is there
    console.log(await store.of('bob').insert({{ id: 'c', items: [], status: 'open',
      total: 0, version: 1 }}, {{ key: 'k', request: 'r' }}).catch((e) => e.code));
    console.log(await store.of('bob').get('c'));
    """
    ).stdout
    assert seen.split() == ["a", "a", "true", "c", "ERR_SQLITE_ERROR", "null"]
