"""A unit of work that hangs is given up, and its late answer changes nothing."""

import pytest

from lab.run import node

from .shared import FACTORIES, TOPIC

# --- a unit that hangs -------------------------------------------------------------------


HANGS = {
    "sqlite": ("{ patience: 100 }", "not within 100 ms"),
    "memory": ("{ patience: 100 }", "not within 100 ms"),
    "postgres": (
        "{ url, limits: { idle_in_transaction_session_timeout: 1_000 } }",
        "terminating connection due to idle-in-transaction timeout",
    ),
}


@pytest.mark.parametrize("kind", HANGS)
def test_a_unit_that_hangs_is_taken_back_and_holds_up_nobody(kind, request):
    deps, said = HANGS[kind]
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const url = '{url}';
    const store = await open({deps});
    const tea = [{{ sku: 'tea', quantity: 20 }}];
    let goOn;
    const gate = new Promise((resolve) => (goOn = resolve));
    let late;
    const hangs = store.unitOfWork(async ({{ products }}) => {{
      await products.take(tea);
      await gate; // an answer that does not come, or not in time
      late = await products.giveBack(tea).catch(() => 'refused');
    }});
    await hangs.catch(({{ message }}) => console.log(message));
    goOn();
    await store.unitOfWork(({{ products }}) => products.take(tea)); // all there
    console.log(late);
    const more = store.unitOfWork(({{ products }}) => products.take(tea));
    await more.catch(({{ reason }}) => console.log(reason));
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == [said, "refused", "no-stock"]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_reading_that_hangs_holds_up_nobody(kind):
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = open({{ patience: 100 }});
    const never = () => new Promise(() => {{}});
    await store.read(never).catch(({{ message }}) => console.log(message));
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    """
    ).stdout
    assert seen.splitlines() == ["not within 100 ms", "null"]


@pytest.mark.parametrize("kind", FACTORIES)
def test_who_reads_sees_no_half_of_a_unit(kind, request):
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = await open({{ url: '{url}' }});
    const order = {{ id: 'a', customer: 'ann', items: [], status: 'open', total: 1, version: 1 }};
    let written;
    let goOn;
    const half = new Promise((resolve) => (written = resolve));
    const gate = new Promise((resolve) => (goOn = resolve));
    const unit = store.unitOfWork(async ({{ orders }}) => {{
      await orders.insert(order);
      written();
      await gate;
      throw new Error('taken back');
    }});
    await half;
    const read = store.read(({{ orders }}) => orders.get('a'));
    setImmediate(goOn);
    await unit.catch(({{ message }}) => console.log(message));
    console.log(await read);
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == ["taken back", "null"]


def test_a_unit_that_is_done_leaves_no_timer_behind():
    """Else each request would keep one for the rest of its patience."""
    seen = node.evaluate(
        f"""
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const store = sqliteStore();
    await store.unitOfWork(async () => {{}});
    await store.read(async () => {{}});
    console.log(process.getActiveResourcesInfo().includes('Timeout'));
    """
    ).stdout
    assert seen == "false\n"


def test_a_store_that_is_passed_in_is_closed_by_who_opened_it():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from './{TOPIC}/layered/app.mjs';
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const mine = new AbortController();
    const store = sqliteStore({{ signal: mine.signal }});
    const shutdown = new AbortController();
    for (let n = 0; n < 2; n += 1) await createApp({{ store, signal: shutdown.signal }});
    shutdown.abort(); // two apps have it; a third may still
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    mine.abort();
    await store.close(); // twice is no error
    await store.read(({{ orders }}) => orders.get('a')).catch(({{ code }}) => console.log(code));
    """
    ).stdout
    assert seen.splitlines() == ["null", "ERR_INVALID_STATE"]
