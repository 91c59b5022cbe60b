"""What is made of Lighthouse's reports. (The tool itself runs in `make lighthouse`.)"""

import copy

import pytest

from lab import ROOT
from lab.audit import lighthouse
from lab.audit.lighthouse import LEAST, LighthouseError

NEEDED = {"performance": 95, **LEAST}

GOOD = {
    "lighthouseVersion": "13.5.0",
    "configSettings": {"formFactor": "mobile"},
    "categories": {
        "performance": {
            "score": 0.98,
            "auditRefs": [
                {"id": "first-contentful-paint", "weight": 10, "acronym": "FCP"},
                {"id": "total-blocking-time", "weight": 30, "acronym": "TBT"},
                {"id": "unused-css-rules", "weight": 0},
                {"id": "long-tasks", "weight": 0},
            ],
        },
        "accessibility": {
            "score": 1,
            "auditRefs": [
                {"id": "color-contrast", "weight": 7},
                {"id": "image-alt", "weight": 3},
                {"id": "video-caption", "weight": 10},
            ],
        },
        "best-practices": {
            "score": 1,
            "auditRefs": [{"id": "errors-in-console", "weight": 1}],
        },
        "seo": {"score": 1, "auditRefs": [{"id": "meta-description", "weight": 1}]},
    },
    "audits": {
        "first-contentful-paint": {"score": 0.99},
        "total-blocking-time": {"score": 0.9, "displayValue": "180 ms"},
        "unused-css-rules": {"score": 0, "metricSavings": {"FCP": 200, "TBT": 0}},
        "long-tasks": {
            "score": 1,
            "displayValue": "2 found",
            "metricSavings": {"TBT": 130},
            "details": {
                "items": [
                    {"url": "http://127.0.0.1:1/p/a.js", "duration": 99.7},
                    {"url": "http://127.0.0.1:1/p/", "duration": 80},
                ]
            },
        },
        "color-contrast": {"score": 1},
        "image-alt": {"score": 1},
        "video-caption": {"score": None},  # not applicable
        "errors-in-console": {"score": 1},
        "meta-description": {"score": 1},
    },
}


def report(**scores: float | None) -> dict:
    """The good report with other scores of categories: `seo=0.9`."""
    made = copy.deepcopy(GOOD)
    for name, value in scores.items():
        made["categories"][name.replace("_", "-")]["score"] = value
    return made


def faulty() -> dict:
    """One with contrast that is too low, in more elements than are named."""
    made = report(accessibility=0.65)
    nodes = [{"node": {"selector": f"span.c{n}"}} for n in range(7)]
    made["audits"]["color-contrast"] = {
        "score": 0.5,
        "details": {"items": [*nodes, nodes[0]]},
    }
    return made


def test_good_reports_are_no_problem_and_what_costs_points_is_told():
    assert lighthouse.judge("home", [GOOD] * 3, NEEDED) == []
    assert lighthouse.costs(GOOD, "performance") == [
        "total-blocking-time 180 ms (−7.5)",
        "first-contentful-paint (−0.3)",  # too little for its causes to be told
        "long-tasks 2 found /p/a.js 100 ms, /p/ 80 ms",
    ]
    assert lighthouse.costs(GOOD, "accessibility") == []


def test_a_failing_audit_is_named_with_its_elements_and_the_report():
    (problem,) = lighthouse.judge("ledger", [GOOD, faulty(), GOOD], NEEDED)
    assert str(problem) == (
        "ledger: accessibility is 65, must be 100 — mend color-contrast "
        "span.c0, span.c1, span.c2, span.c3, span.c4, 2 more (−17.5) "
        "(all of it: build/lighthouse/ledger-2.report.html)"
    )


@pytest.mark.parametrize("category", NEEDED)
def test_each_category_has_its_least_score(category):
    just, short = NEEDED[category] / 100, NEEDED[category] / 100 - 0.01
    assert lighthouse.judge("home", [report(**{category: just})], NEEDED) == []
    (problem,) = lighthouse.judge("home", [report(**{category: short})], NEEDED)
    assert problem.code == f"lighthouse-{category}" and problem.place == "home"


def test_of_performance_the_median_counts_of_the_rest_the_worst():
    runs = [report(performance=p, seo=s) for p, s in ((0.4, 1), (0.97, 0.9), (1, 1))]
    assert lighthouse.score("performance", runs) == 97
    assert lighthouse.score("seo", runs) == 90
    assert [p.code for p in lighthouse.judge("home", runs, NEEDED)] == ["lighthouse-seo"]


def test_a_category_without_a_score_is_no_pass():
    runs = [GOOD, report(performance=None), GOOD]
    (problem,) = lighthouse.judge("home", runs, NEEDED)
    assert "performance is not scored, must be 95" in str(problem)
    assert "home-2.report.html" in str(problem)


def test_the_table_says_which_device_and_each_page_s_scores():
    runs = [report(performance=p) for p in (0.93, 0.99, 0.98)]
    lines = lighthouse.table({"home": runs, "ledger": [faulty()] * 3}).splitlines()
    assert lines[1].startswith("Lighthouse 13.5.0, mobile, simulated throttling, 3 runs")
    assert lines[2].split() == ["page", *lighthouse.CATEGORIES]
    assert lines[3].split() == ["home", "98", "(93,", "98,", "99)", "100", "100", "100"]
    assert lines[4].split()[-3:] == ["65", "100", "100"]
    assert "ledger, accessibility:" in lines and "home, accessibility:" not in lines


def test_a_page_that_was_not_built_is_named(tmp_path):
    topic = "topics/event-loop"
    parts = [f"{topic}/", f"{topic}/questions/", f"{topic}/claims/", f"{topic}/code/"]
    for path in ("", *parts, "questions/", "notebooks/event-loop/"):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        (tmp_path / path / "index.html").touch()
    with pytest.raises(LighthouseError, match="^site/ledger/: not built, and it must"):
        lighthouse.targets(tmp_path)
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "index.html").touch()
    assert list(lighthouse.targets(tmp_path)) == [
        "home", "answer", "questions", "claims", "code", "bank", "notebook", "ledger",
    ]  # fmt: skip


CLI = """
const path = process.argv.find((x) => x.startsWith('--output-path=')).split('=')[1];
const says = process.env.SAYS;
if (says) require('node:fs').writeFileSync(`${path}.report.json`, says);
console.log('alas');
if (process.env.HANGS) setInterval(() => {}, 1000);
process.exitCode = says ? 0 : 1;
"""
BROKEN = (
    '{"runtimeError": {"code": "NO_NAVSTART", "message": "Please run Lighthouse again"}}'
)
MISSING = '{"runtimeError": {"code": "X", "message": "Status code: 404"}}'


@pytest.fixture
def cli(monkeypatch, tmp_path):
    """A stand-in for Lighthouse, which writes what the environment says."""
    file = tmp_path / "index.cjs"
    file.write_text(CLI)
    monkeypatch.setattr(lighthouse, "_CLI", file)
    monkeypatch.setattr(lighthouse, "REPORTS", tmp_path)


def audit() -> dict:
    return lighthouse._audit("http://x/", ROOT, "home-1")


def test_a_report_is_read(cli, monkeypatch):
    monkeypatch.setenv("SAYS", '{"categories": {}}')
    assert audit() == {"categories": {}}


def test_a_broken_trace_is_tried_again_another_error_is_not(cli, monkeypatch, capsys):
    monkeypatch.setenv("SAYS", BROKEN)
    with pytest.raises(LighthouseError, match="Please run Lighthouse again"):
        audit()
    assert capsys.readouterr().out == "home-1: NO_NAVSTART, so once more\n" * 2
    monkeypatch.setenv("SAYS", MISSING)
    with pytest.raises(LighthouseError, match="http://x/: .* — mend .* code: 404"):
        audit()
    assert capsys.readouterr().out == ""


def test_a_run_that_fails_or_never_ends_is_told_with_what_it_printed(cli, monkeypatch):
    monkeypatch.delenv("SAYS", raising=False)
    with pytest.raises(LighthouseError, match="ended with 1 — mend what it says: alas"):
        audit()
    monkeypatch.setenv("HANGS", "1")
    monkeypatch.setattr(lighthouse, "LIMIT", 0.5)
    with pytest.raises(LighthouseError, match="did not end within 0.5 s.*printed: alas"):
        audit()


def test_without_lighthouse_it_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(lighthouse, "_CLI", tmp_path / "none.js")
    with pytest.raises(LighthouseError, match="not installed — run `make lighthouse`"):
        lighthouse.run()
