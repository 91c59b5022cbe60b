"""What is measured and recorded with real databases and mutated code."""

import contextlib
import json
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import pytest

from lab.record import evidence, figure
from lab.run import node

from .shared import APPS, HERE, TEA, TOPIC, Database, place

SOURCE = node.label(Path(__file__))


# --- measured and recorded --------------------------------------------------------------


def mutants(suite: str, folder: Path) -> dict[str, int]:
    """StrykerJS changes domain.mjs, a mutant at a time; counts by what became of it."""
    folder.mkdir()
    for name in ("domain.mjs", suite):
        shutil.copyfile(HERE / "layered" / name, folder / name)
    (folder / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    config = {
        "testRunner": "command",
        "commandRunner": {"command": f"{node.binary()} {suite}"},
        "plugins": [],
        "mutate": ["domain.mjs"],
        "reporters": ["json"],
        "jsonReporter": {"fileName": "report.json"},
        "concurrency": 2,
        "tempDirName": "sandbox",
        "ignorePatterns": ["node_modules"],
        "allowConsoleColors": False,
    }
    (folder / "stryker.config.json").write_text(json.dumps(config))
    stryker = node.SNIPPETS / "node_modules/@stryker-mutator/core/bin/stryker.js"
    subprocess.run(
        [node.binary(), stryker, "run"], cwd=folder, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text("utf-8"))
    found = [m["status"] for m in report["files"]["domain.mjs"]["mutants"]]
    return {status: found.count(status) for status in set(found)}


def covered(suite: str) -> str:
    """Lines, branches and functions of domain.mjs that a suite runs, in percent."""
    done = node.run(
        HERE / "layered" / suite,
        flags=(
            "--experimental-test-coverage",
            "--test-coverage-include=**/domain.mjs",
            "--test-reporter=tap",
        ),
    )
    row = re.search(r"domain\.mjs\s+\|([^\n]+?)\|\s*\n", done.stdout)
    return " ".join(row[1].split())


def test_both_suites_cover_all_of_the_domain():
    suites = ("domain.test.mjs", "domain.naive.test.mjs")
    assert {covered(suite) for suite in suites} == {"100.00 | 100.00 | 100.00"}


@pytest.mark.timing  # it counts; but StrykerJS keeps both cores busy for a while
@pytest.mark.claim("architecture/covered-is-tested", verdict="wrong")
def test_a_suite_that_covers_everything_lets_mutants_live(tmp_path):
    killed = {}
    for suite, name in (("domain.test.mjs", "all"), ("domain.naive.test.mjs", "naive")):
        found = mutants(suite, tmp_path / name)
        assert set(found) <= {"Killed", "Survived"}
        killed[name] = found["Killed"], sum(found.values())
    assert killed["all"][0] == killed["all"][1]
    for name, said in (("all", "that asks for values"), ("naive", "that covers alike")):
        evidence.hold(
            f"{TOPIC}/mutation-{name}",
            100 * killed[name][0] / killed[name][1],
            "%",
            f"mutants of the domain killed by the suite {said}",
            source=SOURCE,
            **({"above": 99} if name == "all" else {"below": 90}),
        )
    evidence.hold(
        f"{TOPIC}/mutants", killed["all"][1], "mutants",
        "that StrykerJS makes of the domain", source=SOURCE, above=30,
    )  # fmt: skip


WRITERS = """
import {{ createOrders }} from '{root}/layered/application.mjs';
import {{ postgresStore }} from '{root}/layered/postgres.mjs';

const store = await postgresStore({{ url: '{url}' }});
let begun = 0;
const unitOfWork = (work) =>
  store.unitOfWork((stores) => {{
    begun += 1;
    return work(stores);
  }});
const {{ place }} = createOrders({{ unitOfWork }});
const found = [];
for (const writers of [1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8]) {{
  begun = 0;
  let failed = 0;
  const one = async (n) => {{
    for (let order = 0; order < 10; order += 1) {{
      const items = [{{ sku: 'tea', quantity: 1 }}];
      await place(`customer-${{n}}`, {{ items }}).catch((error) => {{
        if (error.code !== '40001') throw error;
        failed += 1;
      }});
    }}
  }};
  await Promise.all(Array.from({{ length: writers }}, (_, n) => one(n)));
  found.push({{ writers, orders: writers * 10, begun, failed }});
}}
await store.close();
console.log(JSON.stringify(found));
"""


@pytest.mark.timing
def test_who_writes_one_row_together_begins_again(read_committed, server):
    found = {}
    for kind, root in (("serializable", HERE), ("read committed", read_committed)):
        database = Database(server)
        node.evaluate(
            "import { postgresStore } from '" + (HERE / "layered/postgres.mjs").as_uri()
            + f"';\nawait (await postgresStore({{ url: '{database.url}' }})).close();"
        )  # fmt: skip
        database.sql("UPDATE products SET stock = 100000")
        source = WRITERS.format(root=root.as_uri(), url=database.url)
        found[kind] = json.loads(node.evaluate(source, 60).stdout)
        sold = sum(row["orders"] - row["failed"] for row in found[kind])
        # whatever was given up, nothing was half written
        assert database.sql("SELECT stock FROM products WHERE sku = 'tea'") == str(
            100_000 - sold
        )
        assert database.sql("SELECT count(*) FROM orders") == str(sold)
    at_once = (1, 2, 4, 8)
    attempts, failed = {}, {}
    for kind, rows in found.items():
        for row in rows:
            key = kind, row["writers"]
            attempts.setdefault(key, []).append(row["begun"] / row["orders"])
            failed.setdefault(key, []).append(row["failed"])
    assert attempts["serializable", 1] == [1, 1, 1]
    assert all(attempts["read committed", n] == [1, 1, 1] for n in at_once)
    evidence.hold(
        f"{TOPIC}/attempts-of-eight", attempts["serializable", 8], "attempts",
        "of an order, eight writers of one row, serializable", source=SOURCE, above=1.05,
    )  # fmt: skip
    evidence.hold(
        f"{TOPIC}/given-up-of-eight", failed["serializable", 8], "of eighty",
        "orders given up after eight attempts, eight writers of one row",
        source=SOURCE, below=40,
    )  # fmt: skip
    lines = {
        kind: [statistics.median(attempts[kind, n]) for n in at_once] for kind in found
    }
    drawing, axes = figure.plot(5.9, 2.8)
    for (kind, values), marker in zip(lines.items(), "os", strict=True):
        axes.plot(at_once, values, marker=marker, label=kind)
    axes.set(xlabel="writers at once", ylabel="attempts per order", ylim=(0, None))
    axes.set_xticks(at_once)
    axes.legend(loc="lower right", ncols=2)
    figure.publish(
        f"{TOPIC}/writers",
        drawing,
        "Attempts per order against writers that take the same product at once, on "
        "PostgreSQL. Read committed stays at one attempt, since the second waits for "
        "the row. Serializable begins at one and rises above it with two writers and "
        "more.",
        {"writers": at_once, **lines},
        source=SOURCE,
    )


IN_TURN = """
const versions = {versions};
const item = '{{"items":[{{"sku":"tea","quantity":1}}]}}';
const ask = {{
  read: ({{ url, id }}) => fetch(`${{url}}/orders/${{id}}`, {{
    headers: {{ 'X-Customer': 'ann' }},
  }}),
  place: ({{ url }}, n) => fetch(`${{url}}/orders`, {{
    method: 'POST',
    headers: {{ 'X-Customer': `c${{n}}`, 'Content-Type': 'application/json' }},
    body: item,
  }}),
}};
const took = {{ read: {{}}, place: {{}} }};
for (let n = -20; n < 125; n += 1) {{
  for (const what of ['read', 'place']) {{
    for (const [version, server] of Object.entries(versions)) {{
      const begun = performance.now();
      const answer = await ask[what](server, n);
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`${{version}}: ${{answer.status}}`);
      const time = performance.now() - begun;
      if (n >= 0) (took[what][version] ??= []).push(time); // the others warm up
    }}
  }}
}}
console.log(JSON.stringify(took));
"""


@pytest.mark.timing
@pytest.mark.claim("architecture/layers-cost-performance", verdict="wrong")
def test_on_postgresql_the_way_through_the_layers_is_a_small_part(shop, server):
    """Median time of reading and of placing an order, the versions asked in turn."""
    versions = {}
    with contextlib.ExitStack() as stack:
        for name in ("one file", "MVC", "layered"):
            app, models = APPS[f"{name}, PostgreSQL"]
            database = Database(server)
            client = stack.enter_context(shop(app, database.url, models=models))
            database.sql("UPDATE products SET stock = 100000")
            id = place(client, TEA).json()["id"]
            versions[name] = {"url": str(client.base_url).rstrip("/"), "id": id}
        source = IN_TURN.format(versions=json.dumps(versions))
        took = json.loads(node.evaluate(source, 60).stdout)
    for what, times in took.items():
        blocks = [slice(n, n + 25) for n in range(0, 125, 25)]
        evidence.hold(
            f"{TOPIC}/{what}-on-postgresql",
            [
                statistics.median(times["layered"][block])
                / statistics.median(times["one file"][block])
                for block in blocks
            ],
            "×",
            f"median time to {what} an order on PostgreSQL, layered against one file",
            source=SOURCE,
            below=3,
        )
