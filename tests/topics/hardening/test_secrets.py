"""Where a secret turns up: environment, errors, logs, snapshots, dumps."""

import base64
import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from lab.run import node, process

from .shared import LEAKY, javascript, matrix, secret

SOURCE = node.label(Path(__file__))


PLACES = (
    "a child's environment", "/proc/PID/environ", "a diagnostic report", "the log",
    "an answer with status 500", "a heap snapshot", "the memory of the process",
)  # fmt: skip


def in_memory(pid: int, canary: bytes) -> bool:
    """Whether it stands in what a core dump would contain."""
    spans = re.findall(
        r"^(\w+)-(\w+) rw.*?(\[vvar\]|$)",
        Path(f"/proc/{pid}/maps").read_text(),
        re.MULTILINE,
    )
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for start, end, special in spans:
            if special:
                continue
            with contextlib.suppress(OSError, ValueError, OverflowError):
                memory.seek(int(start, 16))
                if canary in memory.read(int(end, 16) - int(start, 16)):
                    return True
    return False


def written(folder: Path, pattern: str, end: str) -> bytes:
    """A file that Node writes when it gets a signal, when it is complete."""
    found = []

    def complete() -> bool:
        found[:] = folder.glob(pattern)
        return bool(found) and found[0].read_text("utf-8", "replace").rstrip().endswith(
            end
        )

    process.until(complete)
    return found[0].read_bytes()


def leaks(app, folder: Path, canary: str, snippet: str, env, flags) -> dict[str, str]:
    folder.mkdir()
    flags = (
        *flags, "--report-on-signal", "--report-signal=SIGUSR2", "--report-compact",
        "--heapsnapshot-signal=SIGHUP", f"--diagnostic-dir={folder}", f"--report-directory={folder}",
    )  # fmt: skip
    source = LEAKY.format(snippet=snippet)
    with app(source, env=env, flags=flags) as server, server.client() as client:
        signed = client.get("/orders/ord_1/link").json()["signature"]
        assert re.fullmatch("[0-9a-f]{64}", signed)
        child = client.post("/labels").text
        assert "PATH=" in child
        failed = client.get("/carriers")
        assert failed.status_code == 500
        os.kill(server.pid, signal.SIGUSR2)
        report = written(folder, "report*.json", "}")
        os.kill(server.pid, signal.SIGHUP)
        heap = written(folder, "*.heapsnapshot", "]}")
        texts = [
            child.encode(), Path(f"/proc/{server.pid}/environ").read_bytes(), report,
            server.output().encode(), failed.content, heap,
        ]  # fmt: skip
        found = [canary.encode() in text for text in texts]
        found.append(in_memory(server.pid, canary.encode()))
    return {
        place: "found" if one else "not found"
        for place, one in zip(PLACES, found, strict=True)
    }


@pytest.mark.records
@pytest.mark.claim("hardening/environment-is-safe", verdict="wrong")
def test_where_a_planted_secret_turns_up(app, tmp_path):
    # the program text must not contain it, or it would be found everywhere
    canary = base64.b32encode(os.urandom(25)).decode()
    file = tmp_path / "secret"
    file.write_text(f"{canary}\n")
    dotenv = tmp_path / "shop.env"
    dotenv.write_text(f"SIGNING_SECRET={canary}\n")
    given = {"SIGNING_SECRET": canary}
    from_file = {"SIGNING_SECRET_FILE": str(file)}
    runs = {
        "environment,\nnaive": ("leaks.naive.mjs", given, ()),
        "--env-file,\nnaive": ("leaks.naive.mjs", {}, (f"--env-file={dotenv}",)),
        "environment,\nhardened": ("leaks.mjs", given, ()),
        "file,\nhardened": ("leaks.mjs", from_file, ()),
    }
    table = {
        name: leaks(app, tmp_path / str(i), canary, *run)
        for i, (name, run) in enumerate(runs.items())
    }
    print(json.dumps(table, indent=1))
    naive, dotted, cleared, filed = (
        {place for place, word in column.items() if word == "found"}
        for column in table.values()
    )
    assert naive == set(PLACES)
    assert dotted == set(PLACES) - {"/proc/PID/environ"}
    assert "/proc/PID/environ" in cleared
    assert not cleared & {PLACES[0], PLACES[2], PLACES[3], PLACES[4]}
    assert filed == {"the memory of the process"}
    matrix(
        "hardening/canary", table, "found",
        "Seven places where a secret was looked for. Out of the environment the naive "
        "version showed it in all seven; with --env-file in all but /proc/PID/environ. "
        "The hardened version showed it in /proc/PID/environ when it came by the "
        "environment, and from a file nowhere but in the memory of the process.",
        source=SOURCE,
    )  # fmt: skip


@pytest.mark.claim("hardening/environment-is-safe", verdict="wrong")
def test_a_variable_of_env_file_that_was_deleted_is_still_in_a_heap_snapshot(tmp_path):
    """Not so one that the environment or `process.loadEnvFile()` has brought."""
    canary = base64.b32encode(os.urandom(25)).decode()
    dotenv = tmp_path / "shop.env"
    dotenv.write_text(f"SIGNING_SECRET={canary}\n")
    program = tmp_path / "deleted.mjs"
    program.write_text("""
    import { writeHeapSnapshot } from 'node:v8';
    const [file, dotenv] = process.argv.slice(2);
    if (dotenv) process.loadEnvFile(dotenv);
    const had = process.env.SIGNING_SECRET.length;
    delete process.env.SIGNING_SECRET;
    const report = JSON.stringify(process.report.getReport());
    writeHeapSnapshot(file);
    console.log(JSON.stringify({ had, report }));
    """)
    ways = {
        "--env-file": ([], {"flags": (f"--env-file={dotenv}",)}),
        "loadEnvFile": ([str(dotenv)], {}),
        "environment": ([], {"env": {"SIGNING_SECRET": canary}}),
    }
    found = set()
    for way, (args, options) in ways.items():
        heap = tmp_path / "heap"
        said = json.loads(node.run(program, str(heap), *args, **options).stdout)
        assert said["had"] == len(canary)
        assert canary not in said["report"]
        if canary.encode() in heap.read_bytes():
            found.add(way)
    assert found == {"--env-file"}


def test_a_printer_that_never_ends_is_ended_after_five_seconds(app):
    source = """
    import children from 'node:child_process';
    import { syncBuiltinESMExports } from 'node:module';
    const { execFile } = children;
    children.execFile = (file, args, { timeout = 0, ...own }, done) => {
      console.log(`may take ${timeout}`);
      return execFile(file, args, { ...own, timeout: timeout / 50 }, done);
    };
    syncBuiltinESMExports();
    const { createApp: create } = await import('@/hardening/leaks.mjs');
    export function createApp() {
      return create({ printer: 'cat' }); // waits for input that never comes
    }
    """
    with app(source, env={"SIGNING_SECRET": secret()}) as server:
        with server.client(timeout=4) as client:
            assert client.post("/labels").status_code == 500
        assert "may take 5000" in server.output()


def test_missing_and_short_secrets_are_named_at_start_and_never_shown():
    said = javascript("""
    import { secretsFrom } from '@/hardening/secrets.mjs';
    const env = { A: 'too-short-canary', B: 'abcdefgh'.repeat(4), B_PREVIOUS: 'short' };
    let message;
    try { secretsFrom({ names: ['A', 'B', 'C'], env }); }
    catch (error) { message = error.message; }
    console.log(JSON.stringify(message));
    """)
    names = [line.partition(":")[0] for line in said.splitlines()[1:]]
    assert names == ["A", "B_PREVIOUS", "C"]
    assert "canary" not in said


def test_blanks_and_placeholders_are_no_secrets():
    said = javascript("""
    import { secretsFrom } from '@/hardening/secrets.mjs';
    const taken = [' '.repeat(40), '\\t \\n'.repeat(20), 'x'.repeat(64), 'changeme'.repeat(8),
      '0'.repeat(64), 'abcdefgh'.repeat(4).slice(1)].filter((K) => {
      try { return secretsFrom({ names: ['K'], env: { K } }); } catch { return false; }
    });
    console.log(JSON.stringify(taken));
    """)
    assert said == []


def test_a_secret_where_its_files_path_is_meant_is_not_in_the_error():
    said = javascript("""
    import { secretsFrom } from '@/hardening/secrets.mjs';
    const env = { A_FILE: 'canary-instead-of-a-path', B: 'short', B_PREVIOUS_FILE: '/',
      C: 'the-other-canary' };
    let message;
    try { secretsFrom({ names: ['A', 'B', 'C'], env }); }
    catch (error) { message = error.message; }
    console.log(JSON.stringify([message, Object.keys(env)]));
    """)
    message, left = said
    assert "canary" not in message
    for one in ("A_FILE: ENOENT", "B_PREVIOUS_FILE: EISDIR", "B: 32", "C: 32"):
        assert one in message
    assert left == ["A_FILE", "B_PREVIOUS_FILE"]


def test_a_rotated_secret_still_verifies_until_it_is_taken_out():
    said = javascript("""
    import { secretsFrom, sign, verify } from '@/hardening/secrets.mjs';
    const [old, fresh] = ['old-', 'new-'].map((one) => one + 'abcdefgh'.repeat(4));
    const of = (env) => secretsFrom({ names: ['K'], env }).K;
    const before = sign(of({ K: old }), 'ord_1');
    const during = of({ K: fresh, K_PREVIOUS: old });
    const after = of({ K: fresh });
    console.log(JSON.stringify({
      during: verify(during, 'ord_1', before),
      fresh: verify(after, 'ord_1', sign(during, 'ord_1')),
      after: verify(after, 'ord_1', before),
      other: verify(during, 'ord_2', before),
      nonsense: ['é'.repeat(64), undefined, [sign(during, 'ord_1')]].some(
        (one) => verify(during, 'ord_1', one)),
    }));
    """)
    assert said == {
        "during": True, "fresh": True, "after": False, "other": False, "nonsense": False
    }  # fmt: skip


def test_what_was_read_is_wiped_and_the_keys_cannot_be_replaced():
    said = javascript("""
    import { secretsFrom } from '@/hardening/secrets.mjs';
    const read = Buffer.from('abcdefgh'.repeat(4) + '\\n');
    const keys = secretsFrom({ names: ['K'], env: { K_FILE: 'k' }, read: () => read });
    console.log(JSON.stringify([read.every((byte) => byte === 0), Object.isFrozen(keys)]));
    """)
    assert said == [True, True]


def test_how_a_files_line_ends_is_no_part_of_its_key():
    said = javascript("""
    import { secretsFrom, sign } from '@/hardening/secrets.mjs';
    const of = (text) => sign(secretsFrom({
      names: ['K'], env: { K_FILE: 'k' }, read: () => Buffer.from(text) }).K, 'a');
    const key = 'abcdefgh'.repeat(5);
    const all = ['', '\\n', '\\r\\n'].map((end) => of(key + end));
    console.log(JSON.stringify([new Set(all).size, all[0] === of(`${key}x`)]));
    """)
    assert said == [1, False]
