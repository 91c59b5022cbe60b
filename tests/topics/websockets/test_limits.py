"""How many sockets a process and a user may have, and what is no limit."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from websockets.exceptions import InvalidStatus

from lab.run import node, process

from .shared import (
    CHECK,
    TOPIC,
    attached,
    client,
    ended,
    refused,
)


def test_a_process_has_so_many_sockets_the_undecided_included(module):
    path = module(
        CHECK
        + attached(
            "perProcess: 3, perUser: 9,\n"
            "  authenticate: async (req, url) => {\n"
            "    if (url.search) await checked();\n"
            "    return { user: 'ann' }; }",
            server="createServer((req, res) =>\n"
            "  req.url === '/go' ? pages(req, res) : res.end(`${waiting.length}`))",
        )
    )
    with node.serve(path) as server, server.client() as c, ThreadPoolExecutor(1) as pool:
        with client(server.url), client(server.url):
            opening = pool.submit(client, server.url, "/?slowly")
            process.until(lambda: c.get("/").text == "1", what="a third is checked")
            assert refused(server.url) == 503
            assert c.get("/go").text == "1"
            with opening.result():
                assert refused(server.url) == 503

        def again():
            with contextlib.suppress(InvalidStatus), client(server.url):
                return True

        process.until(again, what="a place was free again")


BAD = {
    "attach": (
        *("perUser: NaN", "perUser: '5'", "maxPayload: 0", "heartbeatMs: 2 ** 31"),
        *("burst: -1", "origins: 'https://shop.test'", "authenticate: undefined"),
    ),
    "createTickets": ("ttlMs: '10000'", "most: NaN"),
    "createFeed": ("batch: '2'", "beatMs: NaN", "most: 0"),
    "memoryLog": ("keep: '5'", "keep: NaN"),
    "redisLog": ("keep: '5'", "everyMs: 0", "signal: AbortSignal.abort()"),
    "follow": ("spreadMs: NaN", "maxMs: '9'", "quietMs: 0", "most: undefined - 1"),
}

MADE = f"""
import {{ createServer }} from 'node:http';
import {{ attach as attachTo }} from './{TOPIC}/attach.mjs';
import {{ follow }} from './{TOPIC}/client.mjs';
import {{ createFeed as feed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog, redisLog as shared }} from './{TOPIC}/log.mjs';
import {{ createTickets }} from './{TOPIC}/tickets.mjs';
const attach = (options) => attachTo(createServer(), {{ path: '/',
  authenticate: () => null, ...options }});
const createFeed = (options) => feed({{ log: memoryLog(), ...options }});
const redisLog = (options) => shared({{ url: 'redis://127.0.0.1:1', ...options,
  logger: {{ error: () => console.log('connects') }} }});
const bad = async (what, make) => {{
  try {{ await make(); console.log(what, 'made'); }}
  catch (error) {{ console.log(what, error.name); }}
}};
"""


def test_what_is_no_limit_is_an_error_when_the_thing_is_made():
    """`size >= NaN` is never so, and a text is added to a time as a text."""
    lines = [
        f"await bad(`{name} {options}`, () => {name}({{ {options}, url() {{}} }}));"
        if name == "follow"
        else f"await bad(`{name} {options}`, () => {name}({{ {options} }}));"
        for name, many in BAD.items()
        for options in many
    ]
    seen = node.evaluate(MADE + "\n".join(lines)).stdout.splitlines()
    assert seen == [
        f"{name} {options} {'AbortError' if 'signal' in options else 'TypeError'}"
        for name, many in BAD.items()
        for options in many
    ]


def test_a_limit_that_is_left_undefined_is_the_usual_one(module):
    path = module(attached("perUser: undefined, maxPayload: undefined"))
    with node.serve(path) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client(server.url)) for _ in range(5)]
        assert refused(server.url) == 429
        peers[0].send(b"x" * 65537)
        assert ended(peers[0])[0] == 1009


def test_a_user_has_so_many_sockets_and_no_more(module):
    path = module(attached("perUser: 3"))
    with node.serve(path) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client(server.url)) for _ in range(3)]
        assert refused(server.url) == 429
        peers[0].close()

        def again():
            with contextlib.suppress(InvalidStatus):
                stack.enter_context(client(server.url))
                return True

        process.until(again, what="a place was free again")
        assert refused(server.url) == 429


def test_connections_that_are_opened_at_once_do_not_pass_the_cap(module):
    path = module(
        attached(
            "perUser: 3, authenticate: () => new Promise((resolve) =>\n"
            "  setTimeout(resolve, 200, { user: 'ann' }))"
        )
    )
    with node.serve(path) as server, contextlib.ExitStack() as stack:

        def attempt(_):
            try:
                return client(server.url)
            except InvalidStatus:
                return None

        with ThreadPoolExecutor(10) as pool:
            peers = [p for p in pool.map(attempt, range(10)) if p]
        for peer in peers:
            stack.enter_context(peer)
        assert len(peers) == 3


def test_there_are_so_many_tickets_and_no_more():
    seen = node.evaluate(
        f"""
    import {{ createTickets }} from './{TOPIC}/tickets.mjs';
    let time = 0;
    const tickets = createTickets({{ ttlMs: 1000, most: 2, now: () => time }});
    const issue = () => {{
      try {{ return tickets.issue({{}}).length; }} catch ({{ message }}) {{ return message; }}
    }};
    console.log(issue(), issue(), issue());
    time = 1000;
    console.log(issue());
    """
    ).stdout
    assert seen.splitlines() == ["43 43 too many tickets", "43"]
