"""What may be done twice or not at all: lost connections, keys, jobs, events."""

import pytest

from lab.run import node

# between us and PostgreSQL: what it answers after `cut.at` was sent never arrives
CUT = """
import net from 'node:net';
const cut = { at: '', count: 0 };
const to = new URL(url);
const { port, hostname } = to;
const proxy = net.createServer((socket) => {
  let silent = false;
  const server = net.connect(port, hostname);
  socket.on('data', (data) => {
    if (cut.at && data.includes(cut.at)) { silent = true; cut.count += 1; cut.at = ''; }
    server.write(data);
  });
  server.on('data', (data) => (silent ? socket.destroy() : socket.write(data)));
  server.on('close', () => socket.destroy()).on('error', () => {});
  socket.on('close', () => server.destroy()).on('error', () => {});
});
await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
to.port = proxy.address().port;
const through = createPool({ url: to.href, logger: quiet });
const place = ({ query }) => query(`INSERT INTO orders (id, customer, items, total)
  VALUES (gen_random_uuid(), 'ann', '[]', 9)`).then(() => 'placed');
const placed = () => value('SELECT count(*)::int FROM orders');
const ends = async () => { await through.end(); proxy.close(); };
"""


@pytest.mark.claim("databases/retry-a-lost-connection", verdict="depends")
def test_a_backend_that_is_killed_before_commit_has_done_nothing_and_is_tried_again(
    database,
):
    seen = database.told("""
    let tries = 0;
    const work = async ({ query }) => {
      tries += 1;
      await query("INSERT INTO accounts VALUES ('ann', 100)");
      if (tries > 1) return 'done';
      const [{ pid }] = (await query('SELECT pg_backend_pid() AS pid')).rows;
      await rows('SELECT pg_terminate_backend($1)', [pid]);
      await until('SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1', [pid]);
      await query("INSERT INTO accounts VALUES ('bob', 100)");
    };
    const said = await outcome(transaction(db, work));
    say([said, tries, await value('SELECT count(*)::int FROM accounts'), db.now().open]);
    """)
    assert seen == ["done", 2, 1, 1]


@pytest.mark.claim("databases/retry-a-lost-connection", verdict="depends")
def test_lost_at_commit_it_was_done_and_only_a_key_makes_it_once(database):
    seen = database.told(
        CUT
        + """
    import { createOnce } from './databases/once.mjs';
    const said = {};
    cut.at = 'COMMIT';
    const unknown = await transaction(through, place).catch((error) => error);
    said.unknown = [unknown.name, unknown.status];
    await until('SELECT count(*) = 1 FROM orders');
    await transaction(through, place); // "it failed, so once more"
    said.without = await placed();
    await rows('DELETE FROM orders');
    const once = createOnce({ db: through });
    const asked = { customer: 'ann', key: 'k1', body: { items: [] } };
    cut.at = 'COMMIT';
    const first = await once(asked, place).catch((error) => error.name);
    const second = await once(asked, place);
    said.with = [first, second, await placed(), cut.count];
    await ends();
    say(said);
    """
    )
    assert seen == {
        "unknown": ["OutcomeUnknown", 503],
        "without": 2,
        "with": ["OutcomeUnknown", "placed", 1, 2],
    }


@pytest.mark.claim("databases/key-in-the-same-transaction", verdict="right")
def test_ten_at_once_with_one_key_place_one_order_and_get_one_answer(database):
    seen = database.told(
        """
    import { createOnce } from './databases/once.mjs';
    const once = createOnce({ db });
    const place = async ({ query }) => {
      await query(`INSERT INTO orders (id, customer, items, total)
        VALUES (gen_random_uuid(), 'ann', '[]', 9)`);
      return { z: 1, a: 2 };
    };
    const asked = { customer: 'ann', key: 'k1', body: { items: [1] } };
    const answers = await Promise.all(times(10, () => once(asked, place)));
    const said = { texts: [...new Set(answers.map((one) => JSON.stringify(one)))] };
    said.placed = await value('SELECT count(*)::int FROM orders');
    said.other = await outcome(once({ ...asked, body: {} }, place));
    // bob has the same key by chance, and gets his own answer again
    const bob = { ...asked, customer: 'bob' };
    said.bob = (await once(bob, async () => ({ z: 'his' }))).z;
    said.again = [(await once(bob, place)).z, (await once(asked, place)).z];
    said.keys = [];
    for (const key of [undefined, '', 'a b', ['k'], 'x'.repeat(101)])
      said.keys.push(await outcome(once({ ...asked, key }, place)));
    // what fails leaves no key behind
    const boom = async () => { throw new Error('boom'); };
    said.fails = await outcome(once({ ...asked, key: 'k2' }, boom));
    said.then = (await once({ ...asked, key: 'k2' }, place)).a;
    say(said);
    """
    )
    # json keeps the order of the keys, jsonb would have sorted them
    assert seen.pop("texts") == ['{"z":1,"a":2}']
    assert seen == {
        "placed": 1, "other": 422, "bob": "his", "again": ["his", 1], "keys": [400] * 5, "fails": "boom", "then": 2,
    }  # fmt: skip


KILLED = """
import {{ createOnce }} from './databases/once.mjs';
const insert = ({{ query }}) => query(`INSERT INTO orders (id, customer, items, total)
  VALUES (gen_random_uuid(), 'ann', '[]', 9)`).then(() => 'placed');
const dies = () => process.kill(process.pid, 'SIGKILL');
const keep = "INSERT INTO answers VALUES ('ann', 'k1', '', '\\"placed\\"')";
const known = async () => (await rows('SELECT FROM answers')).length > 0;
const ways = {{
  // the key first, in a transaction of its own
  async before(die) {{
    if (await known()) return;
    await rows(keep);
    die();
    await insert(db);
  }},
  async after(die) {{
    if (await known()) return;
    await insert(db);
    die();
    await rows(keep);
  }},
  async same(die) {{
    const asked = {{ customer: 'ann', key: 'k1', body: {{}} }};
    await createOnce({{ db }})(asked, async (tx) => {{
      await insert(tx);
      die();
      return 'placed';
    }});
  }},
}};
await ways.{way}({die});
say(await value('SELECT count(*)::int FROM orders'));
"""


@pytest.mark.claim("databases/key-in-the-same-transaction", verdict="right")
@pytest.mark.parametrize(("way", "orders"), [("before", 0), ("after", 2), ("same", 1)])
def test_a_process_killed_between_key_and_order_loses_doubles_or_neither(
    way, orders, database
):
    dead = node.evaluate(database.script(KILLED.format(way=way, die="dies")), code=None)
    assert dead.signal == 9
    assert database.told(KILLED.format(way=way, die="() => {}")) == orders


QUEUE = """
import { createQueue } from './databases/queue.mjs';
const stop = new AbortController();
const done = [];
const handle = async (job) => { done.push(job.n); await sleep(1); };
const worker = (deps) => createQueue({ db, handle, logger: quiet, pauseMs: 10, ...deps });
const queue = worker();
const left = () => value('SELECT count(*)::int FROM jobs');
"""


@pytest.mark.claim("databases/skip-locked-queue", verdict="right")
def test_five_workers_do_sixty_jobs_once_each(database):
    seen = database.told(
        QUEUE
        + """
    for (let n = 0; n < 60; n += 1) await queue.put(db, { n });
    const all = times(5, () => worker().run({ signal: stop.signal }));
    await until('SELECT count(*) = 0 FROM jobs');
    stop.abort();
    await Promise.all(all);
    say([done.length, new Set(done).size]);
    """
    )
    assert seen == [60, 60]


@pytest.mark.claim("databases/skip-locked-queue", verdict="right")
def test_the_job_of_a_worker_that_dies_is_done_by_the_next_and_nobody_waits_for_it(
    database,
):
    dies = """
    import { createQueue } from './databases/queue.mjs';
    const handle = () => process.kill(process.pid, 'SIGKILL');
    const queue = createQueue({ db, handle });
    await queue.put(db, { n: 1 });
    await queue.one();
    """
    assert node.evaluate(database.script(dies), code=None).signal == 9
    seen = database.told(
        QUEUE
        + """
    await until(`SELECT count(*) = 0 ${ours} AND state <> 'idle'`);
    const said = [await left(), await queue.one(), [...done], await left()];
    // one is being done: the other worker takes the next, and does not wait
    const held = gate();
    const slow = worker({ handle: (job) => { done.push(`slow ${job.n}`); return held.opened; } });
    await queue.put(db, { n: 2 });
    await queue.put(db, { n: 3 });
    const busy = slow.one();
    while (done.length < 2) await sleep(5);
    said.push(await queue.one(), await queue.one(), [...done]);
    held.open();
    await busy;
    say([...said, await left()]);
    """
    )
    assert seen == [1, True, [1], 0, True, False, [1, "slow 2", 3], 0]


def test_a_job_that_fails_or_hangs_comes_later_and_not_for_ever(database):
    seen = database.told(
        QUEUE
        + """
    const handlers = [
      () => { throw new Error('at once'); },
      async () => { throw undefined; },
      () => new Promise(() => {}),
      handle,
    ];
    let n = 0;
    const ill = worker({ handle: (job) => handlers[n++](job), mostMs: 50, againMs: 1, tries: 4 });
    await ill.put(db, { n: 1 });
    const said = [];
    for (let turn = 0; turn < 4; turn += 1) {
      await until('SELECT bool_and(run_at <= now()) FROM jobs');
      said.push(await ill.one());
    }
    said.push(await left(), [...done]);
    // the last try is the last
    const bad = worker({ handle: handlers[0], againMs: 1, tries: 1 });
    await bad.put(db, { n: 2 });
    said.push(await bad.one(), await bad.one(), await left());
    // whoever leaves in the middle has done nothing
    await rows('DELETE FROM jobs');
    const leaving = worker({ handle: () => { stop.abort(); return new Promise(() => {}); } });
    await leaving.put(db, { n: 3 });
    await leaving.run({ signal: stop.signal });
    await until(`SELECT count(*) = 0 ${ours} AND state <> 'idle'`);
    said.push(await value('SELECT tries FROM jobs'));
    // a database that fails is asked again, and is in the log
    await rows('ALTER TABLE jobs RENAME TO elsewhere');
    const end = new AbortController();
    const logged = [];
    const logger = { error: ({ message }) => { if (logged.push(message) === 3) end.abort(); } };
    await worker({ logger }).run({ signal: end.signal });
    say([...said, new Set(logged).size, logged[0]]);
    """
    )
    missing = 'relation "jobs" does not exist'
    assert seen == [True, True, True, True, 0, [1], True, False, 1, 0, 1, missing]


@pytest.mark.claim("databases/ids-come-in-commit-order", verdict="wrong")
def test_a_reader_of_what_is_new_misses_the_lower_id_that_commits_later(database):
    seen = database.told("""
    import { createOutbox as createNaive } from './databases/outbox.naive.mjs';
    import { createOutbox } from './databases/outbox.mjs';
    const seen = { naive: [], ours: [] };
    const publish = (who) => async ({ event }) => { seen[who].push(event.n); };
    const naive = createNaive({ db, publish: publish('naive') });
    const outbox = createOutbox({ db, publish: publish('ours') });
    const [first, second] = [await client(), await client()];
    await first.query('BEGIN');
    await outbox.add(first, { n: 1 });
    await outbox.add(second, { n: 2 });
    await naive.relay();
    const early = [...seen.naive];
    await first.query('COMMIT');
    await naive.relay();
    const ids = (await rows('SELECT id FROM outbox ORDER BY id')).length;
    await outbox.relay();
    say({ early, ids, ...seen, left: await value('SELECT count(*)::int FROM outbox') });
    """)
    # both rows are there, and the naive one never told the first
    assert seen == {"early": [2], "ids": 2, "naive": [2], "ours": [1, 2], "left": 0}


def test_an_event_that_cannot_be_published_stays_and_holds_back_the_next(database):
    seen = database.told("""
    import { createOutbox } from './databases/outbox.mjs';
    const told = [];
    let ill = () => { throw new Error('down'); };
    const publish = ({ event }) => {
      if (event.n === 2) return ill();
      told.push(event.n);
    };
    const outbox = createOutbox({ db, publish, mostMs: 100 });
    for (const n of [1, 2, 3]) await outbox.add(db, { n });
    const said = [];
    const moods = [ill, async () => { throw undefined; }, () => new Promise(() => {})];
    for (ill of moods) {
      const { published, failed } = await outbox.relay();
      said.push([published, failed.message]);
    }
    ill = () => told.push(2);
    said.push((await outbox.relay()).published, told);
    // in the transaction that it is about
    await outcome(transaction(db, async (tx) => {
      await outbox.add(tx, { n: 4 });
      throw new Error('no order');
    }));
    say([...said, (await outbox.relay()).published]);
    """)
    late = "The operation was aborted due to timeout"
    assert seen == [
        [1, "down"], [0, "rejected with nothing"], [0, late], 2, [1, 2, 3], 0,
    ]  # fmt: skip


def test_two_relays_at_once_publish_each_event_once(database):
    seen = database.told("""
    import { createOutbox } from './databases/outbox.mjs';
    const told = [];
    const held = gate();
    const slow = async ({ event }) => { told.push(event.n); await held.opened; };
    const first = createOutbox({ db, publish: slow, most: 1 });
    const second = createOutbox({ db, publish: ({ event }) => { told.push(event.n); } });
    for (const n of [1, 2, 3]) await first.add(db, { n });
    const relaying = first.relay();
    while (told.length === 0) await sleep(5);
    const said = [(await second.relay()).published];
    held.open();
    said.push((await relaying).published, told);
    say([...said, await value('SELECT count(*)::int FROM outbox')]);
    """)
    assert seen == [2, 1, [1, 2, 3], 0]
