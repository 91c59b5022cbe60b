"""Quantiles, coordinated omission, and alert rules."""

import json
import random
import re
import shutil
import subprocess

import httpx
import pytest
import yaml

from lab.run import node, services

from .shared import HERE, TOPIC, expression, lines_of, metrics_url, promtool, two_ports

# --- quantiles ----------------------------------------------------------------------


@pytest.mark.claim("observability/buckets-decide")
def test_a_quantile_is_as_exact_as_its_bucket_and_an_average_of_quantiles_is_none():
    said = dict(
        line.split(": ")
        for line in node.run(f"{TOPIC}/quantiles.mjs").stdout.splitlines()
    )
    ms = {name: float(value.removesuffix(" ms")) for name, value in said.items()}
    assert abs(ms["buckets around the objective"] / ms["p99"] - 1) < 0.03
    assert ms["default buckets"] / ms["p99"] > 1.25
    assert ms["average of p99s"] < 0.6 * ms["p99 of the fleet"]
    assert ms["fleet's average"] < 0.1 * ms["p99 of the fleet"]


def test_the_snippets_estimate_is_prometheus_own(tmp_path):
    uppers = [0.05, 0.1, 0.25, 0.5, 1]
    draw = random.Random(1)
    seconds = [draw.lognormvariate(-2.4, 0.5) for _ in range(1000)]
    series = {
        f'b{{le="{upper}"}}': f"0 {sum(s <= upper for s in seconds)}" for upper in uppers
    }
    series['b{le="+Inf"}'] = f"0 {len(seconds)}"
    theirs = expression(series, "histogram_quantile(0.99, sum by (le) (b))", 1, tmp_path)
    ours, beyond = lines_of(
        "import { estimate } from './observability/quantile.mjs';\n"
        f"console.log(estimate({json.dumps(seconds)}, {uppers}, 0.99));\n"
        f"console.log(estimate([7, 8, 9], {uppers}, 0.99));"
    )
    assert beyond == "1"  # whatever it was, it is the last bucket's edge
    assert float(ours) == pytest.approx(theirs, rel=1e-6)


# --- cardinality --------------------------------------------------------------------


def test_a_histogram_has_fourteen_series_for_each_value_of_a_label():
    counted = json.loads(node.run(f"{TOPIC}/cardinality.mjs", "10").stdout)
    assert (counted["values"], counted["series"]) == (10, 140)


# --- coordinated omission -----------------------------------------------------------


def test_the_stall_is_one_and_comes_after_the_first_request():
    seen = lines_of(
        """
    import { once } from 'node:events';
    import { monitorEventLoopDelay } from 'node:perf_hooks';
    import { createApp } from './observability/stall.mjs';
    const server = createApp({ afterMs: 1, stallMs: 800 }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    const url = `http://127.0.0.1:${server.address().port}/orders`;
    for (let i = 0; i < 3; i += 1) {
      await (await fetch(url)).text();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    console.log(delay.max > 700e6);
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == ["true"]


# --- rules --------------------------------------------------------------------------


def test_the_rules_are_rules_and_each_alert_fires_and_is_silent_when_it_must():
    assert "SUCCESS: 9 rules found" in promtool("check", "rules", "rules.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "rules.test.yml")
    rules = yaml.safe_load((HERE / "rules.yml").read_text())
    alerts = {r["alert"] for g in rules["groups"] for r in g["rules"] if "alert" in r}
    checks = yaml.safe_load((HERE / "rules.test.yml").read_text())["tests"]
    asked = [
        (one["alertname"], bool(one["exp_alerts"]))
        for test in checks
        for one in test["alert_rule_test"]
    ]
    assert {name for name, fires in asked if fires} == alerts
    assert {name for name, fires in asked if not fires} == alerts


@pytest.mark.claim("observability/check-rules-is-a-test")
def test_a_ratio_that_is_always_one_passes_the_check_and_fails_the_test(tmp_path):
    assert "SUCCESS" in promtool("check", "rules", "rules.naive.yml")
    shutil.copy(HERE / "rules.naive.yml", tmp_path / "rules.yml")
    test = yaml.safe_load((HERE / "rules.test.yml").read_text())
    [quiet] = [t for t in test["tests"] if t["name"] == "one in a hundred fails"]
    quiet["alert_rule_test"] = [
        one for one in quiet["alert_rule_test"] if one["alertname"] == "ManyErrors"
    ]
    test["tests"] = [quiet]
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    said = promtool("test", "rules", tmp_path / "test.yml", code=1)
    assert "FAILED" in said and "ManyErrors" in said


def test_the_first_error_of_a_kind_is_no_increase_unless_the_series_was_there(tmp_path):
    # the third minute brings the first failure, seen as a series that is 1
    born = expression({"e": "_ _ _ 1 1 1"}, "sum(increase(e[5m]))", 5, tmp_path)
    there = expression({"e": "0 0 0 1 1 1"}, "sum(increase(e[5m]))", 5, tmp_path)
    assert (born, there) == (0, 1)


def test_the_metrics_of_the_guide_pass_promtool_and_prom_clients_defaults_do_not():
    if why := services.missing("prometheus"):
        pytest.skip(why)
    with two_ports() as server, server.client() as c:
        c.get("/orders/ord_1")
        page = httpx.get(metrics_url(server)).text
    own = [
        line for line in page.splitlines(keepends=True)
        if re.match(r"(# \w+ )?(http_|nodejs_eventloop_active)", line)
    ]  # fmt: skip
    for text, code in (("".join(own), 0), (page, 3)):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text,
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("process_cpu" in done.stderr or "nodejs_" in done.stderr) is (code == 3)
