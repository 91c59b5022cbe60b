"""What several files of these tests share."""

import json

import httpx

from lab.run import load, node

TOPIC = "rate-limiting"

# The proxy connects from 127.0.0.2, see lab.run.services: clients must not.
ATTACKER, OTHER, PROXY = "127.0.0.3", "127.0.0.4", "127.0.0.2"


def client(url: str, address: str = ATTACKER, **options) -> httpx.Client:
    return load.client(url, address, **options)


def served(url: str, count: int, address: str = ATTACKER, rotate: bool = False) -> int:
    """How many of `count` requests are answered 200; the others must be 429. With
    `rotate` each claims to come from an address of its own."""
    with client(url, address) as attacker:
        codes = [
            attacker.get(
                "/products",
                headers={"X-Forwarded-For": f"203.0.113.{n}"} if rotate else {},
            ).status_code
            for n in range(count)
        ]
    assert set(codes) <= {200, 429}
    return codes.count(200)


def workers(**env: str):
    # a machine with other work may answer late, and then a worker counts alone
    env = {"LIMIT": "10", "REDIS_PATIENCE_MS": "20000", **env}
    return node.serve(f"{TOPIC}/workers.mjs", env=env, grace=10)


CONNECTED = """
import { connect } from './rate-limiting/connect.mjs';
const lines = [];
const logger = { error: (fields) => lines.push(fields.error) };
const [url, pid] = %s;
const said = (error) => error.message;
"""


def connected(redis, text: str) -> list[str]:
    start = CONNECTED % json.dumps([redis.url, redis.pid])
    return node.evaluate(start + text).stdout.splitlines()


STORE = """
import { stores } from './rate-limiting/shared.mjs';
const stop = new AbortController();
const store = (await stores({ url, logger, signal: stop.signal }))('api');
"""
