"""The OpenAPI document, held by a tester that makes up requests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .shared import HARDENED, NAIVE, Users

# --- the contract -------------------------------------------------------------------

# where the tool and the specifications differ, the specifications are followed
JUDGE = """
[checks.missing_required_header]
expected-statuses = [400, 428] # RFC 6585: no If-Match is a 428
[checks.negative_data_rejection] # RFC 9110, 13.2.1: If-Match is before the content
expected-statuses = [400, 401, 404, 405, 409, 412, 415, 422, 428]
[checks.positive_data_acceptance] # a made-up version is not the order's
expected-statuses = ["2xx", 401, 404, 409, 412]
[[operations]]
include-name = "POST /orders" # a key that was used for another order is a 422
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 422]
"""


def findings(users: Users, folder: Path, *options: str) -> list[str]:
    """What Schemathesis holds against the API by its own document: the codes of the
    checks that failed."""
    (folder / "judge.toml").write_text(JUDGE)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file", folder / "judge.toml", "run",
            f"{users.server.url}/openapi.json", "--max-examples", "3", "--seed", "1",
            *options,
            "-H", "Authorization: Bearer ann-key", "--no-color", "--no-shrink",
            "--generation-database", "none",
        ],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    found = re.findall(r"^- (ST\d+) ", done.stdout, re.MULTILINE)
    assert (done.returncode == 1) == bool(found), done.stdout[-2000:]
    return sorted(set(found))


@pytest.mark.claim("rest-apis/document-is-the-api", verdict="wrong")
def test_the_apis_own_document_convicts_the_naive_twin(api, tmp_path):
    with api(NAIVE) as users:
        found = findings(users, tmp_path, "--phases", "coverage")
    # server error, undocumented status, media type and body, invalid data accepted,
    # wrong answer to a method that is not there
    assert {"ST101", "ST103", "ST105", "ST108", "ST201", "ST204"} <= set(found)


@pytest.mark.claim("rest-apis/document-is-the-api", verdict="wrong")
def test_the_apis_own_document_finds_nothing_against_the_hardened_one(api, tmp_path):
    with api(HARDENED) as users:
        assert findings(users, tmp_path) == []


def test_the_document_is_served_and_says_what_a_client_may_send(api):
    with api() as users:
        document = users.nobody.get("/openapi.json").json()
        post = document["paths"]["/orders"]["post"]
        schema = post["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {"items", "note"}
        assert schema["additionalProperties"] is False
        allowed = users.ann.request("PUT", "/orders").headers["Allow"]
        said = {verb.upper() for verb in document["paths"]["/orders"]} | {"HEAD"}
        assert set(allowed.split(", ")) == said
