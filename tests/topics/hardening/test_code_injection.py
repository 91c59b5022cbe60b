"""Programs, templates, prototypes, and what the permission model stops."""

import json
import os
import socket
import subprocess
import textwrap
from pathlib import Path

import psutil
import pytest

from lab.run import locks, node, process

from .shared import ACCOUNTS, LEAKY, javascript, matrix, secret

SOURCE = node.label(Path(__file__))

HALF = """
import express from 'express';
import {{ execFile }} from 'node:child_process';
export function createApp() {{
  const app = express();
  app.get('/archive', (req, res, next) =>
    execFile('tar', ['-cf', '-', req.query.name, 'terms.txt'],
      {{ cwd: {folder!r} }}, (error, out) => (error ? next(error) : res.send(out))));
  return app;
}}
"""

WHOLE = """
import {{ createApp as create }} from '@/hardening/{snippet}';
export function createApp() {{ return create({{ folder: {folder!r} }}); }}
"""


@pytest.mark.claim("hardening/exec-file-is-enough", verdict="depends")
def test_a_file_name_runs_a_command_with_a_shell_and_also_without_one(app, shop):
    by_shell = '"; touch shell; echo "'
    by_option = "--use-compress-program=touch option"
    honest = "ord_1.pdf"

    def ran(source: str) -> tuple[set[str], list[int]]:
        with app(source) as server, server.client() as client:
            answers = [
                client.get("/archive", params={"name": name})
                for name in (honest, by_shell, by_option)
            ]
        assert b"ord_1.pdf" in answers[0].content
        found = {name for name in ("shell", "option") if (shop / name).exists()}
        for name in found:
            (shop / name).unlink()
        return found, [answer.status_code for answer in answers]

    naive, half, hardened = (
        ran(source.format(folder=str(shop), snippet=name))
        for source, name in (
            (WHOLE, "archive.naive.mjs"), (HALF, ""), (WHOLE, "archive.mjs")
        )
    )  # fmt: skip
    assert naive[0] == {"shell", "option"}
    assert half[0] == {"option"}
    assert hardened == (set(), [200, 400, 400])


def test_after_two_hyphens_a_name_is_no_option_for_the_program(shop):
    """The rule about names is off here; `--` has to hold alone."""
    for hyphens, ran in ((("--",), False), ((), True)):
        name = "--use-compress-program=touch option"
        subprocess.run(
            ["tar", "-cf", "-", *hyphens, name, "terms.txt"],
            cwd=shop, capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        assert (shop / "option").exists() is ran


RUN = """
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { programsOf } from '@/hardening/program.mjs';
const served = Promise.withResolvers();
// `serve` answers one request, and what becomes of it is what `served` becomes
async function server(serve) {
  const server = createServer((req, res) =>
    serve(res).then((out) => res.end(out), (error) => error).then(served.resolve));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(server.address().port, '127.0.0.1').on('error', () => {});
  client.write('GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');
  return client;
}
const res = { once() {} };
const say = (what) => {
  console.log(JSON.stringify(what));
  process.exit();
};
"""


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("leave", ["destroy", "resetAndDestroy"])
def test_a_program_is_ended_when_its_client_is_gone_and_nobody_is_told_of_an_error(
    leave, tmp_path
):
    said = javascript(
        RUN
        + f"const [leave, folder] = ['{leave}', '{tmp_path}'];"
        + """
    import { watch, existsSync, readFileSync } from 'node:fs';
    const run = programsOf({ env: { PATH: process.env.PATH }, ms: 600_000 });
    const place = `${folder}/pid`;
    const script = `echo $$ > ${place}.new; mv ${place}.new ${place}; exec sleep 600`;
    const begun = new Promise((done) =>
      watch(folder, () => existsSync(place) && done()));
    const client = await server((res) => run(res, 'sh', ['-c', script]));
    await begun;
    client[leave]();
    const { status } = await served.promise;
    say({ status, pid: Number(readFileSync(place)) });
    """
    )
    assert said["status"] == 400
    process.until(lambda: ended(said["pid"]))


def test_no_program_begins_for_a_client_that_has_gone_already(tmp_path):
    said = javascript(
        RUN
        + """
    const run = programsOf({ env: { PATH: process.env.PATH }, ms: 600_000 });
    const client = await server(async (res) => {
      client.destroy();
      await once(res, 'close'); // meanwhile the name was looked up, say
      return run(res, 'sleep', ['600']);
    });
    say((await served.promise).status);
    """
    )
    assert said == 400


def test_a_program_that_ignores_a_polite_end_is_killed_when_its_time_is_over():
    said = javascript(
        RUN
        + """
    const run = programsOf({ env: { PATH: process.env.PATH }, ms: 500 });
    const stays = 'trap "" TERM; echo begun; while :; do sleep 1; done';
    const error = await run(res, 'sh', ['-c', stays]).catch((error) => error);
    say([error.killed, error.signal]);
    """
    )
    assert said == [True, "SIGKILL"]


def test_few_programs_run_at_once_and_each_end_gives_its_place_back():
    said = javascript(
        RUN
        + """
    const run = programsOf({ env: { PATH: process.env.PATH }, atOnce: 2 });
    const busy = [];
    const ways = [['true', []], ['false', []], ['no-such-program', []]];
    for (const way of ways) {
      const all = [way, way, way].map((one) => run(res, ...one));
      const ended = await Promise.allSettled(all);
      const { reason } = ended.at(-1);
      busy.push([reason.status, reason.headers['Retry-After']]);
    }
    for (let i = 0; i < 3; i += 1) await run(res, 'true', ['\\0']).catch(() => 0);
    const four = programsOf({ env: { PATH: process.env.PATH } });
    const five = await Promise.allSettled([1, 2, 3, 4, 5].map(() => four(res, 'true', [])));
    say([busy, String(await run(res, 'echo', ['on'])), five.map((one) => one.status)]);
    """
    )
    assert said == [[[503, "1"]] * 3, "on\n", ["fulfilled"] * 4 + ["rejected"]]


def test_a_program_prints_ten_megabytes_at_most_and_has_only_the_environment_it_is_given():
    said = javascript(
        RUN
        + """
    process.env.CANARY = 'found';
    const run = programsOf({ env: { PATH: process.env.PATH, OWN: 'own' } });
    const zeros = (n) => run(res, 'head', ['-c', String(n), '/dev/zero']);
    const much = await zeros(10_000_001).catch((error) => error.code);
    const env = String(await run(res, 'env', []));
    const own = env.split('\\n').map((line) => line.split('=')[0]);
    const none = String(await programsOf()(res, '/usr/bin/env', []));
    const shell = String(await run(res, 'echo', ['$OWN; exit']));
    say({ much, enough: (await zeros(10_000_000)).length, own, shell, none });
    """
    )
    print(said)
    assert said["much"] == "ERR_CHILD_PROCESS_STDIO_MAXBUFFER"
    assert said["enough"] == 10_000_000
    # Node itself adds the last one, where coverage is recorded
    assert set(said["own"]) - {"", "NODE_V8_COVERAGE"} == {"PATH", "OWN"}
    assert said["shell"] == "$OWN; exit\n"
    assert "CANARY" not in said["none"] and "PATH" not in said["none"]


def test_a_file_that_is_not_there_is_no_archive_and_no_error_of_ours(app, shop):
    (shop / "outside").symlink_to("/etc/hostname")
    with app(WHOLE.format(snippet="archive.mjs", folder=str(shop))) as server:
        with server.client() as client:
            for name in ("gone.pdf", "outside", "."):
                assert client.get(f"/archive?name={name}").status_code in (400, 404)
            for query in ("name=a&name=b", "name[]=a", "", "name="):
                assert client.get(f"/archive?{query}").status_code == 400
            for name in (".hidden", "a" * 81, "a;b", "a/b", "a\nb", "a\n", "-x y"):
                asked = client.get("/archive", params={"name": name})
                assert asked.status_code == 400, name
        assert "Error" not in server.output()


def test_what_is_in_our_environment_is_no_option_of_the_program(app, shop):
    ran = "--checkpoint=1 --checkpoint-action=exec=touch\\ inherited"
    source = WHOLE.format(snippet="archive.mjs", folder=str(shop))
    with app(source, env={"TAR_OPTIONS": ran}) as server, server.client() as client:
        assert client.get("/archive?name=ord_1.pdf").status_code == 200
    assert not (shop / "inherited").exists()
    tar = ["tar", "-cf", "-", "--", "terms.txt"]  # which would have obeyed
    subprocess.run(
        tar, cwd=shop, env=os.environ | {"TAR_OPTIONS": ran},
        capture_output=True, check=True, timeout=20,
    )  # fmt: skip
    assert (shop / "inherited").exists()


def test_what_a_printer_says_is_text_and_no_page_of_ours(app):
    source = LEAKY.format(snippet="leaks.mjs")
    with app(source, env={"SIGNING_SECRET": secret()}) as server:
        with server.client() as client:
            assert client.post("/labels").headers["Content-Type"].startswith("text/plain")


@pytest.mark.claim("hardening/vm-is-a-sandbox", verdict="wrong")
def test_vm_has_our_process_unless_code_from_strings_is_off_for_all():
    lines = node.run("hardening/escape.mjs").stdout.splitlines()
    said = dict(line.split(": ", 1) for line in lines)
    assert said == {
        "an empty context": "has our process",
        "no code from strings in it": "has our process",
        "a global without prototype": "process is not defined",
        "the same, and a function lent to it": "has our process",
        "new Function": "has our process",
        "setTimeout(string)": "ERR_INVALID_ARG_TYPE",
    }
    flag = "--disallow-code-generation-from-strings"
    without = node.run("hardening/escape.mjs", flags=(flag,)).stdout
    assert "has our process" not in without


@pytest.mark.claim("hardening/vm-is-a-sandbox", verdict="wrong")
@pytest.mark.parametrize(
    "flag", ["--disallow-code-generation-from-strings", "--disable-proto=delete"]
)
def test_code_in_a_context_writes_to_our_prototypes_whatever_the_flag(flag, tmp_path):
    path = tmp_path / "context.mjs"
    path.write_text("""
    import vm from 'node:vm';
    vm.runInNewContext('this.constructor.prototype.isAdmin = true');
    console.log({}.isAdmin);
    """)
    assert node.run(path, flags=(flag,)).stdout == "true\n"


def test_the_flag_against_code_from_strings_does_not_stop_vm_or_import():
    source = """
    import vm from 'node:vm';
    const said = [];
    for (const way of [
      () => eval('1'), () => new Function('return 1')(),
      () => vm.runInThisContext('1'), () => new vm.Script('1').runInThisContext(),
      async () => (await import('data:text/javascript,export default 1')).default,
    ]) said.push(await Promise.resolve().then(way).catch(() => 'refused'));
    console.log(JSON.stringify(said));
    """
    path = node.SNIPPETS
    done = subprocess.run(
        [node.binary(), "--disallow-code-generation-from-strings",
         "--input-type=module", "--eval", textwrap.dedent(source)],
        cwd=path, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["refused", "refused", 1, 1, 1]


POLLUTION = {
    "__proto__": {"__proto__": {"isAdmin": True}},
    "constructor": {"constructor": {"prototype": {"isAdmin": True}}},
}


@pytest.mark.claim("hardening/disable-proto", verdict="wrong")
@pytest.mark.parametrize("payload", POLLUTION)
@pytest.mark.parametrize("flag", ["", "--disable-proto=delete"])
def test_settings_make_everybody_an_admin_and_the_flag_stops_one_of_two(
    app, payload, flag
):
    flags = (flag,) if flag else ()
    admins = []
    for snippet in ("settings.naive.mjs", "settings.mjs"):
        source = ACCOUNTS.format(snippet=snippet)
        with app(source, flags=flags) as server, server.client() as client:
            bob = {"user": "bob"}
            assert client.get("/admin/orders", headers=bob).status_code == 403
            client.patch("/settings", json=POLLUTION[payload], headers=bob)
            eve = client.get("/admin/orders", headers={"user": "eve"})
            admins.append(eve.status_code == 200)
            theme = client.patch("/settings", json={"theme": "dark"}, headers=bob)
            assert theme.status_code == 204 or admins[-1]
            if snippet == "settings.mjs":
                root = client.get("/admin/orders", headers={"user": "root"})
                assert root.status_code == 200
    assert admins == [payload == "constructor" or not flag, False]


def test_settings_are_of_somebody_and_a_stranger_has_not_even_their_body_read(app):
    source = ACCOUNTS.format(snippet="settings.mjs")
    with app(source) as server, server.client() as client:
        large = {"theme": "x" * 5000}
        for headers, body, code in (
            ({}, {"theme": "dark"}, 401),
            ({}, large, 401),
            ({"user": "bob"}, {"theme": "dark"}, 204),
            ({"user": "bob"}, large, 413),
        ):
            answer = client.patch("/settings", json=body, headers=headers)
            assert answer.status_code == code
        assert client.get("/admin/orders").status_code == 401
        for body in ({"isAdmin": True}, {"theme": "red"}, {"newsletter": "yes"}, []):
            answer = client.patch("/settings", json=body, headers={"user": "bob"})
            assert answer.status_code == 422


def test_only_true_is_an_admin(app):
    for said, code in (("true", 200), ("'yes'", 403), ("1", 403), ("{}", 403)):
        source = ACCOUNTS.format(snippet="settings.mjs").replace("id === 'root'", said)
        with app(source) as server, server.client() as client:
            headers = {"user": "eve"}
            assert client.get("/admin/orders", headers=headers).status_code == code


# --- the permission model -----------------------------------------------------------


@pytest.mark.records
@pytest.mark.claim("hardening/permission-model-sandboxes", verdict="wrong")
def test_what_the_permission_model_stops_and_what_it_does_not(tmp_path):
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "outside" / "secret"
    secret.write_text("123456789")
    (tmp_path / "inside" / "link").symlink_to("../outside/secret")
    table = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        # what is shown runs here, too, with its lines counted
        node.run("hardening/permission.mjs", str(tmp_path), port, env={"CANARY": "1"})
        script = node.resolve("hardening/permission.mjs")
        allowed = [script, tmp_path / "inside"]
        flags = ["--permission", *(f"--allow-fs-read={path}" for path in allowed)]
        for title, given in {"without": [], "--permission": flags}.items():
            argv = [secret, node.binary(), *given, script, tmp_path, port]
            done = subprocess.run(
                ["sh", "-c", 'exec "$@" 3<"$0"', *argv],
                env=os.environ | {"CANARY": "1"},
                capture_output=True, text=True, timeout=20, check=True,
            )  # fmt: skip
            table[title] = json.loads(done.stdout)
    print(json.dumps(table, indent=1))
    assert set(table["without"].values()) == {"yes"}
    may = {name for name, word in table["--permission"].items() if word == "yes"}
    assert may == {
        "read through a link inside", "read an open descriptor", "read process.env",
        "signal another process", "connect to another host",
    }  # fmt: skip
    assert set(table["--permission"].values()) == {"yes", "ERR_ACCESS_DENIED"}
    words = {"yes": "possible", "ERR_ACCESS_DENIED": "refused"}
    table = {
        title: {row: words[word] for row, word in column.items()}
        for title, column in table.items()
    }
    matrix(
        "hardening/permission", table, "possible",
        "Ten things a process may do, without and with --permission. With it five are "
        "refused: reading and writing files outside, programs, workers, /proc. Possible "
        "stay: a link inside the folder, an open descriptor, process.env, signals, and "
        "the network.",
        source=SOURCE,
    )  # fmt: skip


def test_this_node_has_no_permission_for_the_network():
    """`--allow-net` came with Node 25; under it the page must be written anew."""
    done = subprocess.run(
        [node.binary(), "--permission", "--allow-net", "--eval", ""],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    if locks.versions()["node"].startswith("24."):
        assert done.returncode == 9
        assert "bad option: --allow-net" in done.stderr
