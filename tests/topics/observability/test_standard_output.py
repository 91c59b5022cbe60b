"""Standard output that takes nothing: full disk, slow or absent reader."""

import json
import os
import signal
from pathlib import Path

import pytest

from lab import SNIPPETS
from lab.run import node, process

from .shared import PIPE, TOPIC, lines_of, told

# --- standard output that takes nothing -----------------------------------------------

BOTH = """
import { createPino, createWinston } from './observability/loggers.mjs';
import { stdout } from './observability/stdout.mjs';
import { createMetrics } from './observability/metrics.mjs';
import { setImmediate as turn } from 'node:timers/promises';
import { writeSync } from 'node:fs';
const log = (n) => [createPino(), createWinston()].map((l) => l.info({ n }, 'line'));
const { register } = createMetrics();
async function metric() {
  await register.metrics(); // a second scrape says the same
  return (await register.metrics()).match(/^log_lines_lost_total .*$/m)[0];
}
"""


def test_a_service_outlives_a_full_disk_and_counts_the_lines_that_it_lost():
    with Path("/dev/full").open("wb") as full:
        seen = told(
            BOTH
            + """
        for (let n = 0; n < 5; n += 1) { log(n); await turn(); }
        writeSync(2, await metric());
        """,
            full,
        )
    assert seen == "log_lines_lost_total 10"


def test_a_service_outlives_the_reader_of_its_log():
    read, write = os.pipe()
    os.close(read)
    try:
        seen = told(
            BOTH
            + """
        for (let n = 0; n < 5; n += 1) { log(n); await turn(); }
        writeSync(2, await metric());
        """,
            write,
        )
    finally:
        os.close(write)
    assert seen == "log_lines_lost_total 10"


def test_a_line_is_with_the_kernel_when_the_call_returns():
    done = node.evaluate(
        BOTH + "for (let n = 0; n < 500; n += 1) log(n);\n"
        "process.kill(process.pid, 'SIGKILL');",
        code=None,
    )
    assert done.signal == signal.SIGKILL
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    # Winston's stream decides by itself when it hands a line on: in the same turn
    assert [line["n"] for line in lines if "msg" in line] == list(range(500))
    assert [line["n"] for line in lines if "message" in line] == list(range(500))


FIFO = """
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { createOutput } from './observability/stdout.mjs';
const fd = openSync('%s', constants.O_RDWR | constants.O_NONBLOCK);
const buffer = Buffer.alloc(1 << 20);
function drain() {
  try { return buffer.toString('latin1', 0, readSync(fd, buffer)); } catch { return ''; }
}
let waits = 0;
const slow = (reader) => { Atomics.wait = () => { waits += 1; reader(); }; };
const line = (size) => JSON.stringify({ x: 'x'.repeat(size) }) + '\\n';
const say = (...what) => console.log(JSON.stringify(what));
"""


def test_only_a_reader_that_may_come_back_is_waited_for():
    seen = lines_of(
        """
    import { openSync } from 'node:fs';
    import { createOutput } from './observability/stdout.mjs';
    let waits = 0;
    Atomics.wait = () => { waits += 1; };
    const output = createOutput({ fd: openSync('/dev/full', 'w') });
    output.write('line\\n');
    console.log(output.lost, waits);
    """
    )
    assert seen == ["1 0"]


@pytest.fixture
def fifo(tmp_path):
    """JavaScript with `fd`, a pipe that does not block and that the program reads
    itself, and `slow`, which says what happens while a writer waits."""
    os.mkfifo(path := tmp_path / "pipe")
    return FIFO % path


def test_a_reader_that_is_slow_is_waited_for_and_gets_the_whole_line(fifo):
    seen = lines_of(
        fifo
        + """
    const output = createOutput({ fd });
    let read = '';
    slow(() => { read += drain(); });
    output.write(line(200_000)); // three times what the pipe takes
    read += drain();
    say(output.lost, waits > 0, read === line(200_000));
    """
    )
    assert json.loads(seen[0]) == [0, True, True]


def test_a_reader_that_stopped_is_waited_for_once_and_spoils_no_later_line(fifo):
    seen = lines_of(
        fifo
        + """
    const output = createOutput({ fd, patienceMs: 50 });
    slow(() => {});
    output.write(line(200_000)); // half of it is out
    const first = waits;
    for (let n = 0; n < 10; n += 1) output.write(line(n));
    say(first > 0, waits - first, output.lost);
    const torn = drain();
    output.write(line(1));
    output.write(line(2));
    say(torn.length, drain(), output.lost);
    for (let before = waits; waits === before;) output.write(line(200_000));
    say(output.lost); // it was patient again
    """
    )
    assert [json.loads(one) for one in seen] == [
        [True, 0, 11],
        [PIPE, '\n{"x":"x"}\n{"x":"xx"}\n', 11],
        [12],
    ]


def test_flushing_winston_leaves_standard_output_to_the_other_loggers():
    seen = lines_of(
        """
    import { flushWinston } from './observability/flush.mjs';
    import { createPino, createWinston } from './observability/loggers.mjs';
    const { info, logger } = createWinston();
    for (let n = 0; n < 100; n += 1) info({ n }, 'line');
    await flushWinston(logger);
    createPino().info('after');
    """
    )
    assert len(seen) == 101 and json.loads(seen.pop())["msg"] == "after"


def test_winston_holds_a_bounded_number_of_lines_for_a_transport_that_is_stuck():
    seen = lines_of(
        """
    import { Writable } from 'node:stream';
    import Transport from 'winston-transport';
    import { createWinston } from './observability/loggers.mjs';
    import { stdout } from './observability/stdout.mjs';
    class Stuck extends Transport { log() {} }
    const transports = [new Stuck()];
    const { error, logger } = createWinston({ transports, waiting: 100 });
    for (let n = 0; n < 1000; n += 1) error({ n }, 'line');
    const held = logger.writableLength + transports[0].writableLength;
    console.log(held < 200, stdout.lost > 800, stdout.lost <= 1000 - 100);
    """
    )
    assert seen == ["true true true"]


def test_a_transport_that_fails_ends_no_service():
    seen = lines_of(
        """
    import winston from 'winston';
    import { createWinston } from './observability/loggers.mjs';
    import { stdout } from './observability/stdout.mjs';
    const stdio = new winston.transports.Stream({ stream: process.stderr });
    const { info, logger } = createWinston({ transports: [stdio] });
    stdio.emit('error', new Error('no space left on device'));
    info({}, 'line');
    console.log(stdout.lost);
    """
    )
    assert seen == ["1"]


@pytest.mark.parametrize(("sync", "ends"), [("true", True), ("false", False)])
def test_pinos_own_destination_keeps_what_a_full_disk_refuses_and_may_not_exit(
    sync, ends, tmp_path
):
    """Somebody listens for its errors; otherwise the first line ends the process."""
    program = tmp_path / "full.mjs"
    pino = (SNIPPETS / "node_modules/pino/pino.js").as_uri()
    program.write_text(
        f"""
    import {{ pino }} from '{pino}';
    import {{ once }} from 'node:events';
    import {{ setImmediate as turn }} from 'node:timers/promises';
    const stream = pino.destination({{ dest: '/dev/full', sync: {sync} }});
    await once(stream, 'ready');
    stream.on('error', () => {{}});
    const logger = pino(stream);
    for (let n = 0; n < 100; n += 1) {{ logger.info('x'.repeat(500)); await turn(); }}
    console.log('exits', stream._len);
    process.exit(0);
    """
    )
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        child, token = process.start(
            [node.binary(), program], cwd=SNIPPETS, stdout=stdout
        )
    try:
        process.until(lambda: process.wait(child, 0.1) or "exits" in out.read_text())
        # what it does at exit is to try again, and to sleep, without an end
        assert process.wait(child, 3) is ends
    finally:
        process.end(child, token, grace=0)
    if ends:
        assert int(out.read_text().split()[1]) > 50_000


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("loggers", "createWinston({ level: 'warning' })"),  # of syslog, not of npm
        ("loggers", "createWinston({ level: 'toString' })"),
        ("loggers", "createWinston({ redact: 'password' })"),
        ("loggers", "createPino({ level: 'warning' })"),
        ("loggers", "createPino({ redact: 'password' })"),
        ("stdout", "createOutput({ fd: '1' })"),
        ("stdout", "createOutput({ patienceMs: '1000' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), drainMs: '8000' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), patience: '5 s' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), patience: 2 ** 31 })"),
        ("metrics", "createMetrics({ capacity: '100' })"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused_when_the_thing_is_made(module, call):
    done = node.evaluate(
        "import { Server } from 'node:http';\n"
        f"import * as made from './observability/{module}.mjs';\nmade.{call};",
        code=1,
    )
    assert "Error: " in done.stderr


def test_the_shop_does_not_start_with_a_drain_that_is_no_number():
    done = node.run(f"{TOPIC}/two-ports.mjs", env={"DRAIN_MS": "5s"}, code=1)
    assert "DRAIN_MS" in done.stderr
