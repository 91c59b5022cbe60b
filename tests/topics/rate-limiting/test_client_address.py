"""Which address is counted: proxies, IPv6, none at all."""

import contextlib
import json

import pytest

from lab.run import node, services

from .shared import ATTACKER, OTHER, PROXY, TOPIC, client, served, workers

# --- which address ------------------------------------------------------------------

# setting -> served of 30 with a limit of 10, and another client's 5 after that:
# (directly, behind a proxy that appends, behind one that overwrites)
TRUST = {
    "false": [(10, 5), (10, 0), (10, 0)],
    json.dumps(PROXY): [(10, 5), (10, 5), (10, 5)],
    "1": [(30, 5), (10, 5), (10, 5)],
    "2": [(30, 5), (30, 5), (10, 5)],
    '"loopback"': [(30, 5), (30, 5), (10, 5)],
    "true": [(30, 5), (30, 5), (10, 5)],
}


@pytest.mark.claim("rate-limiting/trust-proxy-true", verdict="wrong")
@pytest.mark.parametrize("setting", TRUST)
def test_who_passes_a_limit_of_ten_by_what_is_trusted(setting):
    found = []
    for way in ("direct", "append", "overwrite"):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(workers(WORKERS="1", PROXIES=setting))
            url = server.url
            if way != "direct":
                url = stack.enter_context(services.proxy(url, forwarded=way)).url
            attacker = served(url, 30, ATTACKER, rotate=True)
            found.append((attacker, served(url, 5, OTHER)))
    assert found == TRUST[setting]


@pytest.mark.parametrize("kind", ["nginx", "node"])
def test_made_up_addresses_pass_the_naive_limiter_and_not_the_hardened_one(kind):
    if kind == "nginx" and (why := services.missing("nginx")):
        pytest.skip(why)
    answers = {}
    for snippet in ("proxy.naive.mjs", "proxy.mjs"):
        with node.serve(f"{TOPIC}/{snippet}") as server:
            with (
                services.proxy(server.url, kind=kind) as proxy,
                client(proxy.url, ATTACKER) as attacker,
                client(proxy.url, OTHER) as other,
            ):
                claimed = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(30)]
                codes = [attacker.get("/", headers=h).status_code for h in claimed]
                answers[snippet] = codes.count(200)
                assert other.get("/").json() == {"you": OTHER}
    assert answers == {"proxy.naive.mjs": 30, "proxy.mjs": 10}


def test_the_library_warns_of_trusting_everybody_once_and_lets_them_pass():
    with workers(WORKERS="1", PROXIES="true") as server:
        assert served(server.url, 20, rotate=True) == 20
        assert server.output().count("code: 'ERR_ERL_PERMISSIVE_TRUST_PROXY'") == 1
    with workers(WORKERS="1", PROXIES="1") as server:
        assert served(server.url, 20, rotate=True) == 20
        assert "ERR_ERL" not in server.output()  # one proxy too many: not a word


# --- no address -----------------------------------------------------------------------

UNIX_SOCKET = """
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { createApp as api } from './rate-limiting/api.mjs';
import { createApp as login } from './rate-limiting/login.mjs';
const [path] = %s;
async function ask(app, count, { from, ...options }) {
  const server = createServer(app).listen(path);
  await once(server, 'listening');
  const codes = [];
  for (let i = 0; i < count; i += 1) {
    const headers = { 'Content-Type': 'application/json' };
    if (from) headers['X-Forwarded-For'] = from(i);
    const asked = request({ socketPath: path, headers, agent: false, ...options });
    asked.end(options.method && JSON.stringify({ email: 'ann@shop.test', password: 'x' }));
    const [answer] = await once(asked, 'response');
    await once(answer.resume(), 'end');
    codes.push(answer.statusCode);
  }
  server.close();
  return codes.join(' ');
}
const products = { path: '/products' };
const guess = { path: '/login', method: 'POST' };
const check = async () => false;
"""


def over_a_unix_socket(tmp_path, text: str) -> list[str]:
    start = UNIX_SOCKET % json.dumps([str(tmp_path / "s")])
    return node.evaluate(start + text).stdout.splitlines()


def test_clients_without_an_address_share_a_counter_and_get_an_answer(tmp_path):
    seen = over_a_unix_socket(
        tmp_path,
        """
    console.log(await ask(api({ limit: 3 }), 5, products));
    console.log(await ask(login({ check }), 7, guess));
    """,
    )
    assert seen == ["200 200 200 429 429", "401 401 401 401 401 429 429"]


def test_a_proxy_on_a_unix_socket_is_trusted_by_its_having_no_address(tmp_path):
    seen = over_a_unix_socket(
        tmp_path,
        """
    const proxies = (address) => address === undefined;
    const own = (i) => `203.0.113.${i % 2}`;
    console.log(await ask(api({ limit: 2, proxies }), 6, { ...products, from: own }));
    const claims = (i) => `198.51.100.${i}, 203.0.113.7`; // the proxy's is the last
    console.log(await ask(api({ limit: 2, proxies }), 4, { ...products, from: claims }));
    """,
    )
    assert seen == ["200 200 200 200 429 429", "200 200 429 429"]


def test_who_hangs_up_before_the_limiter_is_counted_and_is_no_error():
    seen = node.evaluate(
        """
    import express from 'express';
    import { EventEmitter, once } from 'node:events';
    import { connect } from 'node:net';
    import { createApp } from './rate-limiting/api.mjs';
    const products = { list: async () => { console.log('listed'); return []; } };
    const app = express();
    const ended = new EventEmitter();
    app.use(async (req, res, next) => { // it awaits something, say a session
      if (req.query.gone) await once(req.socket, 'close');
      const { end } = res;
      res.end = (...args) => { ended.emit('answer'); return end.apply(res, args); };
      next();
    });
    app.use(createApp({ limit: 1, products }));
    app.use((error, req, res, next) => console.log(error.name));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    for (let i = 0; i < 3; i += 1) {
      const hasty = connect(port, '127.0.0.1');
      hasty.write('GET /products?gone=1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
      await once(server, 'request');
      const answered = once(ended, 'answer');
      hasty.destroy();
      await answered;
    }
    const answer = await fetch(`http://127.0.0.1:${port}/products`);
    console.log(answer.status); // an address of its own, and nothing was used of it
    server.close();
    server.closeAllConnections();
    """
    ).stdout
    assert seen.splitlines() == ["listed", "listed", "200"]
