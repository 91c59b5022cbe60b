"""Requests that a client chooses: SSRF, redirects, DNS, time and size."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.run import node

from .shared import javascript, matrix

SOURCE = node.label(Path(__file__))

# --- outbound requests --------------------------------------------------------------

FETCHED = """
import { createServer } from 'node:http';
import { once } from 'node:events';
import { BlockList, isIP } from 'node:net';
import { Agent, fetch as undiciFetch } from 'undici';
import { fetchers } from '@/hardening/outbound.naive.mjs';
import { notPublic, outboundOf } from '@/hardening/outbound.mjs';

const open = [];
async function serve(address, port, handler) {
  const server = createServer(handler).listen(port, address);
  await once(server, 'listening');
  open.push(server);
  return server.address().port;
}
const metadata = (req, res) => res.end('CREDENTIALS');
const inside = await serve('127.0.0.1', 0, metadata);
const six = await serve('::1', inside, metadata).then(() => true, () => false);
const partner = await serve('127.0.0.3', 0, (req, res) => {
  if (req.url === '/moved') res.writeHead(302, { location: `http://127.0.0.1:${inside}/` });
  if (req.url === '/big') res.write('x'.repeat(300_000));
  if (req.url !== '/slow') res.end('rates');
});

// names as an attacker's server may answer them: `rebind` has another answer each time
let asked = 0;
const zone = {
  localhost: () => '127.0.0.1', 'inside.test': () => '127.0.0.1',
  'partner.test': () => '127.0.0.3',
  'rebind.test': () => (asked++ % 2 ? '127.0.0.1' : '127.0.0.3'),
};
const resolve = (host) => (isIP(host) ? host : zone[host]?.());
const resolveAll = async (host) => [{ address: resolve(host), family: 4 }];
// 127.0.0.3 plays the public internet
const forbidden = (address) => address !== '127.0.0.3' && notPublic(address);
const agent = new Agent({ connect: { lookup: (host, options, done) =>
  done(null, [{ address: resolve(host), family: 4 }]) } });
const fetch = async (url) => (await undiciFetch(url, { dispatcher: agent })).text();
"""

SPELLINGS = {
    "127.0.0.1": "http://127.0.0.1:{inside}/",
    "localhost": "http://localhost:{inside}/",
    "decimal": "http://2130706433:{inside}/",
    "hexadecimal": "http://0x7f000001:{inside}/",
    "octal": "http://0177.0.0.1:{inside}/",
    "two parts": "http://127.1:{inside}/",
    "full-width digits": "http://\uff11\uff12\uff17.0.0.1:{inside}/",
    "0.0.0.0": "http://0.0.0.0:{inside}/",
    "[::1]": "http://[::1]:{inside}/",
    "[::]": "http://[::]:{inside}/",
    "[::ffff:127.0.0.1]": "http://[::ffff:127.0.0.1]:{inside}/",
    "a name": "http://inside.test:{inside}/",
    "a redirect": "http://partner.test:{partner}/moved",
    "rebinding": "http://rebind.test:{inside}/",
}


@pytest.mark.records
@pytest.mark.claim("hardening/check-the-host", verdict="wrong")
def test_how_the_own_machine_is_reached_past_four_checks_of_a_url():
    said = javascript(
        FETCHED
        + f"const spellings = {json.dumps(SPELLINGS)};"
        + """
    // the list lets all through: worst case
    const any = Object.assign([], { includes: () => true });
    const get = outboundOf({
      hosts: any, protocols: ['http:'], resolve: resolveAll, forbidden });
    const ways = {
      ...fetchers({ resolve: async (host) => resolve(host), forbidden, fetch }),
      'checked on connecting': async (url) => String(await get(url)),
    };
    const table = {};
    for (const [way, get] of Object.entries(ways)) {
      table[way] = {};
      for (const [name, spelt] of Object.entries(spellings)) {
        const url = spelt.replace('{inside}', inside).replace('{partner}', partner);
        asked = 0;
        // twice: an attacker whose name has two answers asks again
        const got = [await get(url).catch(() => ''), await get(url).catch(() => '')];
        table[way][name] = got.includes('CREDENTIALS') ? 'reached' : 'held';
      }
      table[way].honest = await get(`http://partner.test:${partner}/`);
    }
    asked = 1; // the second answer of the rebinding name
    const second = await get(`http://rebind.test:${inside}/`).catch((e) => e.message);
    console.log(JSON.stringify({ six, table, second }));
    for (const one of open) { one.close(); one.closeAllConnections(); }
    await agent.destroy();
    process.exit();
    """
    )
    table = said["table"]
    print(json.dumps(table, indent=1))
    if not said["six"]:
        pytest.skip("no IPv6 on the loopback interface")
    assert said["second"] == "The address is not allowed"
    assert {column.pop("honest") for column in table.values()} == {"rates"}
    reached = {
        way: {name for name, word in column.items() if word == "reached"}
        for way, column in table.items()
    }
    assert reached["checked on connecting"] == set()
    assert reached["address looked up first"] == {"a redirect", "rebinding"}
    assert {"[::]", "0.0.0.0", "a name"} < reached["host name looked at"]
    assert "decimal" not in reached["host name looked at"]
    assert [len(names) for names in reached.values()] == [11, 7, 2, 0]
    assert {"decimal", "hexadecimal", "octal"} < reached["text looked at"]
    short = {way.replace(" looked", "\nlooked").replace(" on", "\non"): column
             for way, column in table.items()}  # fmt: skip
    matrix(
        "hardening/outbound", short, "reached",
        "Fourteen ways to ask for the machine itself against four checks. A look at the "
        f"text let {len(reached['text looked at'])} through, one at the parsed host name "
        f"{len(reached['host name looked at'])}, looking the address up first two: the "
        "redirect and the name that changes its address. Checked on connecting: none.",
        source=SOURCE,
    )  # fmt: skip


def test_outbound_holds_list_protocol_port_size_time_and_redirects():
    said = javascript(
        FETCHED
        + """
    const stop = new AbortController();
    const options = { resolve: resolveAll, forbidden, signal: stop.signal,
      hosts: [`partner.test:${partner}`], bytes: 100_000, ms: 20_000 };
    const get = outboundOf({ ...options, protocols: ['http:'] });
    const hasty = outboundOf({ ...options, protocols: ['http:'], ms: 300 });
    const tls = outboundOf({ hosts: ['partner.test:443'], resolve: resolveAll, forbidden });
    const at = (path) => `http://partner.test:${partner}${path}`;
    const tries = {
      honest: () => get(at('/')),
      redirect: () => get(at('/moved')),
      big: () => get(at('/big')),
      slow: () => hasty(at('/slow')),
      port: () => get(`http://partner.test:${inside}/`),
      name: () => get(`http://other.test:${partner}/`),
      literal: () => get(`http://127.0.0.3:${partner}/`),
      user: () => get(at('/').replace('//', '//a@')),
      password: () => get(at('/').replace('//', '//:b@')),
      six: () => outboundOf({ ...options, hosts: [`[::1]:${partner}`],
        protocols: ['http:'] })(`http://[::1]:${partner}/`),
      mixedAnswer: () => outboundOf({ ...options, hosts: ['two.test:80'],
        protocols: ['http:'], resolve: async () => ['127.0.0.3', '10.0.0.1'].map(
          (address) => ({ address, family: 4 })) })('http://two.test/'),
      protocol: () => tls(at('/')),
      file: () => get('file:///etc/passwd'),
      tlsOnly: () => tls('https://partner.test/').then(String, (e) => e.code),
      unknown: () => outboundOf({ ...options, hosts: ['gone.test:80'],
        protocols: ['http:'], resolve: async () => [] })('http://gone.test/'),
    };
    const answers = {};
    for (const [name, one] of Object.entries(tries))
      answers[name] = await one().then(String, (error) => error.message);
    stop.abort();
    answers.stopped = await get(at('/')).then(String, () => 'refused');
    const all = outboundOf({ hosts: ['localhost:80'], protocols: ['http:'] });
    answers.default = await all('http://localhost/').then(String, (e) => e.message);
    answers.public = ['8.8.8.8', '2606:4700::1111'].map(notPublic);
    answers.special = ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::a00:1', '2002:a00:1::',
      'fe80::1', 'fd00::1', '169.254.169.254', '100.100.100.200', 'nonsense'].map(notPublic);
    const one = new BlockList();
    one.addSubnet('::', 3, 'ipv6');
    answers.mixed = one.check('8.8.8.8');
    console.log(JSON.stringify(answers));
    for (const one of open) { one.close(); one.closeAllConnections(); }
    await agent.destroy();
    process.exit();
    """
    )
    print(said)
    assert said["honest"] == "rates"
    assert said["redirect"] == "The partner answered 302"
    assert "size" in said["big"]
    assert "timeout" in said["slow"]
    for name in ("port", "name", "literal"):
        assert said[name] == "The host is not allowed"
    assert said["six"] == said["mixedAnswer"] == "The address is not allowed"
    for name in ("user", "password", "protocol", "file"):
        assert said[name] == "The URL is not allowed"
    assert said["tlsOnly"] == "ECONNREFUSED"
    assert said["unknown"] == said["default"] == "The address is not allowed"
    assert said["stopped"] == "refused"
    assert not any(said["public"])
    assert all(said["special"])
    assert said["mixed"]  # why there are two lists


def slow_host() -> tuple[socket.socket, socket.socket]:
    """A listener on 127.0.0.1 whose queue is full, and what fills it: the kernel drops
    the next handshake's first packet, and takes the one that is sent a second later."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    filling = socket.create_connection(listener.getsockname())
    return listener, filling


def test_a_host_whose_handshake_takes_a_second_is_reached_though_another_address_fails():
    """As a host far away. Node would give up the first address after 250 ms."""
    listener, filling = slow_host()
    with listener, filling, socket.create_server(("127.0.0.1", 0)) as begun:

        def partner() -> None:
            begun.accept()[0].close()  # its name is being looked up
            # longer than Node gives one address; then there is room in the queue
            threading.Event().wait(0.6)
            listener.accept()[0].close()
            with listener.accept()[0] as client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrates")

        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(partner)
            port = listener.getsockname()[1]
            said = javascript(
                """
    import { connect } from 'node:net';
    import { outboundOf } from '@/hardening/outbound.mjs';
    """
                + f"const [port, begun] = [{port}, {begun.getsockname()[1]}];"
                + """
    const resolve = async () => {
      connect(begun, '127.0.0.1').on('error', () => {}).resume();
      // nobody is there on the second one's port
      return ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    };
    const get = outboundOf({ hosts: [`partner.test:${port}`], protocols: ['http:'],
      resolve, forbidden: () => false, ms: 15_000 });
    const got = await get(`http://partner.test:${port}/`).then(String, (e) => e.message);
    console.log(JSON.stringify(got));
    process.exit();
    """
            )
            assert said == "rates"
            served.result(10)


def test_to_one_host_go_twenty_connections_and_the_rest_wait_for_one():
    said = javascript("""
    import { createServer } from 'node:http';
    import { once } from 'node:events';
    import { outboundOf } from '@/hardening/outbound.mjs';
    const held = [];
    let connections = 0;
    const server = createServer((req, res) => {
      held.push(res);
      if (held.length >= 20) for (const one of held) one.end('rates');
    }).listen(0, '127.0.0.1').on('connection', () => (connections += 1));
    await once(server, 'listening');
    const host = `127.0.0.1:${server.address().port}`;
    const get = outboundOf({
      hosts: [host], protocols: ['http:'], forbidden: () => false, ms: 15_000 });
    const all = Array.from({ length: 30 }, () => get(`http://${host}/`).then(String));
    console.log(JSON.stringify([new Set(await Promise.all(all)).size, connections]));
    process.exit();
    """)
    assert said == [1, 20]


def test_redirects_are_read_to_their_end_and_give_their_connections_back():
    said = javascript("""
    import { createServer } from 'node:http';
    import { once } from 'node:events';
    import { outboundOf } from '@/hardening/outbound.mjs';
    let connections = 0;
    const server = createServer((req, res) =>
      res.writeHead(302, { location: '/' }).end('x'.repeat(10_000)));
    server.listen(0, '127.0.0.1').on('connection', () => (connections += 1));
    await once(server, 'listening');
    const host = `127.0.0.1:${server.address().port}`;
    const get = outboundOf({
      hosts: [host], protocols: ['http:'], forbidden: () => false, ms: 15_000 });
    const said = new Set();
    for (let i = 0; i < 20; i += 1)
      await get(`http://${host}/`).catch((error) => said.add(error.message));
    console.log(JSON.stringify([connections, ...said]));
    process.exit();
    """)
    assert said[0] < 20  # one that was not read would be of no more use
    assert said[1:] == ["The partner answered 302"]


def test_an_attempt_to_connect_ends_with_the_time_that_it_was_for():
    """Undici's own time for it is ten seconds, for which it would hold its place."""
    listener, filling = slow_host()
    with listener, filling:
        said = javascript(
            f"const port = {listener.getsockname()[1]};"
            + """
    import { outboundOf } from '@/hardening/outbound.mjs';
    const host = `127.0.0.1:${port}`;
    const get = outboundOf({
      hosts: [host], protocols: ['http:'], forbidden: () => false, ms: 300 });
    const sockets = () => process.getActiveResourcesInfo().filter((one) =>
      one === 'TCPSocketWrap' || one === 'TCPConnectWrap' || one === 'ConnectWrap').length;
    const begun = performance.now();
    const code = await get(`http://${host}/`).then(() => '', (e) => e.name);
    while (sockets() && performance.now() - begun < 8000)
      await new Promise((on) => setTimeout(on, 50));
    console.log(JSON.stringify([code !== '', sockets()]));
    process.exit();
    """
        )
    assert said == [True, 0]


def test_when_it_is_told_to_stop_what_is_under_way_is_refused_and_nothing_is_left_open():
    """The program has to end by itself."""
    said = javascript("""
    import { createServer } from 'node:http';
    import { once } from 'node:events';
    import { outboundOf } from '@/hardening/outbound.mjs';
    const stop = new AbortController();
    const server = createServer((req, res) => {
      if (req.url === '/') return res.end('rates');
      return stop.abort();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const host = `127.0.0.1:${server.address().port}`;
    const get = outboundOf({ hosts: [host], protocols: ['http:'], forbidden: () => false,
      ms: 60_000, signal: stop.signal });
    const said = [];
    for (const path of ['/', '/held', '/'])
      said.push(await get(`http://${host}${path}`).then(String, () => 'refused'));
    console.log(JSON.stringify(said));
    server.close();
    """)
    assert said == ["rates", "refused", "refused"]


SPECIAL = {
    "0.0.0.1", "10.255.0.1", "100.64.0.1", "100.127.255.254", "127.8.8.8",
    "169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.2.1",
    "192.88.99.1", "192.168.255.1", "198.18.0.1", "198.19.255.254", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::7f00:1", "64:ff9b::7f00:1",
    "100::1", "1fff::1", "2001::1", "2001:10::1", "2001:1ff::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "3fff:fff::1", "4000::1", "7fff::1", "8000::1",
    "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "fe80::1%eth0",
    "", "localhost", "127.1", "0x7f000001",
}  # fmt: skip

PUBLIC = {
    "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.0.0.1",
    "128.0.0.1", "169.253.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.0.1",
    "198.17.0.1", "198.20.0.1", "223.255.255.254", "2001:200::1", "2003::1",
    "2606:4700::1111", "3ffe::1",
}  # fmt: skip


def test_which_addresses_are_none_of_the_public_internets():
    said = javascript(
        f"const all = {json.dumps(sorted(SPECIAL | PUBLIC))};"
        + """
    import { notPublic } from '@/hardening/outbound.mjs';
    console.log(JSON.stringify(all.filter(notPublic)));
    """
    )
    assert set(said) == SPECIAL


TIMEOUTS = {23, "TimeoutError", "ConnectTimeoutError", "UND_ERR_CONNECT_TIMEOUT"}


def test_what_hangs_or_resets_outside_is_an_error_in_time_and_nothing_more():
    said = javascript("""
    import { createServer } from 'node:net';
    import { once } from 'node:events';
    import { outboundOf } from '@/hardening/outbound.mjs';
    const says = {
      silent: () => {},
      reset: (socket) => socket.resetAndDestroy(),
      half: (socket) => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nra'),
      cut(socket) {
        this.half(socket);
        setTimeout(() => socket.resetAndDestroy(), 20);
      },
      moved(socket) {
        socket.write('HTTP/1.1 302 Found\\r\\nContent-Length: 9\\r\\n\\r\\nra');
        setTimeout(() => socket.resetAndDestroy(), 20);
      },
      nonsense: (socket) => socket.end('nonsense'),
    };
    const codes = {};
    for (const name of Object.keys(says)) {
      const server = createServer((socket) => {
        socket.on('error', () => {}).once('data', () => says[name](socket));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const host = `127.0.0.1:${server.address().port}`;
      const get = outboundOf({
        hosts: [host], protocols: ['http:'], forbidden: () => false, ms: 400 });
      codes[name] = await get(`http://${host}/`).then(() => '', (e) => e.code ?? e.name);
    }
    const get = outboundOf({ hosts: ['partner.test:443'], ms: 400,
      resolve: () => new Promise(() => {}) });
    codes.lookup = await get('https://partner.test/').catch((e) => e.name);
    const rejects = outboundOf({ hosts: ['partner.test:443'],
      resolve: async () => { throw new Error('no such name'); } });
    codes.unknown = await rejects('https://partner.test/').catch((e) => e.message);
    await new Promise(setImmediate); // an error that nobody takes would end it here
    console.log(JSON.stringify(codes));
    process.exit();
    """)
    print(said)
    assert said["unknown"] == "no such name"
    # our own time or that of the connection, whichever ends first
    assert {said[one] for one in ("silent", "half", "lookup")} <= TIMEOUTS
    assert all(said.values())
