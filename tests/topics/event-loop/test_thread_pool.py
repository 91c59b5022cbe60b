"""What waits for a thread of the pool, and what never does."""

import json
from pathlib import Path

import psutil
import pytest

from lab.run import node


@pytest.mark.claim(
    "event-loop/io-on-background-threads",
    verdict="depends",
    counter=(
        "event-loop/pool-limit.mjs",
        "stick(count)",
        "stick(count - 1)",
    ),
)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_sockets_answer_while_files_wait_for_a_pool_thread(size):
    pool = {"UV_THREADPOOL_SIZE": str(size)}
    full = node.lines("event-loop/pool-limit.mjs", str(size), env=pool)
    assert full[-1] == "fs.stat: still waiting after 500 HTTP answers"
    one_left = node.lines("event-loop/pool-limit.mjs", str(size - 1), env=pool)
    assert one_left[-1] == "fs.stat: finished"


def test_dns_lookup_waits_for_a_pool_thread_and_dns_resolve_does_not():
    assert node.lines("event-loop/names.mjs") == [
        "dns.resolve4: answered 100 times",
        "dns.lookup: still waiting",
        "dns.lookup: answered once a thread was free",
    ]


ASK_BY = """
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import { stick } from './event-loop/stuck-pool.mjs';

const server = createServer((req, res) => res.end('ok')).listen(0);
await once(server, 'listening');

async function ask(host, agent) {
  const [response] = await once(get({ host, port: server.address().port, agent }),
    'response');
  await once(response.resume(), 'end');
}

const kept = new Agent({ keepAlive: true });
await ask('localhost', kept);
const release = stick(4);

const answered = [];
const asked = [['new localhost'], ['new 127.0.0.1'], ['kept localhost', kept]]
  .map(([name, agent = false]) => ask(name.split(' ')[1], agent)
    .then(() => answered.push(name)));
while (answered.length < 2) await new Promise(setImmediate);
for (let turn = 0; turn < 10_000; turn += 1) await new Promise(setImmediate);
console.log(JSON.stringify(answered.sort()));
await release();
await Promise.all(asked);
console.log(answered.at(-1));
kept.destroy();
server.close();
"""


@pytest.mark.claim(
    "event-loop/more-threads-faster-http",
    verdict="depends",
    counter=(
        "here",
        "kept);\nconst release = stick(4);",
        "kept);\nconst release = stick(3);",
    ),
)
def test_a_full_pool_stops_new_connections_by_name_and_nothing_else():
    at_first, at_last = node.evaluate(ASK_BY).stdout.splitlines()
    assert json.loads(at_first) == ["kept localhost", "new 127.0.0.1"]
    assert at_last == "new localhost"


WHO_WAITS = """
import { execFile } from 'node:child_process';
import * as crypto from 'node:crypto';
import dns from 'node:dns';
import fs from 'node:fs';
import zlib from 'node:zlib';
import { stick } from './event-loop/stuck-pool.mjs';

const calls = {
  'fs.readFile': (done) => fs.readFile('package.json', done),
  'fs.access': (done) => fs.access('.', done),
  'dns.lookup': (done) => dns.lookup('localhost', done),
  'dns.lookupService': (done) => dns.lookupService('127.0.0.1', 22, done),
  'crypto.pbkdf2': (done) => crypto.pbkdf2('a', 'b', 1, 16, 'sha256', done),
  'crypto.scrypt': (done) => crypto.scrypt('a', 'b', 16, done),
  'crypto.randomBytes': (done) => crypto.randomBytes(16, done),
  'crypto.generateKeyPair': (done) => crypto.generateKeyPair('ed25519', {}, done),
  'crypto.subtle': (done) =>
    crypto.webcrypto.subtle.digest('SHA-256', Buffer.alloc(9)).then(done),
  'zlib.gzip': (done) => zlib.gzip('a', done),
  'child_process.execFile': (done) => execFile(process.execPath, ['-v'], done),
  setTimeout: (done) => setTimeout(done, 1),
};
const release = stick(4);
const finished = new Set();
const all = Object.entries(calls).map(([name, call]) => new Promise((resolve) => {
  call(() => { finished.add(name); resolve(); });
}));
while (finished.size < 2) await new Promise(setImmediate);
for (let turn = 0; turn < 20_000; turn += 1) await new Promise(setImmediate);
console.log(JSON.stringify([...finished].sort()));
await release();
await Promise.all(all);
console.log(finished.size);
"""


def test_files_names_hashes_keys_and_compression_wait_for_the_pool():
    at_first, in_the_end = node.evaluate(WHO_WAITS).stdout.splitlines()
    assert json.loads(at_first) == ["child_process.execFile", "setTimeout"]
    assert in_the_end == "12"


THREADS = """
const { readdirSync, stat } = require('node:fs');
const { createServer, get } = require('node:http');
const counts = [];
const count = () => counts.push(readdirSync('/proc/self/task').length);
count();
const server = createServer((req, res) => res.end()).listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  get({ host: '127.0.0.1', port }, (res) => res.resume().on('end', () => {
    count();
    server.close();
    stat('.', () => {
      count();
      console.log(JSON.stringify(counts));
    });
  }));
});
"""


@pytest.mark.claim(
    "event-loop/single-threaded",
    verdict="depends",
    counter=(
        "here",
        "stat('.', () => {\n      count();",
        "setImmediate(() => {\n      count();",
    ),
)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux only")
def test_the_threads_of_the_pool_are_started_at_its_first_use(tmp_path):
    program = tmp_path / "threads.cjs"  # a module is loaded with the pool's help
    program.write_text(THREADS)
    early, asked, used = json.loads(node.run(program).stdout)
    assert early > 1
    assert asked == early and used == asked + 4


@pytest.mark.claim("event-loop/single-threaded", verdict="depends")
def test_a_process_that_runs_one_line_of_javascript_has_several_threads():
    with node.serve("event-loop/login.mjs") as server:
        assert psutil.Process(server.pid).num_threads() > 4


def test_the_pool_size_is_read_once_when_the_pool_is_first_used():
    late = """
    import { stat } from 'node:fs/promises';
    import { stick } from './event-loop/stuck-pool.mjs';
    process.env.UV_THREADPOOL_SIZE = '8';
    if (process.argv.length > 9) await stat('.');
    await stat('.');
    process.env.UV_THREADPOOL_SIZE = '16';
    const release = stick(8);
    let done = false;
    const statted = stat('.').then(() => (done = true));
    for (let turn = 0; turn < 5000; turn += 1) await new Promise(setImmediate);
    console.log(done);
    await release();
    await statted;
    """
    # 8 was set before the pool's first use and counts; 16 came too late
    assert node.evaluate(late).stdout == "false\n"
