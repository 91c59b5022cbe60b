"""A unit of work that hangs is given up, and its late answer changes nothing."""

import json

import pytest

from lab.run import node

from .shared import FACTORIES, TOPIC

# --- a unit that hangs -------------------------------------------------------------------

HANGS = {
    "sqlite": ("{ patience: 100 }", "not within 100 ms"),
    "memory": ("{ patience: 100 }", "not within 100 ms"),
    "postgres": (
        "{ url, limits: { idle_in_transaction_session_timeout: 1_000 } }",
        "terminating connection due to idle-in-transaction timeout",
    ),
}


@pytest.mark.parametrize("kind", HANGS)
def test_a_unit_that_hangs_is_taken_back_and_holds_up_nobody(kind, request):
    deps, said = HANGS[kind]
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const url = '{url}';
    const store = await open({deps});
    const tea = [{{ sku: 'tea', quantity: 20 }}];
    let goOn;
    const gate = new Promise((resolve) => (goOn = resolve));
    let late;
    const hangs = store.unitOfWork(async ({{ products }}) => {{
      await products.take(tea);
      await gate; // an answer that does not come, or not in time
      late = await products.giveBack(tea).catch(() => 'refused');
    }});
    await hangs.catch(({{ message }}) => console.log(message));
    goOn();
    await store.unitOfWork(({{ products }}) => products.take(tea)); // all there
    console.log(late);
    const more = store.unitOfWork(({{ products }}) => products.take(tea));
    await more.catch(({{ reason }}) => console.log(reason));
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == [said, "refused", "no-stock"]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_reading_that_hangs_holds_up_nobody(kind):
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = open({{ patience: 100 }});
    const never = () => new Promise(() => {{}});
    await store.read(never).catch(({{ message }}) => console.log(message));
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    """
    ).stdout
    assert seen.splitlines() == ["not within 100 ms", "null"]


@pytest.mark.parametrize("kind", FACTORIES)
def test_who_reads_sees_no_half_of_a_unit(kind, request):
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = await open({{ url: '{url}' }});
    const order = {{ id: 'a', customer: 'ann', items: [], status: 'open', total: 1, version: 1 }};
    let written;
    let goOn;
    const half = new Promise((resolve) => (written = resolve));
    const gate = new Promise((resolve) => (goOn = resolve));
    const unit = store.unitOfWork(async ({{ orders }}) => {{
      await orders.insert(order);
      written();
      await gate;
      throw new Error('taken back');
    }});
    await half;
    const read = store.read(({{ orders }}) => orders.get('a'));
    setImmediate(goOn);
    await unit.catch(({{ message }}) => console.log(message));
    console.log(await read);
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == ["taken back", "null"]


def test_a_unit_that_is_done_leaves_no_timer_behind():
    """Else each request would keep one for the rest of its patience."""
    seen = node.evaluate(
        f"""
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const store = sqliteStore();
    await store.unitOfWork(async () => {{}});
    await store.read(async () => {{}});
    console.log(process.getActiveResourcesInfo().includes('Timeout'));
    """
    ).stdout
    assert seen == "false\n"


def test_a_store_that_is_passed_in_is_closed_by_who_opened_it():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from './{TOPIC}/layered/app.mjs';
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const mine = new AbortController();
    const store = sqliteStore({{ signal: mine.signal }});
    const shutdown = new AbortController();
    for (let n = 0; n < 2; n += 1) await createApp({{ store, signal: shutdown.signal }});
    shutdown.abort(); // two apps have it; a third may still
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    mine.abort();
    await store.close(); // twice is no error
    await store.read(({{ orders }}) => orders.get('a')).catch(({{ code }}) => console.log(code));
    """
    ).stdout
    assert seen.splitlines() == ["null", "ERR_INVALID_STATE"]


OUTBOX = """
import {{ DatabaseSync }} from 'node:sqlite';
import {{ SCHEMA }} from './architecture/schema.mjs';
import * as outbox from './architecture/{snippet}';

const db = new DatabaseSync(':memory:');
db.exec(SCHEMA);
const told = [];
let up = false;
const publish = async (event) => {{
  if (!up) throw new Error('the broker is away');
  told.push(event.id);
}};
const order = (id) => ({{ id, customer: 'ann', items: [], total: 450 }});
const placed = [];
for (const id of ['a', 'b', 'a']) {{
  await Promise.resolve(outbox.place({{ db, publish }}, order(id))).then(
    () => placed.push(id),
    () => placed.push('error'),
  );
}}
await outbox.relay?.({{ db, publish }}).catch(() => {{}});
up = true;
await outbox.relay?.({{ db, publish }});
await outbox.relay?.({{ db, publish }}); // nothing is left
const stored = db.prepare('SELECT id FROM orders').all().map(({{ id }}) => id);
console.log(JSON.stringify({{ placed, stored, told }}));
"""


@pytest.mark.claim("architecture/publish-after-commit")
@pytest.mark.parametrize("snippet", ["outbox.naive.mjs", "outbox.mjs"])
def test_events_told_after_the_write_are_lost_and_those_in_an_outbox_are_not(snippet):
    found = json.loads(node.evaluate(OUTBOX.format(snippet=snippet)).stdout)
    assert found["stored"] == ["a", "b"]
    if snippet == "outbox.naive.mjs":
        assert found["placed"] == ["error", "error", "error"]
        assert found["told"] == []
    else:
        assert found["placed"] == ["a", "b", "error"]  # the second `a` is no new one
        assert found["told"] == ["a", "b"]


def test_the_naive_outbox_tells_while_the_broker_is_there():
    source = OUTBOX.format(snippet="outbox.naive.mjs").replace("up = false", "up = true")
    assert json.loads(node.evaluate(source).stdout)["told"] == ["a", "b"]


RELAY = OUTBOX.format(snippet="outbox.mjs").partition("const placed")[0]


def test_a_publisher_that_hangs_is_given_up_and_the_rest_waits_in_order():
    seen = node.evaluate(
        RELAY
        + """
    for (const id of ['a', 'b', 'c']) await outbox.place({ db }, order(id));
    let given;
    const hangs = ({ id }, { signal }) => {
      given = signal;
      told.push(id);
      return id === 'b' ? new Promise(() => {}) : undefined;
    };
    await outbox.relay({ db, publish: hangs, patience: 50 }).catch(({ message }) => {
      console.log(message, told.join(), given.aborted);
    });
    up = true;
    await outbox.relay({ db, publish });
    console.log(told.join());
    """
    ).stdout
    assert seen.splitlines() == ["not within 50 ms a,b true", "a,b,b,c"]


def test_relaying_goes_on_after_an_error_and_ends_with_its_signal():
    seen = node.evaluate(
        RELAY
        + """
    await outbox.place({ db }, order('a'));
    const shutdown = new AbortController();
    let running = 0;
    const flaky = async (event) => {
      if ((running += 1) > 1) console.log('twice at once');
      await publish(event).finally(() => (running -= 1));
      await outbox.place({ db }, order(`${event.id}a`)); // there is always one more
      if (told.length === 3) shutdown.abort();
    };
    const logger = {
      error({ error }, text) {
        console.log(`${text}: ${error.message}`);
        up = true;
      },
    };
    await outbox.keepRelaying({ db, publish: flaky, signal: shutdown.signal, logger });
    console.log(told.join());
    """
    ).stdout
    assert seen.splitlines() == ["events are waiting: the broker is away", "a,aa,aaa"]


def test_a_relay_that_ends_after_telling_tells_again():
    seen = node.evaluate(
        RELAY
        + """
    up = true;
    await outbox.place({ db }, order('a'));
    const crash = async (event) => { await publish(event); throw new Error('crash'); };
    await outbox.relay({ db, publish: crash }).catch(() => {});
    await outbox.relay({ db, publish });
    console.log(told.join());
    """
    ).stdout
    assert seen == "a,a\n"
