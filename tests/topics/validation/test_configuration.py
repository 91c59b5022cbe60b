"""Configuration, messages, and numbers that are none."""

import json

import pytest

from lab.run import node

from .shared import TOPIC

# --- configuration, messages --------------------------------------------------------

ENVIRONMENT = {
    "PORT": "8080",
    "VERBOSE": "false",
    "DATABASE_URL": "postgres://localhost/shop",
    "SESSION_SECRET": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "PATH": "/bin",
}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"PORT": ""}, ["PORT"]),
        ({"PORT": "80a"}, ["PORT"]),
        ({"PORT": "70000"}, ["PORT"]),
        ({"VERBOSE": "maybe"}, ["VERBOSE"]),
        ({"DATABASE_URL": "postgresql://localhost/shop"}, []),
        ({"DATABASE_URL": "mysql://localhost/shop"}, ["DATABASE_URL"]),
        ({"DATABASE_URL": "postgresqlx://localhost/shop"}, ["DATABASE_URL"]),
        ({"SESSION_SECRET": " " * 32}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "s" * 32}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "correct horse battery staple etc."}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "abcdefgh" * 3 + "abcdefg"}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "abcdefgh" * 4}, []),
        ({"DATABASE_URL": "shop", "SESSION_SECRET": "short"},
         ["DATABASE_URL", "SESSION_SECRET"]),
    ],
)  # fmt: skip
def test_a_configuration_is_checked_at_start_by_name_and_never_by_value(change, wrong):
    env = ENVIRONMENT | change
    seen = node.evaluate(
        f"""
    import {{ configFrom }} from './validation/config.mjs';
    try {{
      const config = configFrom({json.dumps(env)});
      console.log(JSON.stringify(config), Object.isFrozen(config));
    }} catch (error) {{ console.log(error.message); }}
    """
    ).stdout
    if not wrong:
        config = {**env, "PORT": 8080, "VERBOSE": False}
        del config["PATH"]
        text, frozen = seen.rsplit(" ", 1)
        assert (json.loads(text), frozen.strip()) == (config, "true")
    else:
        lines = seen.splitlines()[1:]
        assert [line.split(":")[0] for line in lines] == wrong
        assert not any(value in seen for value in change.values() if len(value) > 3)


def test_a_message_is_handled_refused_or_tried_again():
    seen = node.evaluate(
        """
    import { receiverOf } from './validation/message.mjs';
    import { parseOrder } from './validation/order.mjs';
    let down = false;
    const receive = receiverOf({
      parse: parseOrder,
      handle: async (order) => {
        if (down) throw new Error('database');
        return `handled ${order.items.length}`;
      },
      refuse: (errors) => `refused ${errors.map((e) => e.pointer)} ${errors[0].detail}`,
    });
    const order = '{"items":[{"sku":"tea","quantity":1}]}';
    const bytes = [Buffer.from(order), Buffer.from('{"items":7}'), Buffer.from('{'),
      Buffer.from([0xc0, 0x80]), Buffer.from('{"items":[],"note":"\xff"}', 'latin1'),
      Buffer.alloc(10_001), new ArrayBuffer(10_001), [Buffer.from(order)], order,
      new Uint8Array(Buffer.from(order)).buffer];
    for (const one of bytes) console.log(await receive(one));
    const later = receiverOf({ parse: async (order) => parseOrder(order),
      handle: async (order) => `handled ${order.items.length}`,
      refuse: async (errors) => `refused ${errors[0].pointer}` });
    console.log(await later(bytes[0]), await later(bytes[1]));
    down = true;
    console.log(await receive(bytes[0]).catch((e) => `again: ${e.message}`));
    """
    ).stdout
    assert seen.splitlines() == [
        "handled 1",
        "refused #/items Invalid input: expected array, received number",
        *["refused # Not JSON in UTF-8"] * 3,
        *["refused # Too long, or no bytes"] * 4,
        "handled 1",
        "handled 1 refused #/items",
        "again: database",
    ]


# --- numbers ----------------------------------------------------------------------------

REFUSED_NUMBERS = {  # bounds: what is wanted, and values that are something else
    "undefined": (
        "whole number, 1 or more",
        [
            "'5'",
            "''",
            "NaN",
            "Infinity",
            "0",
            "-1",
            "1.5",
            "2 ** 53",
            "null",
            "[5]",
            "5n",
        ],
    ),
    "{ least: 0 }": ("whole number, 0 or more", ["'0'", "-1", "0.5", "undefined"]),
    "{ least: 2, most: 4 }": ("whole number, 2 or more, 4 at most", ["1", "5", "2.5"]),
    "WAIT": ("whole number, 0 or more, 2147483647 at most", ["-1", "2 ** 31", "'9'"]),
    "{ above: 0 }": ("number above 0", ["0", "-0.5", "'0.5'", "NaN", "Infinity"]),
    "{ above: 0, most: 4 }": ("number above 0, 4 at most", ["0", "4.5", "'4'"]),
}


@pytest.mark.parametrize("bounds", REFUSED_NUMBERS)
def test_what_is_no_such_number_is_named_and_shown(bounds):
    wanted, wrong = REFUSED_NUMBERS[bounds]
    seen = node.evaluate(
        f"""
    import {{ inspect }} from 'node:util';
    import {{ WAIT, numbers }} from './{TOPIC}/numbers.mjs';
    for (const value of [{", ".join(wrong)}]) {{
      try {{ numbers({{ right: 3, size: value }}, {bounds}); }}
      catch (error) {{
        const said = `TypeError: size: not a {wanted}, but ${{inspect(value)}}`;
        console.log(`${{error}}` === said || `${{error}}`);
      }}
    }}
    """
    ).stdout
    assert seen.splitlines() == ["true"] * len(wrong)


def test_numbers_within_their_bounds_are_taken():
    node.evaluate(f"""
    import {{ WAIT, numbers }} from './{TOPIC}/numbers.mjs';
    numbers({{ one: 1, most: Number.MAX_SAFE_INTEGER }});
    numbers({{ none: 0 }}, {{ least: 0 }});
    numbers({{ low: 2, high: 4 }}, {{ least: 2, most: 4 }});
    numbers({{ none: 0, month: 2 ** 31 - 1 }}, WAIT);
    numbers({{ half: 0.5, huge: 2 ** 60 }}, {{ above: 0, most: 2 ** 60 }});
    """)
