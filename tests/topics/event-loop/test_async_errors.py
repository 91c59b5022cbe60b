"""What goes wrong between two awaits: races, lost errors, bounded work."""

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


@pytest.mark.claim("event-loop/promise-all-limits")
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


@pytest.mark.claim("event-loop/write-waits")
def test_a_writer_that_ignores_false_fills_memory_and_pipeline_does_not():
    naive = node.lines("event-loop/backpressure.naive.mjs")
    assert naive[-1] == "waiting in memory: 64000 KiB"
    assert (
        node.lines("event-loop/backpressure.mjs")[-1] == "most that ever waited: 64 KiB"
    )


@pytest.mark.claim("event-loop/unhandled-rejection-warns")
def test_an_unhandled_rejection_ends_the_process():
    source = "setInterval(() => {}, 9); Promise.reject(new Error('lost'));"
    done = node.evaluate(source, code=1)
    assert "Error: lost" in done.stderr


LOST = "Promise.reject(new Error('lost')); setTimeout(() => console.log('alive'), 9);"


@pytest.mark.claim("event-loop/unhandled-rejection-warns")
@pytest.mark.parametrize("event", ["unhandledRejection", "uncaughtException"])
def test_a_listener_of_either_event_keeps_the_process(event):
    done = node.evaluate(f"process.on('{event}', () => {{}}); {LOST}")
    assert done.stdout == "alive\n"


@pytest.mark.claim("event-loop/unhandled-rejection-warns")
@pytest.mark.parametrize(
    ("mode", "code"), [("warn", 0), ("none", 0), ("strict", 1), ("throw", 1)]
)
def test_two_modes_of_unhandled_rejections_keep_the_process(tmp_path, mode, code):
    program = tmp_path / "lost.mjs"
    program.write_text(LOST)
    done = node.run(program, flags=(f"--unhandled-rejections={mode}",), code=code)
    assert ("alive" in done.stdout) == (code == 0)


@pytest.mark.parametrize("how", ["one after the other", "together"])
def test_two_promises_that_are_not_awaited_together_can_end_the_process(how):
    source = """
    import { setTimeout as sleep } from 'node:timers/promises';
    const slow = () => sleep(50);
    const fails = async () => { await null; throw new Error('lost'); };
    try {
      const [one, other] = [slow(), fails()];
      %s
    } catch (error) {
      console.log('caught', error.message);
    }
    """
    if how == "together":
        done = node.evaluate(source % "await Promise.all([one, other]);")
        assert done.stdout == "caught lost\n"
    else:
        done = node.evaluate(source % "await one; await other;", code=1)
        assert done.stdout == "" and "Error: lost" in done.stderr


def test_after_an_uncaught_exception_the_handler_decides_and_the_request_is_lost():
    swallow = """
    import { createServer, get } from 'node:http';
    let said = 'no answer';
    process.on('uncaughtException', (error) => {
      console.log('caught', error.message);
      setTimeout(() => {
        console.log(said);
        request.destroy();
        server.close();
      }, 300);
    });
    let request;
    const server = createServer((req, res) => {
      setImmediate(() => { throw new Error('late'); });
    }).listen(0, '127.0.0.1', () => {
      request = get(server.address(), () => { said = 'answer'; }).on('error', () => {});
    });
    """
    assert node.evaluate(swallow).stdout == "caught late\nno answer\n"


def test_a_request_keeps_its_context_across_awaits():
    lines = node.lines("event-loop/context.mjs")
    assert lines[2:] == [
        "[request 2] done", "[request 1] done", "[no request] outside",
    ]  # fmt: skip


def test_a_buffer_is_copied_moved_or_shared():
    assert node.lines("event-loop/transfer.mjs") == [
        "copied: the sender still has 1024 bytes",
        "transferred: the sender has 0 bytes",
        "shared: the sender sees 7",
    ]


def test_the_pool_size_is_read_once_when_the_pool_is_first_used():
    late = """
    import { stat } from 'node:fs/promises';
    import { stick } from './event-loop/stuck-pool.mjs';
    process.env.UV_THREADPOOL_SIZE = '8';
    if (process.argv.length > 9) await stat('.');
    await stat('.');
    process.env.UV_THREADPOOL_SIZE = '16';
    const release = stick(8);
    let done = false;
    const statted = stat('.').then(() => (done = true));
    for (let turn = 0; turn < 5000; turn += 1) await new Promise(setImmediate);
    console.log(done);
    await release();
    await statted;
    """
    # 8 was set before the pool's first use and counts; 16 came too late
    assert node.evaluate(late).stdout == "false\n"
