"""Ends in time: what a timeout stops, what it only stops waiting for, and who is told."""

import pytest

from lab.run import node, process

from .shared import DEPENDENCY, asked, told

CHARGED = (
    DEPENDENCY
    + """
const bank = await played((req, res) => {
  req.resume();
  bank.charges ??= new Map();
  req.on('end', () => {
    const key = req.headers['idempotency-key'] ?? bank.charges.size;
    bank.charges.set(key, (bank.charges.get(key) ?? 0) + 1);
  }); // it charges, and never says so
});
"""
)


@pytest.mark.claim("resilience/race-is-a-timeout", verdict="wrong")
def test_three_tries_that_lose_a_race_charge_three_times_and_a_key_once():
    source = (
        CHARGED
        + """
    const late = (ms) => new Promise((_, no) => setTimeout(no, ms, new Error('late')));
    async function pay(send) {
      for (let i = 0; i < 3; i += 1) await send().catch(() => {});
      const found = bank.charges.size;
      bank.charges.clear();
      return found;
    }
    const post = (options) => fetch(bank.url, { method: 'POST', ...options });
    const raced = await pay(() => Promise.race([post(), late(100)]));
    const headers = { 'Idempotency-Key': 'one' };
    const keyed = await pay(() => post({ headers, signal: AbortSignal.timeout(100) }));
    say({ raced, keyed, requests: bank.seen.length });
    bank.close();
    """
    )
    assert told(source) == {"raced": 3, "keyed": 1, "requests": 6}


@pytest.mark.claim("resilience/race-is-a-timeout", verdict="wrong")
def test_what_loses_a_race_keeps_its_connection_and_what_is_aborted_gives_it_back():
    source = (
        DEPENDENCY
        + """
    let open = 0;
    const caller = new AbortController();
    let lose;
    const slow = await played((req, res, nth) => {
      open += 1;
      req.socket.once('close', () => { open -= 1; });
      if (nth === 1) lose(new Error('late'));
      else caller.abort();
    });
    const late = new Promise((_, no) => { lose = no; });
    await outcome(Promise.race([fetch(slow.url).catch(() => {}), late]));
    const raced = open;
    await outcome(fetch(slow.url, caller));
    while (open > 1) await new Promise(setImmediate);
    say({ raced, aborted: open - raced });
    slow.close();
    """
    )
    assert told(source) == {"raced": 1, "aborted": 0}


@pytest.mark.claim("resilience/abort-stops-the-other-side", verdict="wrong")
@pytest.mark.parametrize(("looks", "done"), [("false", 3), ("true", 1)])
def test_the_other_side_works_on_after_an_abort_unless_it_looks(looks, done):
    source = (
        DEPENDENCY
        + """
    let steps = 0;
    let end;
    const finished = new Promise((resolve) => { end = resolve; });
    const caller = new AbortController();
    const other = await played(async (req, res) => {
      steps += 1;
      caller.abort(); // the caller gives up while the first step is at work
      await new Promise((resolve) => res.once('close', resolve));
      for (let i = 0; i < 2; i += 1) {
        if (LOOKS && res.destroyed) break;
        steps += 1;
      }
      end();
    });
    await outcome(fetch(other.url, { signal: caller.signal }));
    await finished;
    say(steps);
    other.close();
    """.replace("LOOKS", looks)
    )
    assert told(source) == done


@pytest.mark.claim("resilience/timeout-signal-lets-go", verdict="right")
def test_a_timeout_signal_does_not_hold_the_process_and_a_timer_does():
    signal_only = "AbortSignal.timeout(60_000).onabort = () => {}; console.log('end');"
    assert node.evaluate(signal_only, timeout=20).stdout == "end\n"
    held = "setTimeout(() => console.log('fired'), 300); console.log('end');"
    assert node.evaluate(held).stdout == "end\nfired\n"


def test_a_deadline_ends_the_wait_also_of_a_task_that_does_not_look():
    source = """
    import { deadline } from './resilience/deadline.mjs';
    const time = deadline(30);
    const stuck = await time.run(() => new Promise(() => {})).catch((error) => error);
    const after = await time.run(() => 1).catch((error) => error.name);
    const outer = new AbortController();
    const inner = deadline(60_000, { signal: outer.signal });
    const child = inner.within(50_000);
    outer.abort(new Error('gone'));
    const { reason } = child.signal;
    child.end();
    const text = (() => {
      try { return deadline('5'); } catch (error) { return error.name; }
    })();
    console.log(JSON.stringify([stuck.name, stuck.status, after, reason.message, text]));
    """  # and it ends by itself: no timer is left
    assert told(source) == ["DeadlineError", 504, "DeadlineError", "gone", "TypeError"]


def test_a_late_rejection_of_what_was_given_up_ends_nobody():
    source = """
    import { deadline } from './resilience/deadline.mjs';
    const time = deadline(10);
    let fail;
    const task = () => new Promise((_, reject) => { fail = reject; });
    await time.run(task).catch(() => {});
    fail(new Error('late'));
    await new Promise(setImmediate);
    console.log('alive');
    """
    assert node.printed(source) == "alive\n"


def test_a_long_lived_signal_collects_no_listeners_of_deadlines_that_ended():
    source = """
    import { getEventListeners } from 'node:events';
    import { deadline } from './resilience/deadline.mjs';
    const { signal } = new AbortController();
    for (let i = 0; i < 100; i += 1) {
      const time = deadline(60_000, { signal });
      await time.run(async () => i);
      time.end();
    }
    console.log(getEventListeners(signal, 'abort').length);
    """
    assert told(source) == 0


SERVED = """
import express from 'express';
import { deadlineHeader, requestDeadline } from '@/resilience/deadline.mjs';
import { errorHandler } from '@/resilience/errors.mjs';
export function createApp() {
  const app = express();
  app.use(requestDeadline({ ms: 5000 }));
  app.get('/left', ({ deadline }, res) => res.json({
    left: deadline.left(), next: deadlineHeader(deadline) }));
  app.get('/hangs', async ({ deadline }) => {
    deadline.signal.onabort = () => console.log(`stopped: ${deadline.signal.reason.name}`);
    console.log('begun');
    await deadline.run(() => new Promise(() => {}));
  });
  app.use(errorHandler({ logger: console }));
  return app;
}
"""


@pytest.mark.parametrize(
    ("asked", "most"),
    [("100", 100), ("999999", 5000), ("-1", 5000), ("1e9", 5000), ("x", 5000)],
)
def test_a_caller_may_ask_for_less_time_and_never_for_more(app, asked, most):
    with app(SERVED) as server, server.client() as client:
        seen = client.get("/left", headers={"X-Request-Timeout-Ms": asked}).json()
        assert 0 < seen["left"] <= most
        assert int(seen["next"]["X-Request-Timeout-Ms"]) <= most
        assert seen["left"] > most - 1000 or most == 100


def test_what_hangs_is_a_504_in_time_and_who_hangs_up_stops_it(app):
    with app(SERVED) as server, server.client() as client:
        hurried = {"X-Request-Timeout-Ms": "50"}
        assert client.get("/hangs", headers=hurried).status_code == 504
        assert "stopped: DeadlineError" in server.output()
        with asked(server, "/hangs"):
            process.until(lambda: server.output().count("begun") == 2)
        process.until(lambda: "stopped: ClientGone" in server.output())
