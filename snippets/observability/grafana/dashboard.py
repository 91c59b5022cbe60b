"""The dashboard as code: run it, and it prints dashboard.json."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

# --8<-- [start:panels]
SECONDS, RANGE = "http_request_duration_seconds", "[$__rate_interval]"
BUCKETS = f"{SECONDS}_bucket"
GOOD = f'{SECONDS}_bucket{{le="0.3", status!~"5.."}}{RANGE}'
RED = [
    ("Requests", "reqps", f"sum by (route) (rate({SECONDS}_count{RANGE}))"),
    ("Bad, of all (objective: 1 %)", "percentunit",
     f"1 - sum(rate({GOOD})) / sum(rate({SECONDS}_count{RANGE}))"),
    ("p99", "s", "histogram_quantile(0.99, "
     + f"sum by (le, route) (rate({BUCKETS}{RANGE})))"),
]  # fmt: skip
USE = [
    ("In flight, of capacity", "percentunit",
     "http_requests_in_flight / http_requests_in_flight_capacity"),
    ("Event loop busy", "percentunit",
     f"rate(nodejs_eventloop_active_seconds_total{RANGE})"),
    ("Event loop lag, p99", "s", "nodejs_eventloop_lag_p99_seconds"),
    ("Heap used", "bytes", "nodejs_heap_size_used_bytes"),
]  # fmt: skip
# --8<-- [end:panels]


# --8<-- [start:build]
def panel(title: str, unit: str, expr: str) -> Panel:
    source = DataSourceRef(type_val="prometheus", uid="prometheus")
    query = Dataquery().ref_id("A").expr(expr)
    query.legend_format("{{route}} {{instance}}")
    shown = Panel().title(title).unit(unit).min(0)
    return shown.datasource(source).with_target(query)


def dashboard() -> Dashboard:
    built = Dashboard("Orders").uid("orders")
    built.time("now-1h", "now").refresh("10s")
    for row, panels in (("Rate, errors, duration", RED), ("Saturation", USE)):
        built.with_row(Row(row))
        for title, unit, expr in panels:
            built.with_panel(panel(title, unit, expr).span(24 // len(panels)))
    return built


if __name__ == "__main__":
    print(JSONEncoder(sort_keys=True, indent=2).encode(dashboard().build()))
# --8<-- [end:build]
