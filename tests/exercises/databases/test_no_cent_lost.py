"""The checks of databases/no-cent-lost. A docstring is the hint that a learner reads when
the check fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.run import node


@pytest.fixture
def bank(attempt, server):
    for table in server.sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    ).split():
        server.sql(f'DROP TABLE "{table}" CASCADE')
    with (
        node.serve(attempt, env={"DATABASE_URL": server.url}) as running,
        running.client(timeout=20) as client,
    ):
        yield client


def balances(server) -> dict[str, int]:
    rows = server.sql("SELECT id, cents FROM accounts").split()
    return {name: int(cents) for name, cents in (row.split("|") for row in rows)}


def transfer(client, source, target, cents=1, **headers):
    body = {"from": source, "to": target, "cents": cents}
    return client.post("/transfers", json=body, headers=headers)


def together(client, *each):
    """Their status codes; all are sent at once."""
    with ThreadPoolExecutor(len(each)) as pool:
        asked = [pool.submit(transfer, client, *one) for one in each]
        return [one.result().status_code for one in asked]


def test_one_transfer_at_a_time_is_as_it_was(bank, server):
    """What is well must go on as it does."""
    done = transfer(bank, "ann", "bob", 300)
    assert (done.status_code, done.json()) == (
        201, {"from": "ann", "to": "bob", "cents": 300},
    )  # fmt: skip
    assert transfer(bank, "eve", "bob", 11).status_code == 409
    assert transfer(bank, "ann", "zoe").status_code == 404
    for cents in (0, -5, 1.5, "7"):
        assert transfer(bank, "ann", "bob", cents).status_code == 422
    assert balances(server) == {"ann": 700, "bob": 1300, "eve": 10}


@pytest.mark.fails_at_start
def test_forty_transfers_at_once_are_forty_transfers(bank, server):
    """What was read may have changed when it is written. Who could make the second wait?"""
    codes = together(bank, *[("ann", "bob")] * 40)
    told, moved = codes.count(201), 1000 - balances(server)["ann"]
    assert told == 40
    if moved != told:
        pytest.fail(f"{told} were told that it is done, {moved} were done")
    assert balances(server)["bob"] == 1040


@pytest.mark.fails_at_start
def test_nobody_spends_what_is_not_there(bank, server):
    """The check and the change are two steps. Others come between them."""
    codes = together(bank, *[("eve", "bob")] * 30)
    if codes.count(201) != 10:
        pytest.fail(f"an account of 10 cents paid {codes.count(201)} times a cent")
    assert set(codes) == {201, 409}
    assert balances(server) == {"ann": 1000, "bob": 1010, "eve": 0}


@pytest.mark.fails_at_start
def test_opposite_directions_are_all_served(bank, server):
    """Each waits for the row that the other one has. In which order do they take them?"""
    codes = together(bank, *[("ann", "bob"), ("bob", "ann")] * 20)
    if set(codes) != {201}:
        pytest.fail(f"answers: {sorted(set(codes))}")
    assert balances(server) == {"ann": 1000, "bob": 1000, "eve": 10}


@pytest.mark.fails_at_start
@pytest.mark.parametrize("at_once", [False, True])
def test_the_same_key_moves_the_money_once(bank, server, at_once):
    """A client repeats what it has no answer to. Where can one remember that it is done?"""

    def ask(_):
        return transfer(bank, "ann", "bob", 100, **{"Idempotency-Key": "k-1"})

    with ThreadPoolExecutor(3) as pool:
        answers = list((pool.map if at_once else map)(ask, range(3)))
    answers.append(ask(3))  # those at once may have lost each other's update
    if (moved := 1000 - balances(server)["ann"]) != 100:
        pytest.fail(f"four requests with one key moved {moved} cents, not 100")
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.fails_at_start
def test_a_transfer_that_failed_does_not_use_up_its_key(bank, server):
    """The key and the transfer are there together, or neither."""
    key = {"Idempotency-Key": "k-2"}
    assert transfer(bank, "eve", "bob", 100, **key).status_code == 409
    assert transfer(bank, "ann", "eve", 100).status_code == 201
    assert transfer(bank, "eve", "bob", 100, **key).status_code == 201
    assert transfer(bank, "eve", "bob", 100, **key).status_code == 201
    assert balances(server)["eve"] == 10
