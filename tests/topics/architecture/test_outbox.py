"""Events that are published after the commit: lost without an outbox, repeated with one."""

import json

import pytest

from lab.run import node

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


@pytest.mark.claim("architecture/publish-after-commit", verdict="wrong")
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
