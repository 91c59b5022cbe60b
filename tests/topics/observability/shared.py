"""What several files of these tests share."""

import json
import re
import secrets
import subprocess

import pytest
import yaml

from lab import SNIPPETS
from lab.run import node, process, services

TOPIC = "observability"

HERE = SNIPPETS / TOPIC

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "b7ad6b7169203331"

ORDER = {"items": [{"sku": "tea", "quantity": 1}]}

PIPE = 65_536  # bytes that Linux keeps of a pipe that nobody reads


def lines_of(source: str) -> list[str]:
    return node.printed(source).splitlines()


def logged(server, count: int, message: str | None = None) -> list[dict]:
    """The first `count` lines that are JSON, once they are there: an answer may
    arrive before the line about it is written."""

    def lines():
        found = [json.loads(x) for x in server.output().splitlines() if x[:1] == "{"]
        found = [x for x in found if message in (None, x.get("msg"))]
        return found[:count] if len(found) >= count else None

    return process.until(lines)


def told(source: str, stdout) -> str:
    """What a program writes to standard error, whose standard output is `stdout`; it
    must end by itself."""
    done = subprocess.run(
        [node.binary(), *node.STRICT, "--input-type=module", "--eval", source],
        cwd=SNIPPETS, stdout=stdout, stderr=subprocess.PIPE, text=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


# the context of a service that only our own services call
INSIDE = """
import * as traces from '{}';
const context = {{ ...traces, traced: traces.tracing({{ inside: true }}) }};
""".format((HERE / "context.mjs").as_uri())


def kept(logger: str, death: str, tmp_path, lines: int = 1000) -> int:
    """Whole lines in the file of a logger whose process dies after `lines`."""
    file = tmp_path / secrets.token_hex(4)
    own = [str(file)] if logger.startswith(("pino", "winston file")) else []
    done = node.run(f"{TOPIC}/deaths.mjs", logger, death, str(lines), *own, code=None)
    text = file.read_text() if own else done.stdout  # which is a file, too
    whole = [json.loads(line) for line in text.splitlines()]
    assert [line["n"] for line in whole] == list(range(len(whole)))
    return len(whole)


SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def samples(text: str, name: str) -> list[tuple[dict, float]]:
    """The series `name` of a page with metrics: labels and value of each."""
    return [
        (dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
        for found, labels, value in SERIES.findall(text)
        if found == name
    ]


def metrics_url(server) -> str:
    return re.search(r"metrics on (http\S+)", server.output())[1]


def two_ports(**env: str):
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0", **env}
    return node.serve(f"{TOPIC}/two-ports.mjs", env=env)


def promtool(*args, code: int = 0) -> str:
    """What promtool prints; it must end with `code`."""
    if why := services.missing("prometheus"):
        pytest.skip(why)
    done = subprocess.run(
        ["promtool", *map(str, args)],
        capture_output=True, text=True, check=False, timeout=30, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def expression(series: dict[str, str], expr: str, minute: int, tmp_path) -> float:
    """The value of a PromQL expression over made-up series, one sample a minute, by
    Prometheus's own engine: it is asked whether it is nothing, and says what it is."""
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump(
            {
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": name, "values": values}
                            for name, values in series.items()
                        ],
                        "promql_expr_test": [
                            {
                                "expr": expr,
                                "eval_time": f"{minute}m",
                                "exp_samples": [{"labels": "{}", "value": -1}],
                            }
                        ],
                    }
                ]
            }
        )
    )
    said = promtool("test", "rules", tmp_path / "test.yml", code=1)
    return float(re.search(r"got:.*?\} (\S+?)\"?$", said, re.MULTILINE)[1])
