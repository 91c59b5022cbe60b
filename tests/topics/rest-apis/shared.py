"""What several files of these tests share."""

import hashlib
import json

import httpx

from lab.run import node

TOPIC = "rest-apis"

ORDER = {"items": [{"sku": "tea", "quantity": 2}]}  # 1598 cents

MUGS = {"items": [{"sku": "mug", "quantity": 1}], "note": "blue"}  # 1250 cents

MERGE = {"Content-Type": "application/merge-patch+json"}

PROBLEM = "application/problem+json"

NAIVE, HARDENED = "orders.naive.mjs", "orders.mjs"

USERS = {hashlib.sha256(f"{n}-key".encode()).hexdigest(): n for n in ("ann", "bob")}


# who has the key "ann-key" is ann
WHO = f"""
import {{ bearer }} from '{node.uri("rest-apis/auth.mjs")}';
const authenticate = bearer(new Map(Object.entries({json.dumps(USERS)})));
"""


class Users:
    """Ann and Bob, each with a client, and nobody."""

    def __init__(self, server: node.Server) -> None:
        self.server = server
        self.nobody = server.client()
        self.ann, self.bob = (
            server.client(headers={"Authorization": f"Bearer {name}-key"})
            for name in ("ann", "bob")
        )

    def close(self) -> None:
        for user in (self.nobody, self.ann, self.bob):
            user.close()


keys = iter(range(10**9))


def place(user: httpx.Client, content: dict = ORDER, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key or f"key-{next(keys)}"}
    return user.post("/orders", json=content, headers=headers)


def placed(user: httpx.Client, content: dict = ORDER) -> dict:
    answer = place(user, content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def count(user: httpx.Client) -> int:
    found = user.get("/orders", params={"limit": 100}).json()
    return len(found if isinstance(found, list) else found["items"])


def problem(answer: httpx.Response, status: int) -> dict:
    """The problem document, which any answer of this status must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith(PROBLEM)
    found = answer.json()
    assert found["status"] == status
    assert "stack" not in found and "node_modules" not in answer.text
    return found


def at(version: int, **headers: str) -> dict:
    return {"If-Match": f'"{version}"', **headers}
