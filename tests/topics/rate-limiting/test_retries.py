"""Being refused: who comes back when, and with what."""

from lab.run import node

# --- being refused ------------------------------------------------------------------


RETRY = """
import { fetchPatiently } from './rate-limiting/retry.mjs';
const url = 'http://shop.test/';
const events = []; // what was sent and waited, in its order
function answers(...list) { // a status, or a status and its Retry-After
  events.length = 0;
  globalThis.fetch = async (...args) => {
    events.push('sent');
    const [status, told] = [list[0]].flat();
    if (list.length > 1) list.shift();
    const headers = told === undefined ? {} : { 'Retry-After': told };
    return new Response('the answer', { status, headers });
  };
}
async function sleep(ms) {
  await new Promise(setImmediate); // whoever does not wait for it is seen
  events.push(Math.round(ms));
}
const options = { random: () => 0.5, sleep };
async function ask(more, target = url) {
  const answer = await fetchPatiently(target, { ...options, ...more });
  console.log(answer.status, await answer.text(), events.join());
}
"""


def retried(text: str) -> list[str]:
    return node.evaluate(RETRY + text).stdout.splitlines()


def test_a_client_waits_as_long_as_it_is_told_and_a_random_time_more():
    seen = retried(
        """
    answers([429, '30'], 503, 503, 200);
    await ask();
    answers([429, '0']);
    await ask({ tries: 2 });
    answers(503);
    await ask({ tries: '2' }); // from an environment
    await ask({ tries: NaN });
    answers(503);
    await ask({ tries: 9 });
    """
    )
    assert seen == [
        # 30 s and half of 2; nothing was said: 2 s and half of 4, 4 s and half of 8
        "200 the answer sent,31000,sent,4000,sent,8000,sent",
        "429 the answer sent,1000,sent",
        "503 the answer sent,2000,sent",
        "503 the answer sent,2000,sent,sent",
        "503 the answer sent,2000,sent,4000,sent,8000,sent,16000"
        + ",sent,30000" * 4
        + ",sent",
    ]


def test_retry_after_may_be_a_date_and_what_is_neither_is_as_if_nothing_was_said():
    seen = retried(
        """
    const start = Date.UTC(2026, 0, 1);
    Date.now = () => start;
    for (const told of [
      new Date(start + 20_000).toUTCString(),
      new Date(start - 20_000).toUTCString(), // a clock that is late
      '', '-5', '1e9', 'soon', '2 January 2026',
    ]) {
      answers([503, told], 200);
      await ask();
    }
    """
    )
    waited = [int(line.split(",")[1]) for line in seen]
    assert waited == [21000, 1000] + [2000] * 5


def test_a_wait_that_is_too_long_is_given_back_and_not_cut_short():
    seen = retried(
        """
    answers([429, '60'], 200);
    await ask();
    for (const told of ['61', '1000000000', '9'.repeat(400)]) {
      answers([429, told], 200);
      await ask();
    }
    answers([429, '61'], 200);
    await ask({ most: 61 });
    """
    )
    assert seen == [
        "200 the answer sent,61000,sent",
        *["429 the answer sent"] * 3,
        "200 the answer sent,62000,sent",
    ]


def test_only_what_may_be_said_twice_is_repeated():
    seen = retried(
        """
    const once = { method: 'POST', headers: { 'idempotency-key': 'one' }, body: '{}' };
    const stream = () => new Blob(['x']).stream();
    async function* parts() { yield 'x'; }
    for (const [target, request] of [
      [url, {}], [url, { method: 'HEAD' }], [url, { method: 'put', body: '{}' }],
      [url, { method: 'DELETE' }], [url, once], [new Request(url), {}],
      [new Request(url, { ...once, body: null }), {}],
      [url, { method: 'POST', body: '{}' }], [url, { method: 'PATCH', body: '{}' }],
      [url, { method: 'PUT', body: stream() }], [url, { method: 'PUT', body: parts() }],
      [url, { ...once, body: stream() }], [new Request(url, { method: 'POST' }), {}],
      [new Request(url, { method: 'PUT', body: '{}' }), {}],
    ]) {
      answers([503, '1'], 200);
      await ask(request, target);
    }
    """
    )
    assert seen == [
        *["200 the answer sent,2000,sent"] * 7,
        *["503 the answer sent"] * 7,  # the refusal, whole, and no error
    ]


def test_a_broken_body_is_no_reason_to_give_up_and_an_abort_is():
    seen = retried(
        """
    const { setTimeout: wait } = await import('node:timers/promises');
    function cancel() { // or the connection would stay in use
      events.push('cancelled');
      throw new Error('it broke');
    }
    answers(200);
    const next = globalThis.fetch;
    let first = new Response(new ReadableStream({ cancel }), { status: 503 });
    globalThis.fetch = async () => {
      const answer = first ?? (await next());
      first = null;
      return answer;
    };
    await ask();
    answers([503, '30']);
    const stop = new AbortController();
    const patient = (...args) => {
      stop.abort(new Error('enough'));
      return wait(...args); // half a minute
    };
    const { signal } = stop;
    const answer = fetchPatiently(url, { ...options, signal, sleep: patient });
    console.log(await answer.catch((error) => error.cause.message), events.join());
    """
    )
    assert seen == ["200 the answer cancelled,2000,sent", "enough sent"]
