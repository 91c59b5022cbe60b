"""Liveness and readiness, whatever way a check fails."""

import json

import pytest

from lab.run import node

from .shared import lines_of

# --- health -------------------------------------------------------------------------

HEALTH = """
import express from 'express';
import { createHealth } from './observability/health.mjs';
import { once } from 'node:events';
const leaving = new AbortController();
let database = async () => {};
const checks = { orders: (options) => database(options) };
const app = express();
app.use(createHealth({ checks, leaving: leaving.signal, timeoutMs: 200, freshMs: %d }));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
async function ask(what) {
  const url = `http://127.0.0.1:${server.address().port}/${what}`;
  const answer = await fetch(url);
  console.log(answer.status, await answer.text());
}
await ask('readyz');
database = async () => { throw new Error('password=hunter2'); };
await ask('readyz');
database = () => new Promise(() => {}); // neither answers nor fails
await ask('readyz');
await ask('livez');
database = async () => {};
await ask('readyz');
leaving.abort();
await ask('readyz');
await ask('livez');
server.close();
server.closeAllConnections();
"""


def test_a_process_without_its_database_is_not_ready_but_live_and_so_is_one_that_leaves():
    printed = lines_of(HEALTH % 0)
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    assert "hunter2" not in json.dumps(printed)
    # why is in the log, without the message
    assert [(one["check"], one["error"]["type"]) for one in lines] == [
        ("orders", "Error"),
        ("orders", "TimeoutError"),
    ]
    assert [line for line in printed if not line.startswith("{")] == [
        '200 {"orders":"ok"}',
        '503 {"orders":"down"}',
        '503 {"orders":"down"}',
        '200 {"status":"ok"}',
        '200 {"orders":"ok"}',
        '503 {"orders":"ok","process":"leaving"}',
        '200 {"status":"ok"}',
    ]


def test_many_who_ask_whether_it_is_ready_make_one_query_of_a_moment():
    seen = lines_of(
        (HEALTH % 60_000).split("await ask('readyz')")[0]
        + """
    let queries = 0;
    database = async () => { queries += 1; };
    await Promise.all([1, 2, 3].map(() => ask('readyz')));
    await ask('readyz');
    leaving.abort();
    await ask('readyz');
    console.log(queries);
    server.close();
    server.closeAllConnections();
    """
    )
    left = '503 {"orders":"ok","process":"leaving"}'
    assert seen == [*['200 {"orders":"ok"}'] * 4, left, "1"]


@pytest.mark.parametrize(
    ("check", "status"),
    [
        ("() => { throw new Error('no database is open'); }", 503),  # node:sqlite does
        ("() => Promise.reject(undefined)", 503),
        ("async () => false", 503),
        ("async () => new Response('', { status: 500 })", 503),
        ("async () => new Response('')", 200),
        ("() => 0", 200),  # what a query found is no verdict
    ],
)
def test_whatever_way_a_check_says_no_the_process_is_not_ready_and_lives_on(
    check, status
):
    seen = lines_of(
        f"""
    import express from 'express';
    import {{ once }} from 'node:events';
    import {{ setImmediate as turn }} from 'node:timers/promises';
    import {{ createHealth }} from './observability/health.mjs';
    let late;
    const check = {check};
    const checks = {{ db: ({{ signal }}) => {{ late = signal; return check(); }} }};
    const logger = {{ error() {{}} }};
    const app = express().use(createHealth({{ checks, logger, timeoutMs: 100 }}));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${{server.address().port}}/readyz`;
    const answer = await fetch(url);
    console.log(answer.status, answer.headers.get('cache-control'));
    if (!late.aborted) await once(late, 'abort', {{ keep: setTimeout(() => {{}}, 500) }});
    await turn(); // by now a rejection that nobody handles has ended the process
    console.log('alive');
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == [f"{status} no-store", "alive"]


def test_of_checks_that_never_end_there_are_three_at_most_and_one_that_ends_makes_room():
    seen = lines_of(
        (HEALTH % 0).split("await ask('readyz')")[0]
        + """
    const asked = [];
    database = () => {
      const query = Promise.withResolvers();
      asked.push(query);
      return query.promise;
    };
    for (let i = 0; i < 5; i += 1) await ask('readyz');
    console.log(asked.length);
    asked[0].resolve();
    database = async () => {};
    await ask('readyz');
    server.close();
    server.closeAllConnections();
    """
    )
    told = [line for line in seen if not line.startswith("{")]
    assert told == [*['503 {"orders":"down"}'] * 5, "3", '200 {"orders":"ok"}']


@pytest.mark.parametrize(
    "options",
    [
        "{ checks: { db: true } }",
        "{ timeoutMs: '500' }",
        "{ timeoutMs: -1 }",
        "{ freshMs: '1s' }",
    ],
)
def test_health_that_could_not_work_is_not_made(options):
    done = node.evaluate(
        "import { createHealth } from './observability/health.mjs';\n"
        f"createHealth({options});",
        code=1,
    )
    assert "TypeError: " in done.stderr
