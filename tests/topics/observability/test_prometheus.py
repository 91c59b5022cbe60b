"""Prometheus scrapes the shop; dashboards and rules are answered."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
import yaml

from lab import SNIPPETS
from lab.run import node, process, services

from .shared import HERE, expression, metrics_url, promtool, two_ports

# --- Prometheus and Grafana ---------------------------------------------------------


def panels() -> dict[str, str]:
    """The dashboard's queries by title."""
    dashboard = json.loads((HERE / "grafana/dashboard.json").read_text())
    return {
        panel["title"]: target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def test_the_dashboard_is_what_its_program_makes():
    done = subprocess.run(
        [sys.executable, HERE / "grafana/dashboard.py"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == (HERE / "grafana/dashboard.json").read_text()
    assert len(panels()) == 7


def test_prometheus_scrapes_the_shop_and_answers_every_query_of_dashboard_and_rules(
    prometheus_server,
):
    with two_ports() as server, server.client() as c:
        url = metrics_url(server)
        prometheus = prometheus_server(url, rules=HERE / "rules.yml")
        assert prometheus.query("up")[0]["value"] == 1
        done = threading.Event()

        def customers():
            while not done.is_set():
                c.get("/orders/ord_1")
                c.get("/orders/ord_2")
                done.wait(0.02)

        busy = threading.Thread(target=customers)
        busy.start()
        try:
            for title, expr in panels().items():
                expr = expr.replace("$__rate_interval", "1m")
                assert prometheus.until(expr), title
            # NaN, 0 of 0 requests, is not equal to itself
            ratio = "job:requests_bad:ratio_rate5m"
            [bad] = prometheus.until(f"{ratio} == {ratio}")
            assert bad["metric"]["job"] == "orders" and -0.01 < bad["value"] < 1
        finally:
            done.set()
            busy.join()
        rules = prometheus.rules()
        assert {one["health"] for one in rules} == {"ok"}
        states = {one["name"]: one["state"] for one in rules if "state" in one}
        assert len(states) == 7 and states["NotScraped"] == "inactive"
    prometheus.until('ALERTS{alertname="NotScraped", alertstate="pending"}')
    assert prometheus.query("up")[0]["value"] == 0


BY_USER = """
import client from 'prom-client';
const register = new client.Registry();
const seen = new client.Counter({ name: 'seen_total', help: 'by user',
  labelNames: ['user'], registers: [register] });
export function createApp() { return answer; }
async function answer(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  if (pathname === '/metrics') return res.end(await register.metrics());
  if (pathname === '/seen') seen.inc({ user: searchParams.get('user') });
  if (pathname === '/forget') seen.remove({ user: searchParams.get('user') });
  res.end();
}
"""


@pytest.mark.claim("observability/label-by-user", verdict="wrong")
def test_above_the_sample_limit_a_page_is_dropped_whole_and_up_is_0(
    prometheus_server, tmp_path
):
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    (tmp_path / "seen.mjs").write_text(BY_USER)
    with node.serve(tmp_path / "seen.mjs") as server, server.client() as c:
        for user in ("ann", "bob", "eve"):
            c.get("/seen", params={"user": user})
        prometheus = prometheus_server(f"{server.url}/metrics", sample_limit=3)
        assert len(prometheus.query("seen_total")) == 3  # as many are allowed
        for user in ("zoe", "ann"):
            c.get("/seen", params={"user": user})
        prometheus.until("up == 0")
        # the new one is not there, and the old ones are as they were before it came
        assert [one["value"] for one in prometheus.query("seen_total")] == [1, 1, 1]
        c.get("/forget", params={"user": "zoe"})
        prometheus.until("seen_total == 2")
        assert prometheus.query("up")[0]["value"] == 1


def test_the_compose_file_is_valid_and_what_it_mounts_is_there():
    import check_jsonschema  # their import takes seconds
    import jsonschema

    bundled = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor"
    schema = json.loads((bundled / "compose-spec.json").read_text("utf-8"))
    composed = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
    jsonschema.validate(composed, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"orders": {"imgae": "node"}}}, schema)
    composed = composed["services"]
    for name, service in composed.items():
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for mount in service["volumes"]:
            source, _target, mode = mount.split(":")
            assert (HERE / source).exists(), mount
            assert mode == "ro"
    assert composed["orders"]["stop_grace_period"] == "20s"
    [scrape] = yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]
    [target] = scrape["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert composed[host]["environment"]["METRICS_PORT"] == int(port)
    provisioning = HERE / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"].split("//")[1].split(":")[0] in composed
    dashboard = json.loads((HERE / "grafana/dashboard.json").read_text())
    used = {p["datasource"]["uid"] for p in dashboard["panels"] if p["type"] != "row"}
    assert used == {source["uid"]}
    [provider] = yaml.safe_load((provisioning / "dashboards/orders.yml").read_text())[
        "providers"
    ]
    path = provider["options"]["path"]
    assert any(f":{path}/" in mount for mount in composed["grafana"]["volumes"])


def test_the_container_tells_node_that_it_ends_and_not_the_shell_before_it(tmp_path):
    composed = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
    shell, flag, script = shlex.split(composed["services"]["orders"]["command"])
    packages, rest = script.split(" && ")
    assert packages == "npm ci --omit=dev"
    argv = ["/bin/sh", flag, f"true && {rest}"]  # Debian's, as in the image
    env = {**os.environ, "PORT": "0", "METRICS_PORT": "0", "DRAIN_MS": "0"}
    env["PATH"] = f"{Path(node.binary()).parent}:{env['PATH']}"
    assert shell == "sh"
    with (tmp_path / "out").open("wb") as out:
        child, token = process.start(argv, cwd=SNIPPETS, env=env, stdout=out)
        try:
            process.until(lambda: b"listening" in (tmp_path / "out").read_bytes())
            os.kill(child.pid, signal.SIGTERM)
            assert child.wait(10) == 0  # by itself, after its handler
        finally:
            process.end(child, token, grace=0)


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


@pytest.mark.claim("observability/check-rules-is-a-test", verdict="wrong")
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
