"""Messages to the server: stored once, in order, though connections break."""

import json

import pytest

from lab.run import node

HEAD = """
import { setTimeout as sleep } from 'node:timers/promises';
import { createInbox, createSender } from './websockets/acks.mjs';
const naive = await import('./websockets/acks.naive.mjs');
const say = (...values) => console.log(JSON.stringify(values));
// a table with a unique constraint, and a number for each row
const rows = [];
const save = async ({ user, id = rows.length, text }) => {
  await sleep(5);
  const known = rows.findIndex((row) => row.user === user && row.id === id);
  if (known >= 0) return known + 1;
  return rows.push({ user, id, text });
};
const texts = () => rows.map(({ text }) => text);
// a connection that loses what the server sends while `lossy`
function connection(inbox, client, { lossy = false } = {}) {
  const up = { OPEN: 1, readyState: 1 };
  const down = { send: (text) => lossy || client.onMessage(JSON.parse(text)),
    close: (code) => say('closed', code) };
  let work = Promise.resolve();
  up.send = (text) => { work = work.then(() => inbox(down, text, false, 'ann')); };
  up.over = () => { up.readyState = 3; return work; };
  return up;
}
"""


def printed(lines: str) -> list:
    done = node.evaluate(HEAD + lines)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.claim("websockets/resend-after-timeout", verdict="wrong")
def test_a_message_that_is_sent_again_without_an_id_is_stored_twice():
    said = printed("""
      const lost = naive.createInbox({ save });
      const sender = naive.createSender({
        send: (text) => lost({ send() {} }, text), patienceMs: 20 });
      sender.say('hello');
      await sleep(60);
      sender.answered(); sender.answered(); sender.answered(); sender.answered();
      say(texts().filter((text) => text === 'hello').length >= 2);
      process.exit();
    """)
    assert said == [[True]]


@pytest.mark.claim("websockets/ids-and-acks-store-once", verdict="right")
def test_messages_with_ids_are_stored_once_and_in_order_though_their_answers_are_lost():
    said = printed("""
      const client = createSender();
      const inbox = createInbox({ save });
      const first = connection(inbox, client, { lossy: true });
      client.resume(first);
      for (const text of ['a', 'b', 'c']) client.say(text);
      await first.over(); // stored, and nobody has heard of it
      client.say('d'); // while there is no connection
      say(texts(), client.waiting());
      const second = connection(inbox, client);
      client.resume(second);
      await second.over();
      say(texts(), client.waiting());
      client.resume(connection(inbox, client));
      say(client.waiting());
    """)
    assert said == [[list("abc"), 4], [list("abcd"), 0], [0]]


def test_a_message_is_acknowledged_only_when_it_is_stored():
    said = printed("""
      const sent = [];
      const socket = { send: (text) => sent.push(JSON.parse(text)), close() {} };
      let stored;
      const inbox = createInbox({ save: () => new Promise((on) => { stored = on; }) });
      const work = inbox(socket, '{"id":"00000001","text":"a"}', false, 'ann');
      await sleep(20);
      say(sent.length);
      stored(7);
      await work;
      say(sent);
      const fails = createInbox({ save: async () => { throw new Error('disk'); } });
      await fails(socket, '{"id":"00000001","text":"a"}', false, 'ann')
        .catch(({ message }) => say(message, sent.length));
    """)
    assert said == [[0], [[{"type": "ack", "id": "00000001", "seq": 7}]], ["disk", 1]]


@pytest.mark.parametrize("data", ['"no json', "null", '{"id":"short","text":"a"}',
                                  '{"id":"00000001","text":1}', '{"id":1,"text":"a"}',
                                  '{"id":"00000001","text":"' + "a" * 4001 + '"}'])  # fmt: skip
def test_what_is_no_message_ends_its_connection_and_is_not_stored(data):
    said = printed(f"""
      const inbox = createInbox({{ save }});
      await inbox({{ close: (code) => say(code) }}, {data!r}, false, 'ann');
      await inbox({{ close: (code) => say(code) }}, {data!r}, true, 'ann');
      say(rows.length);
    """)
    assert said == [[1007], [1007], [0]]


def test_a_sender_keeps_no_more_than_told():
    said = printed("""
      const client = createSender({ most: 2 });
      client.say('a'); client.say('b');
      try { client.say('c'); } catch ({ message }) { say(message, client.waiting()); }
    """)
    assert said == [["too many wait", 2]]
