"""What a module is given: text for numbers, stores that fail."""

import json

import pytest

from .shared import ACCOUNTS, LEAKY, javascript, secret

# --- what a module is given ---------------------------------------------------------


REFUSED = {
    "outbound.mjs": [
        "outboundOf({ hosts: 'api.partner.test:443' })",
        "outboundOf({ hosts: undefined })",
        "outboundOf({ hosts: [], protocols: 'https:' })",
        "outboundOf({ hosts: [], ms: '5000' })",
        "outboundOf({ hosts: [], bytes: NaN })",
    ],
    "passwords.mjs": [
        "passwordsOf({ ln: '17' })",
        "passwordsOf({ ln: 16.5 })",
        "passwordsOf({ r: '8' })",
        "passwordsOf({ p: 0 })",
        "passwordsOf({ atOnce: NaN })",
    ],
    "session.mjs": [
        "sessionsOf({ life: '3600000' })",
        "sessionsOf({ life: -1 })",
        "sessionsOf({ life: 0.5 })",
        "sessionsOf({ life: Infinity })",
    ],
    "program.mjs": [
        "programsOf({ atOnce: '4' })",
        "programsOf({ ms: '5000' })",
        "programsOf({ ms: 2 ** 31 })",
    ],
    "headers.mjs": [
        "headers({ reportOnly: 'false' })",
        "headers({ hsts: { maxAge: '300' } })",
    ],
    "csrf.mjs": [
        "fromOurPages(undefined)",
        "fromOurPages('https://shop.test/')",
        "fromOurPages('shop.test')",
        "fromOurPages('null')",
    ],
    "app.mjs": ["createApp({ origin: 'https://shop.test/' })"],
    "server.mjs": ["serverOf(() => {}, { requestTimeout: '30000' })"],
}


def test_text_where_a_number_or_a_list_is_meant_is_an_error_when_a_module_is_made():
    calls = [
        f"[{json.dumps(call)}, async () => (await import('@/hardening/{name}')).{call}]"
        for name, some in REFUSED.items()
        for call in some
    ]
    said = javascript(
        f"const calls = [{', '.join(calls)}];"
        + """
    const made = [];
    for (const [text, call] of calls)
      await call().then(() => made.push(text), (error) => {
        // what it is called, and what it must be
        if (!/: \\S/.test(error.message) && !error.code) made.push(error.message);
      });
    console.log(JSON.stringify([calls.length, made]));
    process.exit();
    """
    )
    assert said == [sum(len(some) for some in REFUSED.values()), []]


STORES = {
    "app, authenticate": ("app.mjs", "authenticate: fails", "/orders"),
    "app, list": (
        "app.mjs", "authenticate: ann, store: { of: () => ({ list: fails }) }", "/orders"
    ),
    "app, sessions": (
        "app.mjs", "sessions: { userOf: fails }", "/orders"
    ),
    "files, authenticate": ("files.mjs", "authenticate: fails, root: '.'", "/files/f"),
    "files, files": (
        "files.mjs", "authenticate: ann, files: { get: fails }, root: '.'", "/files/f"
    ),
    "files, no folder": (
        "files.mjs",
        "authenticate: ann, root: '/none', files: { get: async () => FILE }",
        "/files/f",
    ),
    "settings, authenticate": ("settings.mjs", "authenticate: fails", "/admin/orders"),
    "settings, isAdmin": (
        "settings.mjs", "authenticate: ann, isAdmin: fails", "/admin/orders"
    ),
    "archive, no folder": (
        "archive.mjs", "folder: '/db-7.internal'", "/archive?name=a"
    ),
    "archive, no program": (
        "archive.mjs", "folder: '.', path: '/db-7.internal'", "/archive?name=serve.mjs"
    ),
}  # fmt: skip


@pytest.mark.parametrize("given", STORES)
def test_what_an_app_is_given_may_fail_and_the_answer_is_500_with_an_id(app, given):
    snippet, deps, path = STORES[given]
    source = f"""
    import {{ createApp as create }} from '@/hardening/{snippet}';
    const fails = async () => {{ throw new Error('db-7.internal'); }};
    const ann = async () => ({{ id: 'ann' }});
    const FILE = {{ owner: 'ann', name: 'a', stored: 'a' }};
    export function createApp() {{ return create({{ {deps} }}); }}
    """
    with app(source) as server, server.client() as client:
        for _ in range(2):  # and it lives
            answer = client.get(path)
            assert answer.status_code == 500
            assert set(answer.json()) == {"title", "status", "instance"}
            assert answer.json()["instance"] in server.output()
        assert "Error: " in server.output()


def test_what_the_client_got_wrong_is_neither_500_nor_in_the_log(app):
    settings = ACCOUNTS.format(snippet="settings.mjs")
    leaky = LEAKY.format(snippet="leaks.mjs")
    for source, env, send, code in (
        (settings, {}, ("PATCH", "/settings", b"{"), 400),
        (leaky, {"SIGNING_SECRET": secret()}, ("GET", "/orders/%E0%A4/link", b""), 400),
    ):
        method, path, body = send
        headers = {"user": "bob", "Content-Type": "application/json"}
        with app(source, env=env) as server, server.client() as client:
            answer = client.request(method, path, content=body, headers=headers)
            assert answer.status_code == code
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert "Error" not in server.output()
