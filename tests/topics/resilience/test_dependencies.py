"""Dependencies that fail: places, load that is shed, old answers, outages that go on."""

import pytest

from lab.run import node, process, services

from .shared import DEPENDENCY, asked, asking, status, told

NAIVE, HARDENED = "resilience/product.naive.mjs", "resilience/product.mjs"

# a service whose answer depends on a file: "up", "garbage", or it hangs
MOODY = """
import { readFileSync } from 'node:fs';
let open = 0;
const held = [];
export function createApp() {
  return (req, res) => {
    if (req.url === '/open') return res.end(String(open));
    if (req.url === '/release') return res.end(void held.splice(0).forEach((one) => one.end('{}')));
    const mood = readFileSync(process.env.MOOD, 'utf8');
    open += 1;
    res.once('close', () => { open -= 1; });
    if (mood === 'up') res.end('{"cents":900}');
    else if (mood === 'garbage') res.end('<html>');
    else held.push(res);
  };
}
"""
LIMITS = "atOnce: 4, waiting: 0, timeoutMs: 200, totalMs: 400, tries: 1, ms: 1000,"


@pytest.fixture
def mood(tmp_path):
    file = tmp_path / "mood"
    file.write_text("up")
    return file


@pytest.fixture
def shop(tmp_path, mood):
    """Serves a snippet with prices that are moody and reviews that are away."""
    program = tmp_path / "moody.mjs"
    program.write_text(MOODY)
    with node.serve(program, env={"MOOD": str(mood)}) as prices:

        def serve(snippet, reviews=None):
            reviews = reviews or "http://127.0.0.1:1"
            given = f"prices: '{prices.url}', reviews: '{reviews}', {LIMITS}"
            path = tmp_path / "shop.mjs"
            path.write_text(node.with_deps(snippet, given))
            return node.serve(path)

        serve.url = prices.url
        serve.release = lambda: client.get("/release")
        serve.open = lambda: int(client.get("/open").text)
        with prices.client() as client:
            yield serve


def test_a_dependency_that_hangs_takes_every_request_of_the_naive_shop(shop, mood):
    mood.write_text("hangs")
    with shop(NAIVE) as server:
        with asking(server, "/products/tea", 20) as waiting:
            process.until(lambda: shop.open() == 20)  # one connection for each
            waiting[0].settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting[0].recv(1)
        shop.release()  # its clients have gone, and it went on waiting


def test_a_dependency_that_hangs_takes_four_places_of_the_hardened_one(shop, mood):
    with shop(HARDENED) as server, server.client() as client:
        fresh = client.get("/products/tea").json()
        price = {"cents": 900}
        assert fresh == {"sku": "tea", "price": price, "stale": False, "reviews": None}
        mood.write_text("hangs")
        with asking(server, "/products/mug", 20) as waiting:
            process.until(lambda: shop.open() == 4)
            for one in waiting:
                assert status(one) in (503, 504)
        old = client.get("/products/tea").json()
        assert old == {"sku": "tea", "price": price, "stale": True, "reviews": None}
        assert client.get("/health").status_code == 200
        mood.write_text("up")  # and the breaker probes
        process.until(lambda: client.get("/products/mug").status_code == 200)


@pytest.mark.parametrize("snippet", [NAIVE, HARDENED])
def test_while_all_is_well_both_shops_show_prices_and_reviews(shop, mood, snippet):
    with services.proxy(shop.url, kind="node") as reviews:
        with shop(snippet, reviews.url) as server, server.client() as client:
            page = client.get("/products/tea").json()
            assert page["price"] == page["reviews"] == {"cents": 900}


def test_an_answer_that_cannot_be_read_is_a_502_and_an_unknown_path_a_404(shop, mood):
    mood.write_text("garbage")
    with shop(HARDENED) as server, server.client() as client:
        assert client.get("/products/tea").status_code == 502
        assert client.get("/products/T_A").status_code == 404


def test_an_old_answer_has_an_end_and_the_store_of_them_a_bound():
    source = """
    import { createStale } from './resilience/stale.mjs';
    let [time, up] = [0, true];
    const load = async (key) => { if (!up) throw new Error('down'); return key; };
    const get = createStale({ load, staleMs: 100, keys: 2, now: () => time });
    for (const key of ['a', 'b', 'c']) await get(key);
    up = false;
    const said = async (key) => (await get(key).catch(() => ({ stale: 'gone' }))).stale;
    const early = [await said('a'), await said('b'), await said('c')];
    time = 101;
    console.log(JSON.stringify([early, await said('c')]));
    """
    assert told(source) == [["gone", True, True], "gone"]


# --- bulkheads and queues -------------------------------------------------------------

BULKHEAD = "import { createBulkhead } from './resilience/bulkhead.mjs';" + DEPENDENCY


def test_a_full_queue_refuses_and_the_important_take_the_place_of_others():
    source = (
        BULKHEAD
        + """
    const { enter, now } = createBulkhead({ atOnce: 1, waiting: 2, patienceMs: 60_000 });
    const order = [];
    let finish;
    const first = enter(() => new Promise((resolve) => { finish = resolve; }));
    const ask = (name, importance) =>
      outcome(enter(async () => { order.push(name); return name; }, { importance }));
    const rest = [ask('a', 0), ask('b', 0), ask('c', 0), ask('pay', 2), ask('d', 1)];
    const busy = now();
    finish();
    await first;
    say({ busy, said: await Promise.all(rest), order, after: now() });
    """
    )
    assert told(source) == {
        "busy": {"running": 1, "waiting": 2},
        "said": ["Refused", "Refused", "Refused", "pay", "d"],
        "order": ["pay", "d"],
        "after": {"running": 0, "waiting": 0},
    }


def test_a_place_is_given_back_by_whoever_fails_leaves_waits_or_hangs():
    source = (
        BULKHEAD
        + """
    const limits = { atOnce: 1, waiting: 1, patienceMs: 30, mostMs: 60 };
    const { enter, now } = createBulkhead(limits);
    const hangs = () => new Promise(() => {});
    const fails = outcome(enter(async () => { throw new TypeError('x'); }));
    const said = [await fails, now().running];
    const caller = new AbortController();
    const long = outcome(enter(hangs)); // holds the place for 60 ms
    said.push(await outcome(enter(hangs))); // waits for 30 ms
    const gone = outcome(enter(hangs, { signal: caller.signal }));
    caller.abort();
    said.push(await gone, now().waiting, await long, now().running);
    say(said);
    """
    )
    assert told(source) == [
        "TypeError", 0, "Refused", "AbortError", 0, "DeadlineError", 0,
    ]  # fmt: skip


@pytest.mark.claim("resilience/longer-queue-is-safer", verdict="wrong")
@pytest.mark.parametrize(("waiting", "good"), [("Infinity", 9), ("4", 40)])
def test_a_queue_that_is_longer_than_the_patience_serves_those_who_have_gone(
    waiting, good
):
    """On a played clock: one place, 10 ms a request, two come every 10 ms, and a client
    waits for 50 ms."""
    source = """
    const most = WAITING;
    const queue = [];
    let served = 0;
    for (let now = 0; now < 40; now += 1) { // turns of 10 ms
      for (const born of [now, now]) if (queue.length <= most) queue.push(born);
      const born = queue.shift();
      if (now + 1 - born <= 5) served += 1; // its client still waits
    }
    console.log(JSON.stringify(served));
    """.replace("WAITING", waiting)
    assert told(source) == good


SHED = """
import express from 'express';
import { createShedding } from '@/resilience/bulkhead.mjs';
export function createApp() {
  const app = express();
  app.get('/health', (req, res) => res.send('ok'));
  const waiting = [];
  app.get('/go', (req, res) => { waiting.splice(0).forEach((one) => one.send('done')); res.send(''); });
  app.get('/count', (req, res) => res.send(String(waiting.length)));
  let come = 0;
  app.get('/come', (req, res) => res.send(String(come)));
  app.use((req, res, next) => { come += 1; next(); });
  app.use(createShedding({ atOnce: 2, waiting: 1, patienceMs: 60_000,
    importanceOf: (req) => (req.path === '/pay' ? 1 : 0) }));
  app.get(['/browse', '/pay'], (req, res) => { waiting.push(res); });
  return app;
}
"""


def test_a_service_that_is_full_sheds_who_browses_first_and_its_health_never(app):
    with (
        app(SHED) as server,
        server.client() as client,
        asking(server, "/browse", 2) as running,
    ):
        process.until(lambda: client.get("/count").text == "2")
        with asked(server, "/browse") as browsing:  # it waits
            process.until(lambda: client.get("/come").text == "3")
            refused = client.get("/browse")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            with asked(server, "/pay") as paying:  # takes the place of who browses
                assert status(browsing) == 503
                assert client.get("/health").status_code == 200
                client.get("/go")
                process.until(lambda: client.get("/count").text == "1")
                client.get("/go")
                assert [status(one) for one in (*running, paying)] == [200, 200, 200]


# --- probes ---------------------------------------------------------------------------

PROBED = """
import express from 'express';
import { Redis } from 'ioredis';
export function createApp({ signal }) {
  const app = express();
  const redis = new Redis(process.env.REDIS, { commandTimeout: 200,
    enableOfflineQueue: false, retryStrategy: () => 50, maxRetriesPerRequest: 0 });
  redis.on('error', () => {});
  signal.addEventListener('abort', () => redis.disconnect());
  const asks = (req, res) =>
    redis.ping().then(() => res.sendStatus(200), () => res.sendStatus(503));
  app.get('/asks', asks);
  app.get('/alive', (req, res) => res.sendStatus(200));
  return app;
}
"""


@pytest.mark.claim("resilience/liveness-asks-the-database", verdict="wrong")
@pytest.mark.parametrize(("path", "restarts"), [("/asks", 3), ("/alive", 0)])
def test_an_outage_restarts_every_replica_whose_liveness_asks(
    redis_server, tmp_path, path, restarts
):
    """The kubelet is played: whoever fails three probes in a row is restarted."""
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    program = tmp_path / "probed.mjs"
    program.write_text(PROBED)
    env = {"REDIS": redis_server.url}
    with (
        node.serve(program, env=env) as a,
        node.serve(program, env=env) as b,
        node.serve(program, env=env) as c,
    ):
        replicas = (a, b, c)
        clients = [one.client() for one in replicas]
        for client in clients:
            process.until(lambda client=client: client.get("/asks").status_code == 200)
        redis_server.stop()
        failed = [0, 0, 0]
        for _ in range(3):  # what three periods of a probe see
            for number, client in enumerate(clients):
                failed[number] += client.get(path).status_code != 200
        assert sum(one == 3 for one in failed) == restarts
        redis_server.start()  # nobody was restarted, and all are well again
        for client in clients:
            process.until(lambda client=client: client.get("/asks").status_code == 200)
            client.close()


# --- start-up -------------------------------------------------------------------------


def test_fail_fast_at_start_is_a_crash_loop_and_waiting_is_not_ready(app):
    with services.proxy("http://127.0.0.1:9", kind="node") as away:
        source = f"""
        const asked = async () => (await fetch('{away.url}/')).ok;
        let ready = false;
        export async function createApp({{ signal }}) {{
          if (process.env.FAST && !(await asked())) throw new Error('no database');
          const look = setInterval(async () => {{ ready = await asked().catch(() => false); }}, 20);
          signal.addEventListener('abort', () => clearInterval(look));
          return (req, res) => res.writeHead(req.url === '/livez' || ready ? 200 : 503).end();
        }}
        """
        with app(source) as server, server.client() as client:
            assert client.get("/livez").status_code == 200
            assert client.get("/readyz").status_code == 503
        with pytest.raises(node.NodeError, match="no database"):
            with app(source, env={"FAST": "1"}):
                pass


@pytest.mark.parametrize(("snippet", "refused"), [("naive", 0), ("", 9)])
def test_twenty_at_once_all_wait_at_the_naive_service_and_eleven_at_the_other(
    app, snippet, refused
):
    """The work is held: nothing is answered by it until all have come."""
    suffix = f".{snippet}" if snippet else ""
    source = f"""
    import {{ createApp as create }} from '@/resilience/quotes{suffix}.mjs';
    export function createApp() {{
      let go;
      const gate = new Promise((resolve) => {{ go = resolve; }});
      const app = create({{ work: () => gate, patienceMs: 60_000 }});
      let come = 0;
      return (req, res) => {{
        if (req.url === '/count') return res.end(String(come));
        if (req.url === '/go') return go(), res.end();
        come += 1;
        return app(req, res);
      }};
    }}
    """
    with app(source) as server, server.client() as client:
        with asking(server, "/quote", 20) as twenty:
            process.until(lambda: client.get("/count").text == "20")
            client.get("/go")
            statuses = [status(one) for one in twenty]
    assert statuses.count(503) == refused
    assert statuses.count(200) == 20 - refused


@pytest.mark.parametrize("snippet", ["quotes.naive.mjs", "quotes.mjs"])
def test_while_there_is_room_both_services_give_quotes(snippet):
    with node.serve(f"resilience/{snippet}") as server, server.client() as client:
        assert [client.get("/quote").status_code for _ in range(3)] == [200] * 3
