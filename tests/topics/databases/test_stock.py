"""Two at once: lost updates, locks, write skew, and what is repeated."""

import pytest

SOLD = """
import {{ createStock }} from './databases/{module}';
const big = createPool({{ url, limits: {{ waiting: 200, acquireMs: 15_000 }},
  logger: quiet }});
await rows("INSERT INTO products VALUES ('tea', 900, 50)");
let retries = 0;
const retried = () => {{ retries += 1; }};
const stock = createStock({{ db: big, how: '{how}', tries: 500, retried }});
const ended = await Promise.all(times(100, () => outcome(stock.take('tea', 1))));
await big.end();
const left = await value("SELECT stock FROM products WHERE sku = 'tea'");
say({{ sold: ended.filter((one) => one === 'ok').length, left, retries,
  refused: ended.filter((one) => one === 409).length }});
"""


@pytest.mark.claim("databases/transaction-prevents-lost-updates")
def test_a_hundred_that_read_and_then_write_sell_more_than_there_is(database):
    seen = database.told(SOLD.format(module="stock.naive.mjs", how=""))
    assert seen["sold"] > 50


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("conditional", marks=pytest.mark.claim("databases/conditional-update-is-enough")),
        pytest.param("locked", marks=pytest.mark.claim("databases/for-update-prevents-overselling")),
        "versioned", "serializable", "repeatable read",
    ],
)
def test_a_hundred_buyers_get_the_fifty_that_there_are(how, database):
    seen = database.told(SOLD.format(module="stock.mjs", how=how))
    retries = seen.pop("retries")
    assert seen == {"sold": 50, "left": 0, "refused": 50}
    assert (retries == 0) == (how in ("conditional", "locked"))
