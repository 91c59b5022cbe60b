"""Other services: timeouts, retries, clients that leave."""

import httpx
import pytest

from lab.run import node

from .shared import count, place, placed, problem

# --- other services -----------------------------------------------------------------

# `fetch` of an upstream that counts; 100 calls in a row, no waiting between tries
COUNTING = """
const sleep = async () => {};
async function hundred(createCall, status, request) {
  let asked = 0;
  const fetch = async () => { asked += 1; return new Response('{}', { status }); };
  const call = createCall({ fetch, sleep });
  for (let i = 0; i < 100; i += 1) await call('http://prices', request).catch(() => {});
  return asked;
}
"""


@pytest.mark.claim("rest-apis/three-tries", verdict="depends")
def test_a_hundred_calls_to_a_service_that_is_down_become_300_or_by_a_budget_120():
    seen = node.evaluate(
        f"""
    import {{ createCall as naive }} from '{node.uri("rest-apis/outbound.naive.mjs")}';
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    {COUNTING}
    const post = {{ method: 'POST' }};
    const keyed = {{ ...post, headers: {{ 'Idempotency-Key': 'k' }} }};
    console.log(await hundred(naive, 503), await hundred(createCall, 503));
    console.log(await hundred(naive, 503, post), await hundred(createCall, 503, post));
    console.log(await hundred(createCall, 503, keyed));
    console.log(await hundred(naive, 404), await hundred(createCall, 404));
    console.log(await hundred(naive, 200), await hundred(createCall, 200));
    """
    ).stdout
    naive, hardened = seen.splitlines()[0].split()
    assert naive == "300"
    assert hardened == "119"  # ten in reserve, and one for each ten calls
    assert seen.splitlines()[1:] == ["300 100", "119", "300 100", "100 100"]


def test_an_outage_costs_a_tenth_more_calls_however_long_it_is():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    let asked = 0;
    const fetch = async () => {{ asked += 1; throw new TypeError('fetch failed'); }};
    const call = createCall({{ fetch, sleep: async () => {{}} }});
    for (let i = 0; i < 5000; i += 1) await call('http://prices').catch(() => {{}});
    console.log(asked);
    """
    ).stdout
    assert seen.strip() == "5509"  # 5000, a tenth, the reserve; one tenth is left over


def test_only_what_may_be_said_twice_is_and_with_the_whole_body_each_time():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    const sleep = async () => {{}};
    async function said(url, init) {{
      const bodies = [];
      const fetch = async (...asked) => {{
        const request = new Request(...asked);
        bodies.push(`${{request.method}} ${{await request.text()}}`);
        return new Response('', {{ status: 500 }});
      }};
      await createCall({{ fetch, sleep }})(url, init).catch(() => {{}});
      console.log(bodies.join());
    }}
    const url = 'http://prices.test';
    await said(url, {{ method: 'post', body: 'a' }});
    await said(new Request(url, {{ method: 'POST', body: 'a' }}));
    await said(url, {{ method: 'put', body: 'a' }});
    const body = new Blob(['stream']).stream();
    await said(url, {{ method: 'PUT', body, duplex: 'half' }});
    await said(new Request(url, {{ method: 'POST', headers: {{ 'Idempotency-Key': 'k' }} }}));
    """
    ).stdout
    assert seen.splitlines() == [
        "POST a",
        "POST a",
        "PUT a,PUT a,PUT a",
        "PUT stream,PUT stream,PUT stream",
        "POST ,POST ,POST ",
    ]


def test_a_caller_who_gives_up_ends_the_call_and_the_wait_between_two():
    seen = node.evaluate(
        f"""
    import {{ setTimeout as wait }} from 'node:timers/promises';
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    let asked = 0;
    const hangs = (request, {{ signal }}) => new Promise((resolve, reject) => {{
      asked += 1;
      signal.addEventListener('abort', () => reject(signal.reason));
      setImmediate(() => stop.abort(new Error('gave up')));
    }});
    const fails = async () => {{ asked += 1; throw new TypeError('fetch failed'); }};
    const sleep = (ms, value, options) => {{
      stop.abort(new Error('gave up'));
      return wait(60_000, value, options);
    }};
    const url = 'http://prices.test';
    let stop;
    for (const [options, call] of [
      [{{ fetch: hangs }}, (call) => call(url, {{ signal: stop.signal }})],
      [{{ fetch: hangs }}, (call) => call(new Request(url, {{ signal: stop.signal }}))],
      [{{ fetch: fails, sleep }}, (call) => call(url, {{ signal: stop.signal }})],
    ]) {{
      stop = new AbortController();
      asked = 0;
      const create = createCall({{ timeoutMs: 60_000, tries: 2, ...options }});
      await call(create).catch((error) => console.log(error.message, asked));
    }}
    for (const wrong of [{{ timeoutMs: '1000' }}, {{ tries: '3' }}, {{ reserve: NaN }}]) {{
      try {{ createCall(wrong); }} catch (error) {{ console.log(`${{error}}`); }}
    }}
    """
    ).stdout
    assert seen.splitlines() == [
        "gave up 1",
        "gave up 1",
        "The operation was aborted 1",
        "TypeError: timeoutMs: not a whole number, 0 or more, 2147483647 at most, but '1000'",
        "TypeError: tries: not a whole number, 1 or more, but '3'",
        "TypeError: reserve: not a whole number, 0 or more, but NaN",
    ]


def test_an_answer_that_is_no_list_of_prices_gives_its_connection_back():
    seen = node.evaluate(
        f"""
    import {{ pricesFrom }} from '{node.uri("rest-apis/prices.mjs")}';
    const cancelled = [];
    const answers = {{
      'no such': [404, 'none'], text: [200, 'text'], nothing: [200, 'null'],
      prices: [200, '{{"tea":-1,"mug":1.5,"kettle":0,"pot":"1"}}'],
    }};
    for (const [name, [status, text]] of Object.entries(answers)) {{
      const body = new ReadableStream({{
        pull(to) {{ to.enqueue(Buffer.from(text)); to.close(); }},
        cancel() {{ cancelled.push(name); }},
      }}, {{ highWaterMark: 0 }});
      const priceOf = pricesFrom('http://x', async () => new Response(body, {{ status }}));
      await priceOf(['tea', 'mug', 'kettle', 'pot']).then(
        (prices) => console.log(JSON.stringify([...prices])),
        (error) => console.log(error.status, error.cause instanceof Error));
    }}
    console.log(cancelled.join());
    """
    ).stdout
    assert seen.splitlines() == ["503 true"] * 3 + ['[["kettle",0]]', "no such"]


def test_one_failure_is_retried_and_a_caller_who_gives_up_is_obeyed():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    let asked = 0;
    const waits = [];
    const fetch = async () => {{
      asked += 1;
      if (asked === 1) throw new TypeError('fetch failed');
      return new Response('fine', {{ status: asked === 2 ? 502 : 200 }});
    }};
    const options = {{ fetch, random: () => 0.5, sleep: async (ms) => waits.push(ms) }};
    console.log(await (await createCall(options)('http://x')).text(), waits.join());
    const signal = AbortSignal.abort();
    asked = 0;
    await createCall(options)('http://x', {{ signal }}).catch(() => console.log(asked));
    """
    ).stdout
    assert seen.splitlines() == ["fine 100,200", "0"]


HANGING = """
import {{ createServer }} from 'node:http';
import {{ createCall }} from '{call}';
import {{ pricesFrom }} from '{prices}';
let answer = 'hang';
const upstream = createServer((req, res) => {{
  if (answer === 'hang') return;
  res.statusCode = answer;
  res.end('{{"tea":500,"mug":"free"}}');
}}).listen(0, '127.0.0.1');
upstream.unref();
process.once('SIGTERM', () => upstream.close().closeAllConnections());
const priceOf = (skus) => {{
  answer = {{ 998: 'hang', 997: 404, 996: 503 }}[quantity] ?? 200;
  const url = `http://127.0.0.1:${{upstream.address().port}}`;
  // short only where it matters, or a busy machine is taken for an outage
  const options = {{ timeoutMs: answer === 'hang' ? 200 : 10_000, tries: 2 }};
  return pricesFrom(url, createCall(options))(skus);
}};
let quantity; // of the order says what the upstream does
const parse = (body) => {{
  quantity = body.items[0].quantity;
  return {{ value: body }};
}};
"""


def test_a_service_that_hangs_makes_a_503_in_time_and_no_order(api):
    before = HANGING.format(
        call=node.uri("rest-apis/outbound.mjs"), prices=node.uri("rest-apis/prices.mjs")
    )
    deps = "priceOf, parseOrder: parse"

    def order(quantity: int, sku: str = "tea") -> dict:
        return {"items": [{"sku": sku, "quantity": quantity}]}

    with api(deps=deps, before=before) as users:
        assert placed(users.ann, order(2))["total"] == 1000
        for quantity in (998, 997, 996):
            answer = place(users.ann, order(quantity))
            problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"
        problem(place(users.ann, order(1, "mug")), 409)  # no price is no sale
        assert count(users.ann) == 1


def test_the_naive_call_waits_for_a_service_that_hangs(api):
    before = HANGING.format(
        call=node.uri("rest-apis/outbound.naive.mjs"),
        prices=node.uri("rest-apis/prices.mjs"),
    )
    deps = "priceOf, parseOrder: parse"
    with api(deps=deps, before=before) as users:
        body = {"items": [{"sku": "tea", "quantity": 998}]}
        headers = {"Idempotency-Key": "a-1"}
        with pytest.raises(httpx.ReadTimeout):  # five times what the other one waits
            users.ann.post("/orders", json=body, headers=headers, timeout=2)
        assert users.ann.get("/health").status_code == 200


# --- a client that leaves -----------------------------------------------------------

LEAVING = """
import { once } from 'node:events';
import { createServer, request } from 'node:http';
const logged = [];
const logger = { error: (fields, message) => logged.push(message) };
const authenticate = () => ({ id: 'ann' });
const listen = async (app) => {
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};
/** Places an order, and can hang up. */
const order = (server, key = 'a-1') => {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': key };
  const { port } = server.address();
  const asked = request({ port, method: 'POST', path: '/orders', headers });
  asked.on('error', () => {}); // of our own hanging up
  asked.end('{"items":[{"sku":"tea","quantity":1}]}');
  return asked;
};
/** How many orders there are, as the next request finds. */
const count = async (server) => {
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/orders`);
  return (await answer.json()).items.length;
};
const end = (server) => server.close().closeAllConnections();
"""


def test_express_goes_on_for_a_client_that_has_left():
    seen = node.evaluate(
        f"""
    import express from 'express';
    {LEAVING}
    const app = express();
    const work = new EventTarget();
    app.post('/orders', async (req, res) => {{
      const left = once(res, 'close');
      work.dispatchEvent(new Event('begun'));
      await left;
      res.status(201).json({{ placed: true }});
      console.log('to its end');
      end(server);
    }});
    const server = await listen(app);
    const begun = once(work, 'begun');
    const asked = order(server);
    await begun;
    asked.destroy();
    """
    ).stdout
    assert seen.strip() == "to its end"


def test_who_hangs_up_while_prices_are_asked_for_ends_that_and_leaves_no_order():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{node.uri("rest-apis/orders.mjs")}';
    import {{ createCall }} from '{node.uri("rest-apis/outbound.mjs")}';
    import {{ pricesFrom }} from '{node.uri("rest-apis/prices.mjs")}';
    {LEAVING}
    let answers = false;
    const upstream = await listen((req, res) => {{
      if (answers) res.end('{{"tea":799}}');
      upstream.emit('asked', res);
    }});
    const call = createCall({{ timeoutMs: 60_000 }});
    const priceOf = pricesFrom(`http://127.0.0.1:${{upstream.address().port}}`, call);
    const app = createApp({{ authenticate, logger, priceOf }});
    const server = await listen(app);
    const first = order(server);
    const [asked] = await once(upstream, 'asked');
    first.destroy();
    await once(asked, 'close'); // the price service is told
    console.log(await count(server), logged.length);
    answers = true;
    const [answer] = await once(order(server), 'response'); // the same key
    console.log(answer.statusCode, await count(server));
    [server, upstream].forEach(end);
    """
    ).stdout
    assert seen.splitlines() == ["0 0", "201 1"]


def test_work_that_does_not_listen_is_over_before_the_write_and_an_answer_is_no_end():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{node.uri("rest-apis/orders.mjs")}';
    {LEAVING}
    const signals = [];
    let come;
    let price = new Promise((resolve) => {{ come = resolve; }});
    const waiting = new EventTarget();
    const priceOf = async (skus, {{ signal }}) => {{
      signals.push(signal);
      waiting.dispatchEvent(new Event('asked'));
      await price;
      return new Map([['tea', 799]]);
    }};
    const server = await listen(createApp({{ authenticate, logger, priceOf }}));
    const asked = once(waiting, 'asked');
    const first = order(server);
    await asked;
    first.destroy();
    await once(signals[0], 'abort');
    come();
    console.log(signals[0].reason.status, await count(server), logged.length);
    const [answer] = await once(order(server), 'response');
    await once(answer.resume(), 'end');
    console.log(answer.statusCode, await count(server), signals[1].aborted);
    end(server);
    await once(server, 'close');
    console.log(signals[1].aborted, logged.length);
    """
    ).stdout
    assert seen.splitlines() == ["499 0 0", "201 1 false", "false 0"]


def test_prices_that_never_come_and_do_not_listen_are_a_504_and_no_order():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{node.uri("rest-apis/orders.mjs")}';
    {LEAVING}
    const priceOf = () => new Promise(() => {{}});
    const deps = {{ authenticate, logger, priceOf, requestMs: 100 }};
    const server = await listen(createApp(deps));
    const [answer] = await once(order(server), 'response');
    answer.resume();
    console.log(answer.statusCode, await count(server), logged.length);
    end(server);
    """
    ).stdout
    assert seen.splitlines() == ["504 0 1"]
