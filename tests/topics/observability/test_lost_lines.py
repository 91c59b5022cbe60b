"""What is left of a thousand lines, by death and by logger."""

import contextlib
import json
import os
import subprocess

import httpx
import pytest

from lab import SNIPPETS
from lab.run import node, process

from .shared import HERE, PIPE, TOPIC, kept, lines_of


@pytest.mark.claim("observability/same-thing", verdict="wrong")
@pytest.mark.parametrize("death", ["process.exit", "SIGKILL"])
def test_at_exit_winston_keeps_a_line_in_its_file_and_pino_all(death, tmp_path):
    assert kept("pino sync", death, tmp_path) == 1000
    assert kept("winston file", death, tmp_path) <= 1
    assert kept("winston console", death, tmp_path) == 1000  # its output is a file


@pytest.mark.claim("observability/pino-is-synchronous", verdict="wrong")
def test_pino_as_it_comes_holds_lines_back_and_sync_has_to_be_asked_for(tmp_path):
    assert kept("pino as it comes", "process.exit", tmp_path) == 1000
    assert kept("pino as it comes", "SIGKILL", tmp_path) <= 1
    assert kept("pino sync", "SIGKILL", tmp_path) == 1000


@pytest.mark.claim("observability/pino-is-synchronous", verdict="wrong")
def test_pino_as_it_comes_keeps_lines_that_have_time_to_be_written(tmp_path):
    file = tmp_path / "log"
    done = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ loggers }} from './observability/sinks.mjs';
    const {{ info, ready, stream }} = loggers['pino as it comes']('{file}');
    await ready;
    for (let n = 0; n < 1000; n += 1) {{
      const written = once(stream, 'drain');
      info({{ n }}, 'order placed');
      await written;
    }}
    process.kill(process.pid, 'SIGKILL');
    """,
        code=None,
    )
    assert done.signal == 9
    assert file.read_text().count("\n") == 1000


@pytest.mark.claim("observability/async-loses-nothing", verdict="wrong")
def test_what_is_still_in_memory_dies_with_a_signal_and_not_with_an_exit(tmp_path):
    for logger in ("pino async", "pino transport"):
        assert kept(logger, "process.exit", tmp_path) == 1000
        assert kept(logger, "throw", tmp_path) == 1000
        assert kept(logger, "SIGTERM", tmp_path) < 100  # nobody handles it
        assert kept(logger, "SIGKILL", tmp_path) < 100


@contextlib.contextmanager
def piped(*argv):
    """Starts Node with a pipe for standard output that nobody reads yet."""
    read, write = os.pipe()
    child, token = process.start(
        [node.binary(), *argv], cwd=SNIPPETS, stdout=write, stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        yield child, read
    finally:
        process.end(child, token, grace=0)
        os.close(read)


def drained(read: int) -> bytes:
    data = b""
    while chunk := os.read(read, PIPE):
        data += chunk
    return data


@pytest.mark.claim("observability/console-log-is-synchronous", verdict="depends")
@pytest.mark.parametrize("logger", ["console.log", "winston console"])
def test_to_a_pipe_console_log_keeps_what_the_pipe_takes_and_to_a_file_all(
    logger, tmp_path
):
    assert kept(logger, "process.exit", tmp_path, 5000) == 5000
    with piped(HERE / "deaths.mjs", logger, "process.exit", "5000") as (child, read):
        assert process.wait(child, 20)  # it does not wait for a reader
        assert PIPE - 4096 < len(drained(read)) <= PIPE


def test_to_a_pipe_pino_waits_for_the_reader_and_keeps_all():
    with piped(HERE / "deaths.mjs", "pino sync", "SIGKILL", "5000") as (child, read):
        first = os.read(read, 1)  # it is at it; the pipe is full a moment later
        data = first + drained(read)
        assert process.wait(child, 20)
    assert data.count(b"\n") == 5000


STUCK = """
import { createServer } from 'node:http';
import { loggers } from '%s';
const { info, ready } = loggers['%s'](1);
await ready;
const server = createServer((req, res) => {
  info({ note: 'x'.repeat(1000) }, 'request');
  res.end('ok');
});
server.listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}/`));
"""


@pytest.mark.claim("observability/console-log-is-synchronous", verdict="depends")
@pytest.mark.parametrize(
    ("logger", "answered"), [("pino sync", False), ("console.log", True)]
)
def test_a_log_collector_that_stops_reading_stops_whoever_writes_synchronously(
    logger, answered, tmp_path
):
    file = tmp_path / "server.mjs"
    file.write_text(STUCK % ((HERE / "sinks.mjs").as_uri(), logger))
    with piped(file) as (_, read):
        url = os.read(read, 200).decode().split()[-1]
        # long for an answer on a busy machine, short for one that never comes
        with httpx.Client(base_url=url, timeout=10) as client:
            count = 0
            with contextlib.suppress(httpx.ReadTimeout):
                for _ in range(150):  # kilobytes: more than twice the pipe
                    client.get("/")
                    count += 1
    assert (count == 150) if answered else (30 < count < 70), count


FLUSH = """
import { once } from 'node:events';
import { createServer } from 'node:http';
import { endOn, flushWinston } from './observability/%s';
import { loggers } from './observability/sinks.mjs';
const { info, logger, ready } = loggers['%s']('%s');
await ready;
const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
endOn('SIGTERM', { logger, server, flush: %s });
for (let n = 0; n < 1000; n += 1) info({ n }, 'order placed');
process.kill(process.pid, 'SIGTERM');
"""


@pytest.mark.parametrize("version", ["flush.naive", "flush"])
def test_the_last_lines_are_flushed_at_sigterm_or_lost(version, tmp_path):
    file = tmp_path / "log"
    flush = "flushWinston"
    source = FLUSH % (f"{version}.mjs", "winston file", file, flush)
    if version == "flush.naive":
        source = source.replace(", flushWinston", "").replace(", flush: flushWinston", "")
    node.printed(source)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    if version == "flush.naive":
        assert len(lines) < 1000
    else:
        assert len(lines) == 1001 and lines[-1]["message"] == "stopped"


def test_pino_is_flushed_by_an_exit_that_is_asked_for(tmp_path):
    file = tmp_path / "log"
    node.printed(FLUSH % ("flush.mjs", "pino async", file, "undefined"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 1001 and lines[-1]["msg"] == "stopped"


@pytest.mark.claim("observability/flush-calls-back-when-written", verdict="wrong")
def test_pinos_flush_calls_back_before_the_lines_are_written(tmp_path):
    file = tmp_path / "log"
    done = node.evaluate(
        f"""
    import {{ promisify }} from 'node:util';
    import {{ loggers }} from './observability/sinks.mjs';
    const {{ info, logger, ready }} = loggers['pino as it comes']('{file}');
    await ready;
    for (let n = 0; n < 1000; n += 1) info({{ n }}, 'order placed');
    await promisify(logger.flush).call(logger);
    process.kill(process.pid, 'SIGKILL');
    """,
        code=None,
    )
    assert done.signal == 9
    assert file.read_text().count("\n") <= 1


def test_a_service_that_cannot_flush_ends_after_its_patience():
    done = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { endOn } from './observability/flush.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const flush = () => new Promise((resolve) => setTimeout(resolve, 60_000));
    endOn('SIGTERM', { logger: console, server, flush, patience: 50 });
    process.kill(process.pid, 'SIGTERM');
    """,
        code=1,
    )
    assert done.stdout == "stopped\n"


def test_a_service_whose_flush_fails_says_so_and_ends_with_1():
    done = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { endOn } from './observability/flush.mjs';
    import { createPino } from './observability/loggers.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const flush = async () => { throw new Error('collector 4242 is away'); };
    endOn('SIGTERM', { logger: createPino(), server, flush });
    process.kill(process.pid, 'SIGTERM');
    """,
        code=1,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["msg"] for line in told] == ["stopped", "not all was flushed"]
    assert done.stderr == "" and "4242" not in done.stdout


ENDLESS = """
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { createPino } from './observability/loggers.mjs';
import { endOn } from './observability/flush.mjs';
const logger = createPino();
const server = createServer((req, res) => {
  res.once('close', () => logger.info({ url: req.url }, 'request'));
  res.write('data: 1\\n\\n');
  if (req.url === '/soon') setTimeout(() => res.end(), 100);
});
const flush = () => console.log('flushed');
endOn('SIGTERM', { logger, server, flush, drainMs: 500 });
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
for (const path of ['/soon', '/stream']) {
  const request = get({ host: '127.0.0.1', port, path });
  request.on('error', () => {}); // it is on this side as well
  const [answer] = await once(request, 'response');
  answer.on('error', () => {}).resume();
}
process.kill(process.pid, 'SIGTERM');
process.kill(process.pid, 'SIGTERM');
"""


def test_a_stream_that_never_ends_is_cut_and_its_line_is_flushed_all_the_same():
    printed = lines_of(ENDLESS)
    assert printed.pop() == "flushed"
    lines = [json.loads(line) for line in printed]
    told = [line.get("url", line["msg"]) for line in lines]
    assert told == ["/soon", "/stream", "stopped"]


def test_the_throughput_program_brings_every_line_to_the_disk():
    printed = node.run(f"{TOPIC}/throughput.mjs", "1000", "1", timeout=60).stdout
    runs = [json.loads(line) for line in printed.splitlines()]
    assert len(runs) == 7
    for run in runs:
        assert run["bytes"] > 100_000 and 0 < run["called"] < run["durable"]
