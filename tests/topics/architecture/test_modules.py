"""Caches, circular imports and contexts: what modules do to one another."""

import json

import pytest

from lab.run import node

CACHE = """
import { setTimeout as sleep } from 'node:timers/promises';
import { createCache } from './architecture/cache.mjs';
const naive = await import('./architecture/cache.naive.mjs');
const alive = setInterval(() => {}, 1000); // a deadline's timer keeps no process
const say = (...values) => console.log(JSON.stringify(values));
const logger = { error: ({ error }) => say(error.message) };
let [at, loads] = [0, 0];
const now = () => at;
const load = async (key) => { loads += 1; await sleep(5); return `${key}${loads}`; };
const many = (get) => Promise.all(Array.from({ length: 200 }, () => get('tea')));
"""


def printed(lines: str) -> list:
    done = node.evaluate(f"{CACHE}{lines}\nclearInterval(alive);")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.claim("architecture/longer-ttl-stops-a-stampede", verdict="wrong")
def test_two_hundred_that_miss_at_once_are_two_hundred_loads_or_one():
    said = printed("""
      await many(naive.createCache({ load, now }));
      say(loads);
      loads = 0;
      const { get } = createCache({ load, now });
      say(new Set(await many(get)).size, loads);
    """)
    assert said == [[200], [1, 1]]


def test_what_is_old_is_given_while_it_is_loaded_again():
    said = printed("""
      const { get } = createCache({ load, now, ttlMs: 100, staleMs: 50, random: () => 0 });
      say(await get('a'), await get('a'), loads);
      at = 120;
      say(await get('a'), await get('a'), loads);
      await sleep(20);
      say(await get('a'), loads);
      at = 400;
      say(await get('a'), loads);
    """)
    assert said == [["a1", "a1", 1], ["a1", "a1", 2], ["a2", 2], ["a3", 3]]


def test_a_failure_is_everybodys_who_waits_and_is_not_kept():
    said = printed("""
      let down = true;
      const flaky = async (key) => { loads += 1; if (down) throw new Error('gone'); return key; };
      const { get } = createCache({ load: flaky, now, ttlMs: 100, logger });
      const all = await Promise.allSettled([get('a'), get('a'), get('a')]);
      say(all.map(({ reason }) => reason.message), loads);
      down = false;
      say(await get('a'));
      down = true;
      at = 150;
      say(await get('a')); // old, and the failure is told
      await sleep(5);
      const hangs = createCache({ load: () => new Promise(() => {}), mostMs: 20, logger });
      await hangs.get('a').catch(({ name }) => say(name));
    """)
    assert said == [[["gone"] * 3, 1], ["a"], ["a"], ["gone"], ["TimeoutError"]]


def test_what_was_loaded_before_an_invalidation_is_not_kept_after_it():
    said = printed("""
      let price = 1;
      const slow = async () => { const seen = price; await sleep(20); return seen; };
      const { get, invalidate } = createCache({ load: slow, now });
      const before = get('a');
      await sleep(5);
      price = 2; // committed
      invalidate('a');
      say(await get('a'), await before, await get('a'));
    """)
    assert said == [[2, 1, 2]]


def test_a_cache_has_a_bound_and_its_entries_do_not_end_together():
    said = printed("""
      const { get } = createCache({ load, now, most: 2 });
      for (const key of ['a', 'b', 'c', 'a']) await get(key);
      say(loads);
      loads = 0;
      const spread = createCache({ load, now, ttlMs: 1000, staleMs: 0 });
      const keys = Array.from({ length: 100 }, (_, n) => `k${n}`);
      for (const key of keys) spread.get(key);
      await sleep(30);
      at += 950;
      for (const key of keys) spread.get(key);
      await sleep(30);
      say(loads > 110 && loads < 190);
    """)
    assert said == [[4], [True]]


@pytest.mark.parametrize("wrong", ["ttlMs: '5'", "staleMs: NaN", "most: 0"])
def test_limits_of_a_cache_that_are_no_numbers_are_refused(wrong):
    done = node.evaluate(f"{CACHE}createCache({{ load, {wrong} }});", code=1)
    assert f"TypeError: {wrong.split(':')[0]}" in done.stderr


# --- circular imports ------------------------------------------------------------------


@pytest.mark.claim("architecture/esm-makes-cycles-harmless", verdict="wrong")
def test_a_circular_import_is_undefined_in_commonjs_and_an_error_in_modules(tmp_path):
    users, orders = tmp_path / "users.cjs", tmp_path / "orders.cjs"
    users.write_text(
        "const { total } = require('./orders.cjs');\n"
        "exports.find = () => total ? 'found' : 'nothing';\n"
    )
    orders.write_text(
        "const { find } = require('./users.cjs');\n"
        "exports.total = () => 1;\n"
        "exports.show = () => typeof find;\n"
    )
    (tmp_path / "a.cjs").write_text(
        "require('./users.cjs'); console.log(require('./orders.cjs').show());"
    )
    (tmp_path / "b.cjs").write_text(
        "require('./orders.cjs'); console.log(require('./orders.cjs').show());"
    )
    assert node.run(tmp_path / "a.cjs").stdout == "undefined\n"  # by who was first
    assert node.run(tmp_path / "b.cjs").stdout == "function\n"
    (tmp_path / "one.mjs").write_text(
        "import { two } from './two.mjs';\nexport const one = 1;\nconsole.log(two);\n"
    )
    (tmp_path / "two.mjs").write_text(
        "import { one } from './one.mjs';\nexport const two = one + 1;\n"
        "export const later = () => one;\n"
    )
    error = node.run(tmp_path / "one.mjs", code=1).stderr
    assert "ReferenceError: Cannot access 'one' before initialization" in error
    # what is read only later, in a function, is there: the binding is live
    (tmp_path / "two.mjs").write_text(
        "import { one } from './one.mjs';\nexport const two = () => one + 1;\n"
    )
    (tmp_path / "one.mjs").write_text(
        "import { two } from './two.mjs';\nexport const one = 1;\nconsole.log(two());\n"
    )
    assert node.run(tmp_path / "one.mjs").stdout == "2\n"


# --- context ---------------------------------------------------------------------------


@pytest.mark.claim("architecture/enter-with-is-run", verdict="wrong")
def test_enter_with_goes_on_for_whoever_comes_next_and_run_ends():
    lines = node.printed("""
      import { AsyncLocalStorage } from 'node:async_hooks';
      const requests = new AsyncLocalStorage();
      function handle(id, next) {
        if (id) next(id);
        console.log(id ?? 'none', requests.getStore() ?? 'none');
      }
      for (const id of ['r1', undefined]) handle(id, (value) => requests.enterWith(value));
      requests.enterWith(undefined);
      for (const id of ['r1', undefined])
        requests.run(id, () => handle(id, () => {}));
    """).splitlines()
    assert lines == ["r1 r1", "none r1", "r1 r1", "none none"]


# --- what leaves the house -------------------------------------------------------------


@pytest.mark.claim("architecture/delete-before-json", verdict="wrong")
def test_deleting_a_field_before_the_answer_misses_the_next_column():
    lines = node.printed("""
      const row = { id: 1, name: 'Ann', passwordHash: 'x' };
      const deny = ({ passwordHash, ...rest }) => rest;
      const allow = ({ id, name }) => ({ id, name });
      const next = { ...row, resetToken: 'y' }; // a migration, a month later
      for (const view of [deny, allow])
        console.log(Object.keys(view(row)).join(), Object.keys(view(next)).join());
    """).splitlines()
    assert lines == ["id,name id,name,resetToken", "id,name id,name"]
