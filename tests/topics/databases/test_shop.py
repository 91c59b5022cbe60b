"""The shop as a client meets it, and the small parts."""

import concurrent.futures
import json

from lab.run import node, process


def place(client, key, *items, **more):
    order = {"items": [{"sku": sku, "quantity": n} for sku, n in items], **more}
    return client.post("/orders", json=order, headers={"Idempotency-Key": key})


def test_an_order_is_placed_once_and_takes_all_or_nothing(shop, database):
    database.sql("INSERT INTO products VALUES ('tea', 450, 10), ('pot', 12500, 1)")
    with shop("shop.mjs") as server, server.client() as client:
        first = place(client, "k1", ("tea", 2))
        again = place(client, "k1", ("tea", 2))
        assert (first.status_code, first.json()["total"]) == (201, 900)
        assert again.json() == first.json()
        assert first.headers["Location"] == f"/orders/{first.json()['id']}"
        half = place(client, "k2", ("tea", 1), ("pot", 2))
        assert half.status_code == 409
        assert half.headers["Content-Type"].startswith("application/problem+json")
        assert place(client, "k1", ("tea", 3)).status_code == 422
        wrong = [
            place(client, "k3"), place(client, "k3", ("tea", 0)),
            place(client, "k3", ("tea", "1")), place(client, "k3", ("'; --", 1)),
            client.post("/orders", content="{", headers={"Content-Type": "application/json"}),
            place(client, "", ("tea", 1)),
        ]  # fmt: skip
        assert [one.status_code for one in wrong] == [422, 422, 422, 422, 400, 400]
        page = client.get("/orders?limit=1").json()
        assert [one["id"] for one in page["items"]] == [first.json()["id"]]
        assert client.get("/orders?sort=note").status_code == 400
        assert client.get("/orders", headers={"X-Customer": "bob"}).json()["items"] == []
    assert database.sql("SELECT sku, stock FROM products ORDER BY sku") == "pot|1\ntea|8"


def test_fifty_are_sold_to_a_hundred_by_two_processes(shop, database):
    database.sql("INSERT INTO products VALUES ('tea', 450, 50), ('pot', 100, 50)")
    with shop("shop.mjs") as one, shop("shop.mjs") as two:
        with one.client() as a, two.client() as b:

            def buy(n):
                # baskets in both orders: no deadlock
                basket = [("tea", 1), ("pot", 1)][:: -1 if n % 2 else 1]
                return place(b if n % 3 else a, f"k{n}", *basket).status_code

            with concurrent.futures.ThreadPoolExecutor(20) as threads:
                codes = list(threads.map(buy, range(100)))
    assert sorted(codes) == [201] * 50 + [409] * 50
    assert database.sql("SELECT sum(stock) FROM products") == "0"


def test_nobody_is_let_in_and_nothing_of_a_row_is_told(shop, database):
    with shop("shop.mjs", "authenticate: async () => null") as server:
        with server.client() as client:
            assert client.get("/orders").status_code == 401
            assert client.get("/live").status_code == 200
            assert client.get("/ready").status_code == 200
    database.sql("ALTER TABLE orders RENAME COLUMN total TO cents")
    with shop("shop.mjs") as server, server.client() as client:
        answer = client.get("/orders")
        assert (answer.status_code, answer.json()) == (500, {"status": 500})
        assert "42703" in server.output()


def test_a_database_that_goes_and_comes_back_is_used_again(postgres_server):
    deps = (
        f"url: '{postgres_server.url}', limits: {{ max: 2, acquireMs: 500, silentMs: 700, "
        "statementMs: 600 }, authenticate: () => ({ id: 'ann' })"
    )
    schema = node.printed(
        "import { SCHEMA } from './databases/schema.mjs'; console.log(SCHEMA)"
    )
    postgres_server.sql(schema)
    source = node.with_deps("databases/shop.mjs", deps)
    program = postgres_server.folder / "serve.mjs"
    program.write_text(source)
    with node.serve(program) as server, server.client() as client:
        assert client.get("/orders").status_code == 200
        assert postgres_server.stop()
        assert client.get("/ready").status_code == 503
        assert client.get("/orders").status_code == 503
        assert client.get("/live").status_code == 200
        postgres_server.start()
        process.until(lambda: client.get("/ready").status_code == 200)
        assert client.get("/orders").status_code == 200
        postgres_server.pause()  # it is there, and says nothing
        assert client.get("/orders").status_code == 503
        assert client.get("/ready").status_code == 503
        postgres_server.resume()
        process.until(lambda: client.get("/ready").status_code == 200)


def told(source):
    return json.loads(node.printed(source))


def test_an_error_has_its_status():
    codes = {
        "23505": 409, "23503": 409, "23514": 422, "22P02": 400, "22021": 400, "40001": 503,
        "40P01": 503, "55P03": 503, "57014": 503, "53300": 503, "57P01": 503, "08006": 503,
        "ECONNRESET": 503, "ECONNREFUSED": 503, "EPIPE": 503, "42601": 500, "25P02": 500,
    }  # fmt: skip
    seen = told(f"""
    import {{ Failure, statusOf }} from './databases/errors.mjs';
    const codes = {json.dumps(list(codes))};
    const others = [{{ message: 'Query read timeout' }}, {{ status: 200 }}, undefined, null,
      new Failure(409, 'no'), {{ message: 'Connection terminated unexpectedly' }}];
    console.log(JSON.stringify([codes.map((code) => statusOf({{ code }})), others.map(statusOf)]));
    """)
    assert seen == [list(codes.values()), [503, 500, 500, 500, 409, 503]]


def test_batches_are_bounded_in_order_and_stop_at_a_failure():
    seen = told("""
    import { setTimeout as sleep } from 'node:timers/promises';
    import { inBatches } from './databases/batches.mjs';
    let [now, most, begun] = [0, 0, 0];
    const work = async (n) => {
      begun += 1;
      most = Math.max(most, (now += 1));
      await sleep(1 + (n % 3));
      now -= 1;
      if (n === 20) throw new Error('boom');
      return n * 2;
    };
    const items = Array.from({ length: 15 }, (_, n) => n);
    const said = [await inBatches(items, work, { atOnce: 4 }), most];
    begun = 0;
    const more = Array.from({ length: 100 }, (_, n) => n);
    said.push(await inBatches(more, work, { atOnce: 4 }).catch(({ message }) => message));
    await sleep(20);
    said.push(begun < 30);
    const gone = new AbortController();
    const hangs = inBatches(more, () => new Promise(() => {}), { signal: gone.signal });
    gone.abort(new Error('gone'));
    said.push(await hangs.catch(({ message }) => message));
    said.push(await inBatches(more, work, { atOnce: '4' }).catch(({ name }) => name));
    console.log(JSON.stringify([...said, await inBatches([], work)]));
    """)
    assert seen == [
        [2 * n for n in range(15)], 4, "boom", True, "gone", "TypeError", [],
    ]  # fmt: skip


def test_a_pool_without_a_limit_is_not_made_and_no_password_is_told():
    seen = told("""
    import { createPool } from './databases/pool.mjs';
    const url = 'postgres://shop:secret@127.0.0.1/shop';
    const wrong = [{ max: 0 }, { max: '10' }, { acquireMs: undefined }, { lockMs: 2 ** 31 },
      { statementMs: NaN }, { statement_timeout: 5 }, { waiting: 1.5 }];
    const said = wrong.map((limits) => {
      try { createPool({ url, limits }); }
      catch ({ name, message }) { return [name, message.includes('secret')]; }
    });
    console.log(JSON.stringify(said));
    """)
    kinds = ["TypeError"] * 7
    kinds[5] = "RangeError"
    assert seen == [[kind, False] for kind in kinds]


def test_a_pool_ends_with_its_signal(database):
    seen = database.told("""
    const end = new AbortController();
    const pool = createPool({ url, signal: end.signal, logger: quiet });
    const busy = pool.query('SELECT pg_sleep(0.2), 1 AS one');
    await until(`SELECT count(*) = 1 ${ours} AND query LIKE '%sleep%'`);
    end.abort();
    const said = [(await busy).rows[0].one, await outcome(pool.query('SELECT 1'))];
    pool.end();
    const ended = createPool({ url, signal: AbortSignal.abort(), logger: quiet });
    said.push(await outcome(ended.query('SELECT 1')));
    let none;
    try { createPool({}); } catch (error) { none = error.name; }
    say([...said, none]);
    """)
    closed = "Cannot use a pool after calling end on the pool"
    assert seen == [1, closed, closed, "TypeError"]


def test_a_process_that_leaves_is_alive_and_not_ready():
    seen = told("""
    import express from 'express';
    import { createReady } from './databases/ready.mjs';
    const leaving = new AbortController();
    const db = { query: async () => ({ rows: [] }) };
    const app = express().use(createReady({ db, leaving: leaving.signal }));
    const server = app.listen(0, '127.0.0.1');
    const ask = async (path) =>
      (await fetch(`http://127.0.0.1:${server.address().port}${path}`)).status;
    await new Promise((resolve) => server.once('listening', resolve));
    const said = [await ask('/ready')];
    leaving.abort();
    said.push(await ask('/ready'), await ask('/live'));
    server.close();
    server.closeAllConnections();
    console.log(JSON.stringify(said));
    """)
    assert seen == [200, 503, 200]
