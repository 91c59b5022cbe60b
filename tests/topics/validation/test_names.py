"""Spellings of one name, and who gets the account."""

import pytest

from lab.run import node

from .shared import TOPIC, served

# --- names --------------------------------------------------------------------------

SPELLINGS = {  # all of them are 'ann' to NFKC and lower case
    "modifier": "\u1d2c\u1dac\u1dac",
    "full width": "\uff41\uff4e\uff4e",
    "circled": "\u24d0\u24dd\u24dd",
    "bold": "\U0001d41a\U0001d427\U0001d427",
}


def mails(server) -> list[str]:
    """What was sent; Node 22 says more, of node:sqlite."""
    lines = server.output().splitlines()
    return [line for line in lines if line.startswith("mail to ")]


@pytest.mark.claim("validation/unique-means-one", verdict="wrong")
@pytest.mark.parametrize("name", [n for n in SPELLINGS if n != "modifier"])
def test_a_name_that_normalises_to_anns_opens_anns_account_in_the_naive_app(name):
    spelt = SPELLINGS[name]
    for snippet, mailed in (
        ("accounts.naive.mjs", "mail to eve@evil.test opens ann"),
        ("accounts.mjs", "mail to ann@shop.test opens ann"),
    ):
        with served(snippet) as server, server.client() as c:
            registered = c.post(
                "/accounts", json={"name": spelt, "email": "eve@evil.test"}
            )
            assert registered.status_code == (201 if "naive" in snippet else 409)
            assert c.post("/resets", json={"name": spelt}).status_code == 202
            assert mails(server) == [mailed]


@pytest.mark.claim("validation/unique-means-one", verdict="wrong")
def test_a_unique_index_takes_every_spelling_until_there_is_one():
    seen = node.evaluate(
        """
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE t (name TEXT); CREATE UNIQUE INDEX one ON t (name)');
    const insert = (name) => {
      try {
        db.prepare('INSERT INTO t VALUES (?)').run(name);
        return 'taken';
      } catch { return 'refused'; }
    };
    const names = ['ann', '\u24d0\u24dd\u24dd', 'ANN', ' ann', 'ann'];
    console.log(names.map(insert).join());
    const canonical = (name) => name.trim().normalize('NFKC').toLowerCase();
    console.log(names.map(canonical).map(insert).join());
    """
    ).stdout
    assert seen.split() == ["taken,taken,taken,taken,refused", ",".join(["refused"] * 5)]


def test_mail_goes_to_the_address_as_it_was_typed_and_another_spelling_is_taken():
    with served("accounts.mjs") as server, server.client() as c:
        for name, email, status in (
            ("bob", "Bob.Smith@Shop.test", 201),
            ("eve", "bob.smith@shop.test", 409),
            ("eve", "\uff42ob.smith@shop.test", 409),
            ("eve", "eve\ufe6bshop.test@shop.test", 422),  # NFKC makes it two @
            ("eve", "eve@shop.test", 201),
        ):
            answer = c.post("/accounts", json={"name": name, "email": email})
            assert answer.status_code == status, email
        c.post("/resets", json={"name": "bob"})
        assert mails(server) == ["mail to Bob.Smith@Shop.test opens bob"]


@pytest.mark.parametrize(
    "mail",
    [
        "async () => { throw new Error('smtp-7') }",
        "() => { throw new Error('smtp-7') }",
        "() => new Promise(() => {})",
    ],
    ids=["rejects", "throws", "hangs"],
)
def test_a_mail_that_fails_tells_nobody_whether_there_is_an_account(tmp_path, mail):
    path = tmp_path / "accounts.mjs"
    path.write_text(
        node.with_deps(f"{TOPIC}/accounts.mjs", "mail", f"const mail = {mail};")
    )
    with node.serve(path) as server, server.client() as c:
        for name in ("ann", "nobody", "ann"):
            answer = c.post("/resets", json={"name": name})
            assert (answer.status_code, answer.text) == (202, "Accepted")
        assert ("smtp-7" in server.output()) == ("smtp-7" in mail)


def test_accounts_are_made_once_in_one_spelling_and_only_with_characters_we_know():
    with served("accounts.mjs") as server, server.client() as c:
        for name, status in (
            (" Bob ", 201), ("BOB", 409), ("b\u043eb", 422), ("bo\u200bb", 422),
            ("bob\u0301", 422), (["bob"], 422), ("\u0130nan", 422), ("x" * 31, 422),
        ):  # fmt: skip
            # each with an address of its own
            email = f"b{len(name)}{status}@shop.test"
            answer = c.post("/accounts", json={"name": name, "email": email})
            assert answer.status_code == status, name
        assert c.post("/resets", json={"name": "nobody"}).status_code == 202
        assert c.post("/resets", content=b"{").status_code == 415
