"""Prometheus, scraping what a test serves."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from lab.run import process
from lab.run.services.service import (
    PATIENCE,
    Recipe,
    Service,
    ServiceError,
    is_local,
    running,
)


class Prometheus(Service):
    """A Prometheus server; what it has scraped survives `stop`."""

    def query(self, expr: str) -> list[dict]:
        """The answer to a PromQL expression, now: a list of `{metric, value}`, labels
        and a number. Raises ServiceError with the server's message."""
        answer = self._ask("query", query=expr)
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": float(answer["result"][1])}]
        return [
            {"metric": one["metric"], "value": float(one["value"][1])}
            for one in answer["result"]
        ]

    def rules(self) -> list[dict]:
        """Its recording and alerting rules as it sees them: `name`, `health`, `state`
        of an alert, and so on. Raises ServiceError."""
        return [one for group in self._ask("rules")["groups"] for one in group["rules"]]

    def until(self, expr: str, seconds: float = PATIENCE) -> list[dict]:
        """Ask until the answer is not empty, and give it: `until("up == 1")`.

        Raises ServiceError when it stays empty for `seconds`, or cannot be asked.
        """
        try:
            return process.until(lambda: self.query(expr), seconds)
        except TimeoutError:
            targets = [
                f"{one['scrapeUrl']}: {one['lastError'] or one['health']}"
                for one in self._ask("targets")["activeTargets"]
            ]
            raise ServiceError(
                f"Prometheus: no answer to {expr} within {seconds:g} s — it scrapes "
                + "; ".join(targets)
            ) from None

    def _ask(self, what: str, **parameters: str):
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=10)
        body = answer.json()
        if body["status"] != "success":
            question = parameters.get("query", what)
            raise ServiceError(f"Prometheus: {question!r} failed — {body['error']}")
        return body["data"]


@contextlib.contextmanager
def prometheus(
    targets: str | Sequence[str] = (),
    *,
    rules: Path | None = None,
    interval: str = "1s",
    job: str = "orders",
    sample_limit: int | None = None,
) -> Iterator[Prometheus]:
    """A Prometheus server that scrapes `targets`, the URLs of pages with metrics, every
    `interval`, and evaluates the file `rules` as often. Of a page with more samples
    than `sample_limit` it keeps none.

    All targets must be up when the block begins: it waits until each was scraped.
    Raises ServiceError; one that names the Debian package when it is missing.
    """
    urls = [targets] if isinstance(targets, str) else list(targets)
    program = prometheus_program()
    scrapes = []
    for index, url in enumerate(urls):
        parts = urlsplit(url)
        if parts.scheme != "http" or not is_local(parts.hostname) or not parts.port:
            raise ServiceError(
                f"Prometheus: '{url}' is no target — give http://127.0.0.1:PORT/metrics"
            )
        scrapes.append(
            {
                "job_name": f"{job}-{index}" if index else job,
                "metrics_path": parts.path or "/metrics",
                "static_configs": [
                    {"targets": [parts.netloc], "labels": {"job": job}},
                ],
                **({} if sample_limit is None else {"sample_limit": sample_limit}),
            }
        )

    def argv(folder: Path, port: int) -> list[str | Path]:
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(rules.resolve())] if rules else [],
            "scrape_configs": scrapes,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
        return [
            program, f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--scrape.discovery-reload-interval=100ms",  # else 5 s more, at times
        ]  # fmt: skip

    recipe = Recipe(
        "Prometheus",
        "http://127.0.0.1:{port}",
        argv,
        ready="Server is ready to receive web requests",
        taken="address already in use",
    )
    with running(Prometheus, recipe) as service:
        if urls:
            service.until(f"sum(up) == {len(urls)}")
        yield service


def prometheus_program() -> str:
    """The path of Prometheus. Raises ServiceError that names the Debian package."""
    if found := shutil.which("prometheus"):
        return found
    raise ServiceError(
        "Prometheus: not installed — Debian: apt-get install prometheus (see apt.txt)"
    )
