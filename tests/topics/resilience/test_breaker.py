"""Circuit breakers: what opens them, what does not, and how they close again."""

import pytest

from lab.run import node

from .shared import DEPENDENCY, told


def breaker(kind: str) -> str:
    suffix = {"naive": ".naive", "hardened": ""}[kind]
    return (
        f"import {{ createBreaker }} from './resilience/breaker{suffix}.mjs';"
        + DEPENDENCY
    )


@pytest.mark.claim("resilience/timeout-around-the-breaker", verdict="wrong")
@pytest.mark.parametrize(("kind", "reached"), [("naive", 30), ("hardened", 10)])
def test_a_dependency_that_hangs_opens_only_the_breaker_around_the_timeout(kind, reached):
    source = (
        breaker(kind)
        + """
    const hangs = await played(() => {});
    const { run, state } = createBreaker({ timeoutMs: 20, calls: 10 });
    let reached = 0; // on a busy machine not all of them come to be sent in time
    const call = (scope) => { reached += 1; return fetch(hangs.url, scope); };
    for (let i = 0; i < 30; i += 1) await outcome(run(call));
    say({ reached, state: state() });
    hangs.close();
    process.exit();
    """
    )
    state = "open" if kind == "hardened" else "closed"
    assert told(source) == {"reached": reached, "state": state}


def test_it_opens_probes_once_and_closes_on_a_success():
    source = (
        breaker("hardened")
        + """
    let time = 0;
    let asked = 0;
    const turns = [];
    const { run, state } = createBreaker({ calls: 4, share: 0.5, openMs: 100,
      now: () => time, changed: (next) => turns.push(next) });
    const good = () => run(async () => { asked += 1; return 'ok'; });
    const bad = () => run(async () => { asked += 1; throw new Error('down'); });
    for (const one of [good, good, bad, bad]) await outcome(one());
    const open = [state(), await outcome(good()), asked];
    time = 100; // and a probe fails
    const probe = [await outcome(bad()), state(), asked];
    time = 200; // ten at once: one is the probe
    const ten = await Promise.all(Array.from({ length: 10 }, () => outcome(good())));
    say({ open, probe, ten: ten.filter((one) => one === 'ok').length, asked,
      closed: state(), turns });
    """
    )
    assert told(source) == {
        "open": ["open", "BreakerOpen", 4],
        "probe": ["Error", "open", 5],
        "ten": 1,
        "asked": 6,
        "closed": "closed",
        "turns": ["open", "half-open", "open", "half-open", "closed"],
    }


@pytest.mark.claim("resilience/every-error-counts", verdict="wrong")
def test_clients_that_hang_up_open_nothing_and_a_deadline_of_the_caller_does():
    """If that left the dependency time, half of the breaker's own timeout."""
    source = (
        breaker("hardened")
        + """
    import { deadline } from './resilience/deadline.mjs';
    const counted = async ({ abort, spent = 600 }) => {
      let clock = 0;
      const { run, state } = createBreaker({ calls: 5, now: () => clock });
      for (let i = 0; i < 5; i += 1) {
        const caller = new AbortController();
        const time = deadline(1, { signal: caller.signal });
        const hangs = () => ((clock += spent), new Promise(() => {}));
        const call = run(hangs, { signal: time.signal });
        if (abort) caller.abort(new Error('the client is gone'));
        await outcome(call);
        time.end();
      }
      return state();
    };
    say({ gone: await counted({ abort: true }), late: await counted({}),
      hasty: await counted({ spent: 400 }) });
    """
    )
    assert told(source) == {"gone": "closed", "late": "open", "hasty": "closed"}


@pytest.mark.claim("resilience/every-error-counts", verdict="wrong")
def test_answers_that_blame_the_caller_open_a_breaker_that_counts_them():
    source = (
        DEPENDENCY
        + """
    import { createCall } from './resilience/call.mjs';
    const strict = await played((req, res) => res.writeHead(404).end());
    const counted = async (options) => {
      const { call, state } = createCall({ calls: 5, ...options });
      for (let i = 0; i < 5; i += 1) await outcome(call(strict.url));
      return state();
    };
    const all = ({ threw, answer }) => threw || answer.status >= 400;
    say({ all: await counted({ isFailure: all }), theirs: await counted({}) });
    strict.close();
    """
    )
    assert told(source) == {"all": "open", "theirs": "closed"}


def test_a_probe_whose_client_leaves_gives_its_place_to_the_next():
    source = (
        breaker("hardened")
        + """
    let time = 0;
    const { run, state } = createBreaker({ calls: 1, openMs: 10, now: () => time });
    await outcome(run(async () => { throw new Error('down'); }));
    time = 10;
    const caller = new AbortController();
    const { signal } = caller;
    const probe = outcome(run(() => new Promise(() => {}), { signal }));
    caller.abort();
    await probe;
    say([state(), await outcome(run(async () => 'ok')), state()]);
    """
    )
    assert told(source) == ["half-open", "ok", "closed"]


def test_what_began_before_it_opened_does_not_close_it():
    source = (
        breaker("hardened")
        + """
    let time = 0;
    const { run, state } = createBreaker({ calls: 2, openMs: 10, now: () => time });
    let finish;
    const slow = run(() => new Promise((resolve) => { finish = resolve; }));
    for (let i = 0; i < 2; i += 1)
      await outcome(run(async () => { throw new Error('down'); }));
    finish('ok');
    await slow;
    say(state());
    """
    )
    assert told(source) == "open"


def test_what_judges_and_what_looks_on_may_fail():
    source = (
        breaker("hardened")
        + """
    const boom = async () => { throw new Error('boom'); };
    const { run, state } = createBreaker({ calls: 2, isFailure: boom, changed: boom });
    const said = [await outcome(run(async () => 'a')), await outcome(run(async () => 'b'))];
    await new Promise(setImmediate);
    say([...said, state()]);
    """
    )
    assert told(source) == ["a", "b", "open"]


def test_the_naive_breaker_does_count_what_comes_back():
    source = (
        breaker("naive")
        + """
    const { run, state } = createBreaker({ failures: 2 });
    const bad = () => run(async () => { throw new Error('down'); });
    const said = [await outcome(bad()), await outcome(run(async () => 'ok'))];
    await outcome(bad());
    said.push(state());
    await outcome(bad());
    say([...said, state(), (await run(async () => 'ok').catch((error) => error.message))]);
    process.exit();
    """
    )
    assert told(source) == ["Error", "ok", "closed", "open", "open"]


def test_what_reaches_a_dependency_during_an_outage_by_policy():
    lines = node.lines("resilience/outage.mjs")
    seen = {name: int(count) for name, count in (line.split(": ") for line in lines)}
    assert seen["no retry"] == 600
    assert seen["three tries"] == 1800
    assert 660 <= seen["three tries, budget"] <= 672
    assert seen["breaker"] < 20 and seen["breaker and budget"] < 20
