"""Sessions that go on when Redis fails over."""

from lab.run import node, services

FAILOVER = """
import {{ createServer, connect as dial }} from 'node:net';
import {{ once }} from 'node:events';
import {{ setTimeout as sleep }} from 'node:timers/promises';
import {{ Redis }} from 'ioredis';
import {{ randomBytes }} from 'node:crypto';
import {{ connect }} from './rate-limiting/connect.mjs';
import {{ createSessions }} from './jwt/refresh.mjs';
import {{ redisStore }} from './jwt/stores.mjs';
import {{ createRevocations }} from './jwt/revocations.mjs';
const [one, two] = ['{one}', '{two}'].map((url) => Number(new URL(url).port));
let target = one; // whom a client reaches at the name of the primary
const name = createServer((client) => {{
  const server = dial(target, '127.0.0.1');
  client.pipe(server).pipe(client);
  client.on('error', () => server.destroy());
  server.on('error', () => client.destroy());
}}).listen(0, '127.0.0.1');
await once(name, 'listening');

// as shop.mjs has it, without a word of its own about what may go wrong
const redis = await connect({{ url: `redis://127.0.0.1:${{name.address().port}}`,
  logger: {{ error() {{}} }} }});
const sessions = createSessions({{ store: redisStore(redis), secret: randomBytes(32) }});
const {{ revoke, revoked }} = createRevocations({{ redis }});
const {{ token }} = await sessions.start('cus_ann');

const [first, second] = [new Redis(one), new Redis(two)];
await second.replicaof('127.0.0.1', one);
while (!/master_link_status:up/.test(await second.info('replication'))) await sleep(20);
while ((await second.dbsize()) !== (await first.dbsize())) await sleep(20);
await second.replicaof('NO', 'ONE');
await first.replicaof('127.0.0.1', two);
target = two; // the connections that there are stay with the old primary
first.disconnect();

const statuses = new Set();
async function soon(ask) {{
  for (let left = 200; ; left -= 1) {{
    try {{ return await ask(); }} catch (error) {{
      statuses.add(error.status);
      if (left === 0) throw error;
      await sleep(50);
    }}
  }}
}}
const next = await soon(() => sessions.rotate(token));
const {{ sid }} = await soon(() => sessions.start('cus_bob'));
await soon(() => revoke(sid));
console.log(next.user, await revoked({{ sid }}), await revoked({{ sid: next.sid }}));
console.log(await second.exists(`revoked:${{sid}}`)); // it is the new one that knows
console.log([...statuses].filter((status) => status !== 503).length);
redis.disconnect();
second.disconnect();
name.close();
"""


def test_after_a_failover_logins_refreshes_and_logouts_go_on_without_a_restart(
    redis_server,
):
    with services.redis() as other:
        source = FAILOVER.format(one=redis_server.url, two=other.url)
        seen = node.evaluate(source, timeout=60).stdout
    assert seen.splitlines() == ["cus_ann true false", "1", "0"]
