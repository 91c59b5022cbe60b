"""What goes wrong between two awaits: races, unbounded work, memory, lost context."""

import json

import pytest

from lab.run import node

# --- what goes wrong between two awaits --------------------------------------------


def test_check_then_act_across_an_await_sells_one_item_three_times():
    assert node.lines("event-loop/oversell.naive.mjs")[-1] == "stock: -2"
    assert node.lines("event-loop/oversell.mjs") == [
        "[ 'ann: sold', 'bob: sold out', 'cy: sold out' ]",
        "dan: card refused",
        "stock: 1",  # what was reserved for dan is back
    ]


@pytest.mark.claim(
    "event-loop/promise-all-limits",
    verdict="wrong",
    counter=(
        "here",
        "mapBounded(items, 10, query)",
        "mapBounded(items, 20, query)",
    ),
)
def test_promise_all_has_everything_in_flight_at_once_and_map_bounded_only_its_limit():
    peaks = """
    import { setTimeout as sleep } from 'node:timers/promises';
    import { mapBounded } from './event-loop/bounded.mjs';
    let inFlight = 0;
    let peak = 0;
    async function query(n) {
      inFlight += 1;
      peak = Math.max(peak, inFlight);
      await sleep(1);
      inFlight -= 1;
      return n * 2;
    }
    const items = Array.from({ length: 1000 }, (_, i) => i);
    await Promise.all(items.map(query));
    console.log(peak);
    peak = 0;
    const results = await mapBounded(items, 10, query);
    console.log(peak, results.every((value, i) => value === 2 * i));
    """
    assert node.evaluate(peaks).stdout == "1000\n10 true\n"


STOPS = """
import { setImmediate as turn } from 'node:timers/promises';
import { mapBounded } from './event-loop/bounded.mjs';
const items = Array.from({ length: 100 }, (_, i) => i);
for (const obeys of [true, false]) {
  for (const how of ['failure', 'signal', 'signal before']) {
    const stop = new AbortController();
    if (how === 'signal before') stop.abort(new Error('no luck'));
    let started = 0;
    let running = 0;
    async function task(n, signal) {
      started += 1;
      running += 1;
      try {
        await turn(null, obeys ? { signal } : {});
        if (n === 5 && how === 'failure') throw new Error('no luck');
        if (n === 5) stop.abort(new Error('no luck'));
      } finally {
        running -= 1;
      }
    }
    let said;
    try {
      await mapBounded(items, 2, task, { signal: stop.signal });
    } catch (error) {
      said = error.cause?.message ?? error.message;
    }
    console.log(JSON.stringify([said, started, running]));
  }
}
"""


def test_a_failure_or_a_signal_stops_the_rest_also_of_tasks_that_do_not_listen():
    lines = [json.loads(line) for line in node.evaluate(STOPS).stdout.splitlines()]
    assert [said for said, _, _ in lines] == ["no luck"] * 6
    # those of 0 to 5, and one beside the last; nothing goes on behind the caller's back
    assert [started in (6, 7) for _, started, _ in lines] == [True, True, False] * 2
    assert [started for _, started, _ in lines][2::3] == [0, 0]
    assert [running for _, _, running in lines] == [0] * 6


@pytest.mark.parametrize(
    "arguments",
    ["[1], NaN", "[1], 0", "[1], '2'", "[1], undefined", "new Set([1]), 2", "'ab', 2"],
)
def test_a_bounded_map_of_nothing_or_without_a_limit_is_refused(arguments):
    source = (
        "import { mapBounded } from './event-loop/bounded.mjs';\n"
        f"await mapBounded({arguments}, () => {{}}).catch(({{ name }}) => console.log(name));"
    )
    assert node.evaluate(source).stdout == "TypeError\n"


def test_a_bounded_map_leaves_nothing_on_a_signal_that_lives_longer():
    source = """
    import { getEventListeners } from 'node:events';
    import { mapBounded } from './event-loop/bounded.mjs';
    const { signal } = new AbortController();
    let during;
    const task = () => { during = getEventListeners(signal, 'abort').length; };
    await mapBounded([1], 1, task, { signal });
    await mapBounded([1], 1, () => Promise.reject(), { signal }).catch(() => {});
    console.log(during, getEventListeners(signal, 'abort').length);
    """
    assert node.evaluate(source).stdout == "1 0\n"


@pytest.mark.claim(
    "event-loop/write-waits",
    verdict="wrong",
    counter=(
        "event-loop/backpressure.naive.mjs",
        "event-loop/backpressure.mjs",
    ),
)
def test_a_writer_that_ignores_false_fills_memory_and_pipeline_does_not():
    naive = node.lines("event-loop/backpressure.naive.mjs")
    assert naive[-1] == "waiting in memory: 64000 KiB"
    assert (
        node.lines("event-loop/backpressure.mjs")[-1] == "most that ever waited: 64 KiB"
    )


@pytest.mark.claim(
    "event-loop/context-follows-await",
    verdict="right",
    counter=(
        "event-loop/context.mjs",
        "request.run('request 1', () => handle(60))",
        "handle(60)",
    ),
)
def test_a_request_keeps_its_context_across_awaits():
    lines = node.lines("event-loop/context.mjs")
    assert lines[2:] == [
        "[request 2] done", "[request 1] done", "[no request] outside",
    ]  # fmt: skip
