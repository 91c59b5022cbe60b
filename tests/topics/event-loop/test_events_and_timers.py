"""Emitters, intervals and promises that nobody settles: what runs, and what it ends."""

import json

import pytest

from lab.run import node

# --- emitters -----------------------------------------------------------------------

EMIT = "import { EventEmitter, once } from 'node:events';\n"


@pytest.mark.claim(
    "event-loop/emit-is-synchronous",
    verdict="right",
    counter=(
        "here",
        "emitter.emit('order');",
        "setImmediate(() => emitter.emit('order'));",
    ),
)
def test_listeners_have_run_in_their_order_before_emit_returns():
    source = """
    const emitter = new EventEmitter();
    const said = [];
    emitter.on('order', () => said.push('first'));
    emitter.on('order', () => said.push('second'));
    emitter.prependListener('order', () => said.push('before'));
    emitter.emit('order');
    said.push('emitted');
    console.log(said.join(' '));
    """
    assert node.printed(EMIT + source) == "before first second emitted\n"


@pytest.mark.claim(
    "event-loop/emit-is-synchronous",
    verdict="right",
    counter=(
        "here",
        "() => { throw new Error('broken'); }",
        "() => {}",
    ),
)
def test_a_listener_that_throws_throws_into_the_caller_and_the_next_is_not_called():
    source = """
    const emitter = new EventEmitter();
    emitter.on('order', () => { throw new Error('broken'); });
    emitter.on('order', () => console.log('never'));
    try { emitter.emit('order'); } catch (error) { console.log('caller', error.message); }
    """
    assert node.printed(EMIT + source) == "caller broken\n"


REJECTS = """
const emitter = new EventEmitter(%s);
emitter.on('error', (error) => console.log('error event:', error.message));
emitter.on('order', async () => { throw new Error('broken'); });
console.log('emitted', emitter.emit('order'));
setTimeout(() => console.log('alive'), 20);
"""


@pytest.mark.claim(
    "event-loop/emit-is-synchronous",
    verdict="right",
    counter=(
        "here",
        "{ captureRejections: true }",
        "{}",
    ),
)
def test_an_async_listener_that_rejects_ends_the_process_unless_rejections_are_captured():
    lost = node.evaluate(EMIT + REJECTS % "", code=1)
    assert lost.stdout == "emitted true\n" and "Error: broken" in lost.stderr
    captured = node.printed(EMIT + REJECTS % "{ captureRejections: true }")
    assert captured == "emitted true\nerror event: broken\nalive\n"


def test_an_error_event_without_a_listener_is_thrown():
    source = "new EventEmitter().emit('error', new Error('nobody listens'));"
    assert "Error: nobody listens" in node.evaluate(EMIT + source, code=1).stderr


def test_the_eleventh_listener_of_an_event_is_warned_about():
    source = """
    const emitter = new EventEmitter();
    process.on('warning', ({ name, count }) => console.log(name, count));
    for (let i = 0; i < 11; i += 1) emitter.on('order', () => {});
    """
    assert node.printed(EMIT + source) == "MaxListenersExceededWarning 11\n"


# --- intervals ----------------------------------------------------------------------


@pytest.mark.claim(
    "event-loop/interval-waits-for-async",
    verdict="wrong",
    counter=(
        "event-loop/interval.naive.mjs",
        "running === 5",
        "running === 1",
    ),
)
def test_runs_of_an_interval_overlap_when_its_callback_is_slow():
    assert node.lines("event-loop/interval.naive.mjs") == ["runs at the same time: 5"]


@pytest.mark.claim(
    "event-loop/interval-waits-for-async",
    verdict="wrong",
    counter=(
        "here",
        "async () => { throw new Error('sync failed'); }",
        "() => process.exit()",
    ),
)
def test_a_rejection_in_an_intervals_callback_ends_the_process():
    source = "setInterval(async () => { throw new Error('sync failed'); }, 5);"
    assert "Error: sync failed" in node.evaluate(source, code=1).stderr


def test_ticks_that_a_stalled_loop_missed_are_not_made_up_for():
    source = """
    let ticks = 0;
    const timer = setInterval(() => { ticks += 1; }, 10);
    const end = performance.now() + 200;
    while (performance.now() < end);
    setImmediate(() => setImmediate(() => {
      console.log(ticks);
      clearInterval(timer);
    }));
    """
    assert int(node.printed(source)) <= 2


REPEAT = """
import { repeat } from './event-loop/interval.mjs';
const stop = new AbortController();
const seen = { runs: 0, most: 0, now: 0, failed: [] };
async function task() {
  seen.runs += 1;
  seen.now += 1;
  seen.most = Math.max(seen.most, seen.now);
  await new Promise((resolve) => setTimeout(resolve, 15));
  seen.now -= 1;
  if (seen.runs === 6) stop.abort();
  throw new Error(`run ${seen.runs}`);
}
await repeat(task, 1, { signal: stop.signal, failed(error) {
  seen.failed.push(error.message);
  throw new Error('the log is away');
} });
console.log(JSON.stringify(seen));
"""


@pytest.mark.claim(
    "event-loop/interval-waits-for-async",
    verdict="wrong",
    counter=(
        "event-loop/interval.mjs",
        "await task(signal);",
        "task(signal).catch(tell);",
    ),
)
def test_repeat_runs_one_at_a_time_outlives_failures_and_stops():
    seen = json.loads(node.printed(REPEAT))
    assert seen["most"] == 1 and seen["now"] == 0
    assert seen["failed"] == [f"run {i}" for i in range(1, 7)]


def test_repeat_ends_in_the_middle_of_its_pause():
    source = """
    import { repeat } from './event-loop/interval.mjs';
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 5);
    await repeat(() => {}, 2 ** 31 - 1, { signal: stop.signal });
    console.log('stopped');
    """
    assert node.printed(source) == "stopped\n"


@pytest.mark.parametrize("wait", ["'5'", "-1", "NaN", "2 ** 31", "undefined"])
def test_repeat_refuses_what_is_no_time_to_wait(wait):
    source = f"""
    import {{ repeat }} from './event-loop/interval.mjs';
    const {{ signal }} = new AbortController();
    await repeat(() => console.log('ran'), {wait}, {{ signal }});
    """
    done = node.evaluate(source, code=1)
    assert done.stdout == "" and "TypeError: everyMs: not a whole number" in done.stderr


# --- promises -----------------------------------------------------------------------


@pytest.mark.claim(
    "event-loop/pending-promise-holds-process",
    verdict="wrong",
    counter=(
        "here",
        '"await new Promise(() => {});", 13',
        '"await null;", 13',
    ),
)
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("await new Promise(() => {});", 13),
        ("(async () => { await new Promise(() => {}); })();", 0),
        ("setTimeout(() => {}, 1e9).unref();", 0),
    ],
)
def test_a_process_ends_although_a_promise_is_pending(source, code):
    done = node.evaluate(source, code=code)
    assert ("unsettled top-level await" in done.stderr) == (code == 13)


@pytest.mark.claim("event-loop/pending-promise-holds-process", verdict="wrong")
def test_what_holds_a_process_are_its_handles():
    source = """
    import { createServer } from 'node:net';
    const server = createServer().listen(0, '127.0.0.1', () => {
      console.log(process.getActiveResourcesInfo().includes('TCPServerWrap'));
      server.unref();
    });
    """
    assert node.printed(source) == "true\n"  # and it ended


@pytest.mark.claim(
    "event-loop/both-awaits-in-one-try",
    verdict="wrong",
    counter=(
        "here",
        "catch(() => stop.abort())",
        "catch(() => {})",
    ),
)
def test_promise_all_does_not_stop_the_other_and_a_signal_does():
    source = """
    import { setTimeout as sleep } from 'node:timers/promises';
    const run = async (signal) => {
      const stop = new AbortController();
      let other = 'running';
      const slow = sleep(30, undefined, { signal: signal ? stop.signal : undefined })
        .then(() => { other = 'finished'; }, (e) => { other = e.name; throw e; });
      slow.catch(() => {});
      const fails = Promise.reject(new Error('lost'));
      await Promise.all([slow, fails]).catch(() => stop.abort());
      await sleep(60);
      return other;
    };
    console.log(await run(false), await run(true));
    """
    assert node.printed(source) == "finished AbortError\n"


AWAITS = """
let turns = 0;
setImmediate(function count() { turns += 1; if (!done) setImmediate(count); });
let done = false;
for (let i = 0; i < 1000; i += 1) %s;
done = true;
console.log(turns > 500);
"""


@pytest.mark.claim(
    "event-loop/await-lets-others-in",
    verdict="wrong",
    counter=(
        "here",
        '("await new Promise(setImmediate)", "true")',
        '("await null", "true")',
    ),
)
@pytest.mark.parametrize(
    ("work", "lets_in"),
    [
        ("await null", "false"),
        ("await (async () => i)()", "false"),
        ("await new Promise(process.nextTick)", "false"),
        ("await new Promise(setImmediate)", "true"),
        ("await scheduler.yield()", "true"),
    ],
)
def test_an_await_of_what_is_settled_gives_the_loop_no_turn(work, lets_in):
    start = "import { scheduler } from 'node:timers/promises';\n"
    assert node.printed(start + AWAITS % work) == f"{lets_in}\n"
