"""What Express 4 and 5 do by themselves."""

import json
import re

import pytest

from lab.run import node

from .shared import (
    TOPIC,
)


@pytest.mark.claim("rest-apis/four-routes", verdict="wrong")
def test_without_a_parser_the_body_is_undefined_and_each_post_fails():
    seen = node.evaluate(
        """
    import express from 'express';
    async function post(app) {
      app.post('/orders', (req, res) => res.status(201).json(req.body.items.length));
      app.use((error, req, res, next) => res.status(500).send(error.message));
      const server = app.listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const answer = await fetch(`http://127.0.0.1:${server.address().port}/orders`, {
        method: 'POST', body: '{"items":[1]}',
        headers: { 'Content-Type': 'application/json' } });
      console.log(answer.status, await answer.text());
      server.close();
    }
    await post(express());
    await post(express().use(express.json()));
    """
    ).stdout
    assert seen.splitlines() == [
        "500 Cannot read properties of undefined (reading 'items')",
        "201 1",
    ]


def versions() -> dict[str, list[str]]:
    lines = node.run(f"{TOPIC}/versions.mjs").stdout.splitlines()
    return {line[:22].strip(): re.split(r" {2,}", line[23:]) for line in lines}


@pytest.mark.claim("rest-apis/wrap-async-handlers", verdict="depends")
def test_a_rejected_handler_hangs_on_express_4_and_is_a_500_on_express_5():
    assert versions()["async handler rejects"] == ["no answer", "500"]
    # and without the listener that the program has, Express 4 takes the process along
    done = node.evaluate(
        """
    import express from 'express4';
    const app = express();
    app.get('/', async () => { throw new Error('out of stock'); });
    const server = app.listen(0, '127.0.0.1', () =>
      fetch(`http://127.0.0.1:${server.address().port}/`).catch(() => {}));
    """,
        code=1,
    )
    assert "out of stock" in done.stderr


def test_what_nobody_awaits_ends_the_process_on_express_5_too():
    done = node.evaluate(
        """
    import express from 'express';
    const app = express();
    app.get('/', async (req, res) => {
      Promise.reject(new Error('nobody waits'));
      res.end();
    });
    const server = app.listen(0, '127.0.0.1', () =>
      fetch(`http://127.0.0.1:${server.address().port}/`).catch(() => {}));
    """,
        code=1,
    )
    assert "nobody waits" in done.stderr


@pytest.mark.claim("rest-apis/query-operators", verdict="depends")
def test_brackets_in_a_query_are_an_object_on_4_and_a_name_on_5():
    assert versions()["?total[$ne]=1"] == [
        '{"total":{"$ne":"1"}}',
        '{"total[$ne]":"1"}',
    ]
    parsers = node.evaluate(
        """
    import express5 from 'express';
    import express4 from 'express4';
    console.log(express4().get('query parser'), express5().get('query parser'));
    """
    ).stdout
    assert parsers.split() == ["extended", "simple"]


@pytest.mark.claim("rest-apis/production-three-times", verdict="wrong")
def test_of_express_settings_production_changes_the_cache_of_views_and_no_other(tmp_path):
    path = tmp_path / "settings.mjs"
    path.write_text(
        f"import express from '{node.resolve('node_modules/express/index.js').as_uri()}';\n"
        "const { views, env, ...settings } = express().settings;\n"
        "console.log(JSON.stringify(settings));\n"
    )
    plain, production = (
        json.loads(node.run(path, env={"NODE_ENV": env}).stdout)
        for env in ("", "production")
    )
    assert production == {**plain, "view cache": True}
    assert "view cache" not in plain


@pytest.mark.parametrize(
    "env",
    [
        {"FRAMEWORK": "http"},
        {"FRAMEWORK": "fastify"},
        {"FRAMEWORK": "express", "MIDDLEWARE": "3"},
    ],
    ids=lambda env: env["FRAMEWORK"],
)
def test_the_measured_frameworks_give_the_same_answer(env):
    with node.serve(f"{TOPIC}/frameworks.mjs", env=env) as server:
        with server.client() as client:
            answer = client.get("/orders/1")
    assert answer.json() == {"id": "ord_1", "status": "open", "total": 1598, "version": 1}
    assert answer.headers["Content-Type"].startswith("application/json")
