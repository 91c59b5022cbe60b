"""Every line of a request has its trace, and no other one's."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.run import node

from .shared import (
    CALLER,
    HERE,
    INSIDE,
    ORDER,
    TOPIC,
    TRACE,
    lines_of,
    logged,
)


def test_every_line_of_a_request_has_its_trace_also_where_no_request_is_passed(module):
    path = module("app.mjs", "context", INSIDE)
    with node.serve(path) as server, server.client() as client:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        order = {**ORDER, "note": "ring twice"}
        answer = client.post("/orders", json=order, headers=headers)
        assert answer.status_code == 201
        assert client.get(answer.headers["Location"]).json() == answer.json()
        assert client.get("/nothing").status_code == 404
        kept, placed, read, nothing = logged(server, 4)
    assert kept["msg"] == "order kept" and kept["order"]["id"] == answer.json()["id"]
    assert kept["trace"] == placed["trace"] == TRACE
    assert kept["span"] == placed["span"] != CALLER
    said = {key: placed[key] for key in ("method", "route", "status")}
    assert said == {"method": "POST", "route": "/orders", "status": 201}
    assert (read["route"], read["status"]) == ("/orders/:id", 200)
    assert (nothing["route"], nothing["status"]) == ("none", 404)
    assert len({TRACE, read["trace"], nothing["trace"]}) == 3
    assert "ring twice" not in json.dumps([kept, placed, read])


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{CALLER}-01", TRACE),
        (f"cc-{TRACE}-{CALLER}-00", TRACE),  # a later version is read as this one
        (f"ff-{TRACE}-{CALLER}-01", None),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{CALLER}-01", None),
        (f"00-{TRACE}-{CALLER}-01 \\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_only_if_it_is_one(header, trace):
    seen = node.printed(
        f"import {{ parse }} from './observability/context.mjs';\n"
        f"console.log(JSON.stringify(parse({json.dumps(header)})));"
    )
    assert (json.loads(seen) or {}).get("trace") == trace


def test_a_stranger_chooses_neither_the_trace_nor_what_is_sampled():
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with node.serve(f"{TOPIC}/app.mjs") as server, server.client() as client:
        for _ in range(2):
            client.get("/orders/ord_1", headers=headers)
        first, second = logged(server, 2)
    assert len({TRACE, first["trace"], second["trace"]}) == 3
    assert first["link"] == second["link"] == TRACE  # who asks of theirs finds ours
    [seen] = lines_of(
        f"""
    import {{ outgoing, traced }} from './observability/context.mjs';
    const req = {{ headers: {{ traceparent: '00-{TRACE}-{CALLER}-01' }} }};
    traced(req, {{}}, () => console.log(outgoing().traceparent));
    """
    )
    assert TRACE not in seen and seen.endswith("-00")


@pytest.mark.parametrize(("flags", "sampled"), [("01", "01"), ("fe", "00"), ("ff", "01")])
def test_the_trace_goes_on_to_the_next_service(flags, sampled):
    seen = node.printed(
        f"""
    import {{ inLogs, outgoing, tracing }} from './observability/context.mjs';
    const req = {{ headers: {{ traceparent: '00-{TRACE}-{CALLER}-{flags}' }} }};
    tracing({{ inside: true }})(req, {{}}, () => setTimeout(() => {{
      console.log(outgoing().traceparent, inLogs().span);
    }}, 1));
    console.log(Object.keys(outgoing()).length, Object.keys(inLogs()).length);
    """
    )
    outside, inside = seen.splitlines()
    header, span = inside.split()
    assert outside == "0 0"
    assert header == f"00-{TRACE}-{span}-{sampled}" and span != CALLER


# an insert goes on when a second one has come, so that two requests are under way
MEET = """
import { createPino } from '%s';
import * as traces from '%s';
const traced = traces.tracing?.({ inside: true }) ?? traces.traced;
const context = { ...traces, traced };
const logger = createPino({ context: context.inLogs });
const both = Promise.withResolvers();
let waiting = 0;
const orders = {
  async insert(order) {
    waiting += 1;
    if (waiting === 2) both.resolve();
    await both.promise;
    logger.info({ note: order.note }, 'order kept');
    return { ...order, id: 'ord_1' };
  },
};
"""


@pytest.mark.parametrize(("version", "right"), [("context.naive", 1), ("context", 2)])
def test_two_requests_at_once_share_an_id_that_is_kept_in_a_variable(
    version, right, module
):
    before = MEET % ((HERE / "loggers.mjs").as_uri(), (HERE / f"{version}.mjs").as_uri())
    path = module("app.mjs", "logger, context, orders", before)
    ids = {"ann": TRACE, "bob": TRACE[::-1]}
    with node.serve(path) as server, server.client() as client:

        def place(name):
            headers = {
                "X-Request-Id": ids[name],
                "traceparent": f"00-{ids[name]}-{CALLER}-01",
            }
            return client.post("/orders", json={**ORDER, "note": name}, headers=headers)

        with ThreadPoolExecutor(2) as pool:
            assert [a.status_code for a in pool.map(place, ids)] == [201, 201]
        lines = logged(server, 2, "order kept")
    assert sum(line["trace"] == ids[line["note"]] for line in lines) == right


def test_a_callback_in_a_queue_of_ones_own_has_another_requests_context():
    seen = lines_of(
        """
    import { AsyncResource } from 'node:async_hooks';
    import { inLogs, traced } from './observability/context.mjs';
    const queue = [];
    const say = () => console.log('trace' in inLogs());
    traced({ headers: {} }, {}, () => queue.push(say, AsyncResource.bind(say)));
    for (const callback of queue) callback();
    """
    )
    assert seen == ["false", "true"]
