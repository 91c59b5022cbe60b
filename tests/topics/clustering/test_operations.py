"""What an operator meets: exit codes, jobs that run once, probes, balancers, memory."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lab.run import node, process, services

from .shared import HARDENED, get, got, worker_of, workers

# --- how a worker ended --------------------------------------------------------------

ENDS = """
import cluster from 'node:cluster';
import { once } from 'node:events';
const ways = {
  killed: (worker) => worker.process.kill('SIGTERM'),
  disconnected: (worker) => worker.disconnect(),
  crashed: (worker) => worker.send('crash'),
  left: (worker) => worker.send('exit'),
};
if (cluster.isPrimary) {
  const ends = {};
  for (const [way, end] of Object.entries(ways)) {
    const worker = cluster.fork();
    await once(worker, 'online');
    end(worker);
    const [code, signal] = await once(worker, 'exit');
    const asked = worker.exitedAfterDisconnect;
    ends[way] = { id: worker.id, code, signal, asked };
  }
  console.log(JSON.stringify(ends));
} else {
  process.on('message', (message) => {
    if (message === 'exit') process.exit(0);
    throw new Error('a bug');
  });
}
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    path = tmp_path_factory.mktemp("ends") / "ends.mjs"
    path.write_text(ENDS)
    return json.loads(node.run(path).stdout)


@pytest.mark.claim("clustering/signal-has-no-code", verdict="right")
def test_a_worker_that_a_signal_ended_has_no_exit_code(ends):
    assert (ends["killed"]["code"], ends["killed"]["signal"]) == (None, "SIGTERM")
    assert (ends["crashed"]["code"], ends["crashed"]["signal"]) == (1, None)
    assert (ends["left"]["code"], ends["left"]["signal"]) == (0, None)


def test_only_a_worker_that_was_disconnected_says_that_its_end_was_wanted(ends):
    asked = {way: end["asked"] for way, end in ends.items()}
    assert asked["disconnected"] is True
    assert not asked["killed"] and not asked["crashed"] and not asked["left"]


REFORK = """
import cluster from 'node:cluster';
let [forks, told] = [0, 0];
const fork = () => {
  forks += 1;
  const worker = cluster.fork().once('online', () => {
    told += 1;
    // it would go on for ever: the sixth is left alone
    if (told === 6) cluster.removeAllListeners('exit');
    worker.process.kill();
  });
};
if (cluster.isPrimary) {
  cluster.on('exit', (worker, code) => {
    if (%s) fork();
  });
  process.once('exit', () => console.log(forks));
  fork();
} else setInterval(() => {}, 1e9);
"""


@pytest.mark.claim("clustering/signal-has-no-code", verdict="right")
@pytest.mark.parametrize(
    ("condition", "forks"),
    [("code !== 0", 6), ("code !== 0 && !worker.exitedAfterDisconnect", 6),
     ("code > 0", 1)],
)  # fmt: skip
def test_a_primary_that_forks_unless_the_code_is_0_replaces_whom_it_killed(
    program, condition, forks
):
    done = node.run(program(REFORK % condition), timeout=30)
    assert int(done.stdout) == forks


COUNTED = """
import cluster from 'node:cluster';
if (cluster.isPrimary) {
  const crashes = {};
  let left = 5;
  cluster.on('exit', ({ id }) => {
    crashes[id] = (crashes[id] ?? 0) + 1;
    left -= 1;
    if (left) cluster.fork();
    else console.log(JSON.stringify(crashes));
  });
  cluster.fork();
} else process.exit(1);
"""


@pytest.mark.claim("clustering/crashes-by-worker-id", verdict="wrong")
def test_each_replacement_has_an_id_of_its_own(program):
    crashes = json.loads(node.run(program(COUNTED)).stdout)
    assert crashes == {str(n): 1 for n in range(1, 6)}


HELD = """
import cluster from 'node:cluster';
import { once } from 'node:events';
import { createServer } from 'node:http';
if (cluster.isPrimary) {
  const worker = cluster.fork();
  const [{ port }] = await once(worker, 'listening');
  process.on('SIGUSR2', () => worker.disconnect());
  worker.once('disconnect', () => console.log('disconnected'));
  worker.once('exit', () => console.log('exit'));
  console.log(`listening on http://127.0.0.1:${port}`);
} else {
  const server = createServer((req, res) => {
    res.write('begun');
    console.log(`got ${req.url}`);
  });
  server.listen(0, '127.0.0.1');
}
"""


@pytest.mark.claim("clustering/disconnect-ends-a-worker", verdict="wrong")
def test_a_worker_that_was_disconnected_stays_as_long_as_its_connections(program):
    with node.serve(program(HELD)) as server:
        with get(server, "/stream"):
            got(server, "/stream")
            os.kill(server.pid, signal.SIGUSR2)
            process.until(lambda: not services.listens(server.port))
            (worker,) = workers(server)
            time.sleep(1)  # or longer
            assert workers(server) == {worker}
            assert "disconnected" not in server.output()
        process.until(lambda: not workers(server))


# --- memory --------------------------------------------------------------------------

LIMITS = """
import cluster from 'node:cluster';
import { once } from 'node:events';
import { getHeapStatistics } from 'node:v8';
const limit = getHeapStatistics().heap_size_limit;
if (cluster.isPrimary) {
  const limits = [limit];
  for (const execArgv of [[], [], ['--max-old-space-size=64']]) {
    cluster.setupPrimary({ execArgv });
    const [said] = await once(cluster.fork(), 'message');
    limits.push(said);
  }
  console.log(JSON.stringify(limits));
  for (const worker of Object.values(cluster.workers)) worker.process.kill();
} else process.send(limit);
"""


@pytest.mark.claim("clustering/workers-share-a-heap-limit", verdict="wrong")
def test_each_worker_may_grow_as_if_it_were_alone(program):
    alone, first, second, told = json.loads(node.run(program(LIMITS)).stdout)
    assert alone == first == second
    assert told < alone / 2 and told < 512e6


FULL = """
import cluster from 'node:cluster';
import { once } from 'node:events';
if (cluster.isPrimary) {
  cluster.setupPrimary({ execArgv: ['--max-old-space-size=32'], silent: true });
  const ends = [];
  for (const way of ['fill', 'wait']) {
    const worker = cluster.fork({ WAY: way });
    await once(worker, 'online');
    if (way === 'wait') worker.process.kill('SIGKILL');
    const [code, signal] = await once(worker, 'exit');
    ends.push([code, signal]);
  }
  console.log(JSON.stringify(ends));
} else if (process.env.WAY === 'fill') {
  const kept = [];
  for (;;) kept.push(new Array(1e5).fill({}));
} else setInterval(() => {}, 1e9);
"""


def test_a_full_heap_aborts_and_the_kernel_kills(program):
    ends = json.loads(node.run(program(FULL), timeout=60).stdout)
    # a shell adds 128 to the number of the signal: 134 and 137
    assert ends == [[None, "SIGABRT"], [None, "SIGKILL"]]


# --- probes --------------------------------------------------------------------------


@pytest.mark.claim("clustering/probe-finds-the-sick-worker", verdict="wrong")
def test_a_probe_of_the_shared_port_does_not_find_a_worker_that_stands_still():
    with node.serve(HARDENED, "2") as server, server.client() as kept:
        sick = worker_of(kept)
        os.kill(sick, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(10) as threads:

                def probe(_):
                    with contextlib.suppress(httpx.TimeoutException):
                        return httpx.get(f"{server.url}/health", timeout=3).is_success
                    return False

                answered = sum(threads.map(probe, range(10)))
            # whose connection the sick one has waits; it is given one more, at most
            with pytest.raises(httpx.TimeoutException):
                kept.get("/health", timeout=1)
        finally:
            os.kill(sick, signal.SIGCONT)
        assert answered >= 9


def test_workers_in_bursts_say_how_late_their_timers_fire():
    with node.serve("clustering/bursts.mjs") as server, server.client() as client:
        assert len(client.get("/pids").json()) == 2
        late = client.get("/late/1").json()
    # a burst holds each loop for 70 ms of CPU time, and timers of 10 ms see it
    assert len(late) > 10 and max(late) > 40


# --- jobs that shall run once --------------------------------------------------------

ONE = """
import cluster from 'node:cluster';
import { once } from 'node:events';
import { startNightly } from './clustering/nightly.naive.mjs';
if (cluster.isPrimary) {
  cluster.on('exit', () => cluster.fork());
  let mails = 0;
  cluster.on('message', (worker, message) => {
    mails += message === 'mail';
  });
  const [first] = [cluster.fork(), cluster.fork()];
  while (mails < 2) await once(cluster, 'message');
  const came = once(cluster, 'online');
  first.process.kill('SIGKILL');
  await came;
  const before = mails;
  await new Promise((on) => setTimeout(on, 500));
  console.log(JSON.stringify({ before, after: mails }));
  cluster.removeAllListeners('exit');
  for (const worker of Object.values(cluster.workers)) worker.send('end');
} else {
  process.once('message', () => process.exit(0));
  startNightly({ mail: () => process.send('mail'), everyMs: 20 });
}
"""


@pytest.mark.claim("clustering/job-in-worker-one", verdict="wrong")
def test_a_job_of_worker_1_is_nobodys_once_worker_1_has_been_replaced(program):
    seen = json.loads(node.run(program(ONE), timeout=30).stdout)
    assert seen["before"] >= 2 and seen["after"] == seen["before"]


def test_two_clusters_whose_worker_1_sends_the_mail_send_it_twice(program):
    two = program(
        "import cluster from 'node:cluster';\n"
        "import { startNightly } from './clustering/nightly.naive.mjs';\n"
        "if (cluster.isPrimary) {\n"
        "  cluster.once('message', (worker, message) => {\n"
        "    console.log(message);\n"
        "    for (const one of Object.values(cluster.workers)) one.send('end');\n"
        "  });\n"
        "  cluster.fork(); cluster.fork();\n"
        "} else {\n"
        "  process.once('message', () => process.exit(0));\n"
        "  startNightly({ mail: () => process.send('mail'), everyMs: 20 });\n"
        "}\n"
    )
    assert [node.run(two).stdout for _ in range(2)] == ["mail\n"] * 2


NIGHTLY = """
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from './rate-limiting/connect.mjs';
import { createNightly } from './clustering/nightly.mjs';
const logger = { error: ({ error }, text) => console.log(`${text}: ${error.message}`) };
const redis = await connect({ url: process.env.REDIS_URL, logger, patienceMs: 2000 });
const begun = [];
const nightly = (work, deps) =>
  createNightly({ redis, name: 'mail', period: () => '2026-11-27', logger, work, ...deps });
const times = async (count, tick) => Promise.all(Array.from({ length: count }, tick));
try {
%s
} finally {
  redis.disconnect();
}
"""


@pytest.fixture
def nightly(program, redis_server):
    """Runs lines with several holders of one job on a real Redis."""

    def run(lines: str) -> list[str]:
        source = (NIGHTLY % lines).replace(
            "'./rate-limiting/", f"'{(node.SNIPPETS / 'rate-limiting').as_uri()}/"
        )
        redis_server.command("FLUSHALL")
        env = {"REDIS_URL": redis_server.url}
        return node.run(program(source), env=env, timeout=30).stdout.splitlines()

    return run


def test_of_many_processes_one_does_the_job_once_a_day(nightly):
    printed = nightly("""
      const made = Array.from({ length: 8 }, (_, n) =>
        nightly(async ({ key }) => { begun.push(n); await sleep(20); console.log(key); }));
      const first = await Promise.all(made.map((tick) => tick()));
      const later = await Promise.all(made.map((tick) => tick()));
      console.log(begun.length, first.filter(Boolean).length, later.filter(Boolean).length);
      const next = nightly(() => begun.push('next'), { period: () => '2026-11-28' });
      console.log(await next(), begun.length);
    """)
    assert printed == ["nightly:mail:2026-11-27", "1 1 0", "true 2"]


def test_a_job_that_failed_is_done_by_whoever_comes_next(nightly):
    printed = nightly("""
      const fails = nightly(() => { throw new Error('no mail server'); });
      const rejects = nightly(async () => { throw null; }, {
        logger: { error: ({ error }) => console.log(`told ${error}`) } });
      const works = nightly(() => 'done');
      console.log(await fails(), await rejects(), await works(), await works());
    """)
    assert printed == [
        "the nightly job: no mail server",
        "told null",
        "false false true false",
    ]


def test_a_holder_that_hangs_is_given_up_before_another_begins(nightly):
    printed = nightly("""
      const hangs = nightly(({ signal }) => { signal.onabort = () => console.log('told');
        return new Promise(() => {}); }, { mostMs: 200, leaseMs: 600 });
      const works = nightly(() => console.log('second'), { mostMs: 200, leaseMs: 600 });
      const alone = hangs();
      console.log(await works()); // somebody has the lease
      console.log(await alone, await works()); // it still has
      while (!(await works())) await sleep(20);
      console.log(await works());
    """)
    assert printed[:3] == [
        "false",
        "told",
        "the nightly job: The operation was aborted due to timeout",
    ]
    assert printed[3:] == ["false false", "second", "false"]


def test_a_holder_whose_lease_is_another_ones_does_not_say_that_it_is_done(nightly):
    printed = nightly("""
      const tick = nightly(async ({ key }) => { await redis.set(key, 'another'); });
      console.log(await tick(), await redis.get('nightly:mail:2026-11-27'));
      await redis.del('nightly:mail:2026-11-27');
      const fails = nightly(async ({ key }) => {
        await redis.set(key, 'another');
        throw new Error('late');
      });
      console.log(await fails(), await redis.get('nightly:mail:2026-11-27'));
    """)
    assert printed == ["false another", "the nightly job: late", "false another"]


def test_without_its_store_the_job_is_not_done_and_nothing_is_thrown(nightly):
    printed = nightly("""
      redis.disconnect();
      console.log(await nightly(() => console.log('done'))());
    """)
    assert len(printed) == 2 and printed[0].startswith("the nightly job: ")
    assert printed[1] == "false"


@pytest.mark.parametrize("wrong", ["mostMs: '5'", "leaseMs: NaN", "mostMs: 60000",
                                   "mostMs: 9, leaseMs: 9"])  # fmt: skip
def test_a_job_whose_lease_is_no_longer_than_its_work_is_refused(program, wrong):
    made = program(
        "import { createNightly } from './clustering/nightly.mjs';\n"
        f"createNightly({{ redis: {{}}, name: 'a', work() {{}}, {wrong} }});\n"
    )
    error = node.run(made, code=1).stderr
    assert f"TypeError: {wrong.split(':')[0]}" in error or "must be below" in error


# --- balancers -----------------------------------------------------------------------

BACKEND = """
import { createServer } from 'node:http';
const server = createServer(async (req, res) => {
  %s
});
server.listen(process.env.PORT, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
"""
WORKS = "setTimeout(() => res.end('ok'), 50);"
FAILS = "res.writeHead(500).end();"


@pytest.mark.claim("clustering/least-connections-avoids-the-sick", verdict="wrong")
@pytest.mark.parametrize("balance", ["round-robin", "least-connections"])
def test_least_connections_sends_most_requests_to_the_one_that_fails_at_once(
    program, nginx_proxy, balance
):
    with (
        node.serve(program(BACKEND % WORKS)) as well,
        node.serve(program(BACKEND % FAILS)) as sick,
    ):
        proxy = nginx_proxy([well.url, sick.url], balance=balance, retry=False)
        # one client: to make one takes longer than an answer on a busy machine
        with httpx.Client(timeout=20) as client, ThreadPoolExecutor(8) as threads:
            answers = threads.map(lambda _: client.get(proxy.url).status_code, range(200))
            counts = Counter(answers)
    if balance == "round-robin":
        assert counts == {200: 100, 500: 100}
    else:
        assert counts[500] > 140 and sum(counts.values()) == 200


RING = """
import { byModulo, createRing } from './clustering/ring.mjs';
const servers = ['a', 'b', 'c', 'd', 'e'];
const keys = Array.from({ length: 2000 }, (_, n) => `key ${n}`);
const told = {};
for (const [name, make] of Object.entries({ byModulo, createRing })) {
  const [all, less] = [make(servers), make(servers.slice(0, 4))];
  const moved = keys.filter((key) => all(key) !== less(key));
  const needless = moved.filter((key) => all(key) !== 'e');
  const load = keys.reduce((sum, key) => ({ ...sum, [all(key)]: (sum[all(key)] ?? 0) + 1 }), {});
  told[name] = [moved.length, needless.length, Math.max(...Object.values(load))];
}
console.log(JSON.stringify(told));
"""


@pytest.mark.claim("clustering/ring-moves-few-keys", verdict="right")
def test_a_ring_moves_only_the_keys_of_the_server_that_goes(program):
    told = json.loads(node.run(program(RING)).stdout)
    moved, needless, busiest = told["createRing"]
    assert needless == 0 and 200 < moved < 600 and busiest < 600
    moved, needless, _ = told["byModulo"]
    assert moved > 1400 and needless > 1000


def test_a_ring_without_servers_is_refused(program):
    made = program("import { createRing } from './clustering/ring.mjs'; createRing([]);")
    assert "a ring needs a server" in node.run(made, code=1).stderr
