"""What tells a busy loop from a busy process: utilisation, CPU time, and whose pool it is."""

import json

import pytest

from lab.run import node

IN_A_CALLBACK = """
import { execSync } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
const hash = promisify(pbkdf2);
await new Promise((resolve) => setImmediate(resolve));
const [cpu, loop, wall] = [process.cpuUsage(), performance.eventLoopUtilization(),
  performance.now()];
%s
await new Promise((resolve) => setImmediate(resolve));
const { user, system } = process.cpuUsage(cpu);
const { active, utilization } = performance.eventLoopUtilization(loop);
console.log(JSON.stringify({ cpu: (user + system) / 1000, active, utilization,
  wall: performance.now() - wall }));
"""


@pytest.mark.claim(
    "event-loop/low-cpu-means-idle-loop",
    verdict="wrong",
    counter=(
        "here",
        "execSync('sleep 1');",
        "await new Promise((wake) => setTimeout(wake, 1000));",
    ),
)
def test_a_loop_that_waits_for_a_program_is_fully_used_and_needs_no_cpu():
    seen = json.loads(node.printed(IN_A_CALLBACK % "execSync('sleep 1');"))
    assert seen["utilization"] > 0.9 and seen["active"] > 900
    assert seen["cpu"] < seen["active"] / 4


@pytest.mark.claim("event-loop/low-cpu-means-idle-loop", verdict="wrong")
def test_hashing_on_the_pool_needs_cpu_while_the_loop_is_idle():
    # few callbacks and much work: each may be interrupted, and then it counts as active
    one = "hash('x', 'y', 4e6, 64, 'sha512')"
    work = f"await Promise.all([{one}, {one}]);"
    seen = json.loads(node.printed(IN_A_CALLBACK % work, timeout=60))
    assert seen["cpu"] > 5 * seen["active"]


@pytest.mark.claim("event-loop/low-cpu-means-idle-loop", verdict="wrong")
def test_utilisation_is_a_threads_own():
    source = """
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(`
      const { parentPort } = require('node:worker_threads');
      parentPort.on('message', () => { // and it stays: who has ended has no loop
        const end = performance.now() + 500;
        while (performance.now() < end);
        parentPort.postMessage('done');
      });
      parentPort.postMessage('ready');
    `, { eval: true, execArgv: [] });
    await once(worker, 'message');
    const mine = performance.eventLoopUtilization();
    const its = worker.performance.eventLoopUtilization();
    worker.postMessage('go');
    await once(worker, 'message');
    console.log(JSON.stringify([
      performance.eventLoopUtilization(mine).active,
      worker.performance.eventLoopUtilization(its).active,
    ]));
    await worker.terminate();
    """
    main, worker = json.loads(node.printed(source))
    assert worker > 450 and worker > 5 * main


@pytest.mark.claim(
    "event-loop/pool-is-per-worker",
    verdict="wrong",
    counter=(
        "here",
        "stick(4);\n    worker.postMessage('go');",
        "stick(3);\n    worker.postMessage('go');",
    ),
)
def test_a_worker_waits_for_the_same_pool_as_the_main_thread():
    source = """
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import { stick } from './event-loop/stuck-pool.mjs';
    const worker = new Worker(`
      const { parentPort } = require('node:worker_threads');
      const fs = require('node:fs');
      parentPort.once('message', async () => {
        let found = false;
        fs.stat('.', () => { found = true; parentPort.postMessage('found'); });
        for (let turn = 0; turn < 2000; turn += 1) await new Promise(setImmediate);
        parentPort.postMessage(found ? 'too early' : 'waits');
      });
      parentPort.postMessage('ready');
    `, { eval: true, execArgv: [] });
    await once(worker, 'message');
    const release = stick(4);
    worker.postMessage('go');
    const said = [];
    said.push(...(await once(worker, 'message')));
    const next = once(worker, 'message');
    await release();
    said.push(...(await next));
    console.log(said.join(' '));
    await worker.terminate();
    """
    assert node.printed(source) == "waits found\n"


KILL = """
import { spawn } from 'node:child_process';
import { once } from 'node:events';
const alive = (pid) => {
  try { return process.kill(pid, 0); } catch { return false; }
};
async function killed(options, how) {
  const shell = spawn('sh', ['-c', 'sleep 30 & echo $!; wait'], options);
  const [line] = await once(shell.stdout, 'data');
  const grandchild = Number(line);
  how(shell);
  await once(shell, 'exit');
  for (let i = 0; i < 500 && alive(grandchild) && options.detached; i += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  const lives = alive(grandchild);
  if (lives) process.kill(grandchild);
  shell.stdout.destroy();
  return lives;
}
console.log(await killed({}, (shell) => shell.kill()));
console.log(await killed({ detached: true }, ({ pid }) => process.kill(-pid)));
"""


def test_a_signal_ends_one_process_and_a_negative_id_its_whole_group():
    assert node.printed(KILL) == "true\nfalse\n"
