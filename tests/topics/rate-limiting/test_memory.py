"""What a flood of keys does to counters: in a Redis that is full, and in memory."""

import pytest

from lab.run import node

from .shared import STORE, TOPIC, connected


@pytest.mark.parametrize(
    ("policy", "then"),
    [
        ("volatile-ttl", ["null 1", "1 0"]),  # evicted: it begins again there
        ("noeviction", ["3 1", "3 1"]),  # kept, and it goes on in this process
    ],
)
def test_a_flood_evicts_live_counters_by_any_policy_that_evicts(
    redis_server, policy, then
):
    redis_server.command("CONFIG", "SET", "maxmemory", "3mb")
    redis_server.command("CONFIG", "SET", "maxmemory-policy", policy)
    seen = connected(
        redis_server,
        "import { Redis } from 'ioredis';\n"
        + STORE
        + """
    await store.init({ windowMs: 60_000 });
    for (let i = 0; i < 3; i += 1) await store.increment('ann');
    const redis = new Redis(url); // which waits as long as it takes
    let full = false; // others have counters for a day
    for (let n = 0; !full && (await redis.exists('rl:api:ann')); n += 500) {
      const flood = redis.pipeline();
      for (let i = n; i < n + 500; i += 1) flood.set(`rl:day:${i}`, 1, 'PX', 86_400_000);
      full = (await flood.exec()).some(([error]) => error?.message.startsWith('OOM'));
    }
    // what its clients' buffers took is free again in a moment: it shall stay full
    if (full) await redis.config('SET', 'maxmemory', '1mb');
    console.log(await redis.get('rl:api:ann'), (await store.increment('ann')).totalHits);
    console.log(await redis.get('rl:api:ann'), lines.length);
    redis.disconnect();
    stop.abort();
    """,
    )
    assert seen == then


BOUNDED = """
import { BoundedStore } from './rate-limiting/memory.mjs';
const hits = async (store, key) => (await store.increment(key)).totalHits;
"""


def test_a_flood_of_addresses_takes_neither_the_memory_nor_a_counter():
    seen = node.evaluate(
        BOUNDED
        + """
    const store = new BoundedStore({ keys: 3 });
    store.init({ windowMs: 60_000 });
    for (const key of ['ann', 'ann', 'bob', 'eve']) await hits(store, key);
    for (let i = 0; i < 1000; i += 1) await hits(store, `bot ${i}`);
    console.log(store.current.size + store.previous.size); // three and the rest
    console.log(await hits(store, 'ann'), await hits(store, 'zoe'));
    await store.decrement('bot 7'); // it was counted with the rest
    console.log(await hits(store, 'zoe'), store.current.size);
    store.clearExpired(); // a window is over: who does not come again goes
    console.log(await hits(store, 'ann'), await hits(store, 'new'));
    store.clearExpired();
    console.log(await hits(store, 'new'), store.current.size + store.previous.size);
    """
    ).stdout
    assert seen.splitlines() == ["4", "3 1001", "1001 4", "4 1002", "1 3"]


@pytest.mark.parametrize("snippet", ["api.mjs", "login.mjs", "shared.mjs"])
def test_every_limiter_that_counts_in_memory_has_a_bound_by_default(snippet):
    seen = node.evaluate(
        f"""
    import {{ MemoryStore }} from 'express-rate-limit';
    const used = new Set();
    const {{ init }} = MemoryStore.prototype;
    MemoryStore.prototype.init = function (options) {{
      used.add(this.constructor.name);
      init.call(this, options);
    }};
    const {{ createApp, stores }} = await import('./{TOPIC}/{snippet}');
    if (createApp) createApp();
    else (await stores())('api').init({{ windowMs: 60_000 }});
    console.log(...used);
    """
    ).stdout
    assert seen == "BoundedStore\n"
