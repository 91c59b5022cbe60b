"""Lighthouse over the built site, as it is published: under a path, gzipped, with the
headers of its `_headers` file, on a simulated mobile phone.

Performance varies from run to run, so each page is audited several times and the
median counts, as Lighthouse's own documentation says (docs/variability.md). The other
scores don't vary: there, the worst run counts. How fast a page is also says how fast
the machine is, so an empty page of the same theme is audited in turn with the others,
and a page may have little less than that.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median_low
from urllib.parse import urlsplit

from lab import BUILD, ROOT, GuideError
from lab.check import Problem, content
from lab.publish import builder
from lab.run import browser, node, process

# the score that each category must reach, of 100
LEAST = {"accessibility": 100, "best-practices": 100, "seo": 100}
VARIES = "performance"  # which must reach that of the empty page, or this much less
BELOW = 2
CATEGORIES = (VARIES, *LEAST)
EMPTY = "empty"  # the page of the theme alone: its name, and its path
RUNS = 3
PREFIX = "/proven-node"  # where a project's pages are on GitHub Pages
REPO = "https://github.com/example/proven-node"  # for the links, unless GUIDE_REPO
LIMIT = 180  # seconds for one run
ATTEMPTS = 3  # of one run, when Chromium's trace is broken: so on a busy machine
AGAIN = "Please run Lighthouse again"  # what Lighthouse says then
REPORTS = BUILD / "lighthouse"
NAMED = 5  # elements of one audit, at most

_CLI = ROOT / "tests/lighthouse/node_modules/lighthouse/cli/index.js"


class LighthouseError(GuideError):
    """A page could not be audited."""


def run() -> list[Problem]:
    """Build, serve and audit; print a table of the scores, and what costs points.

    Raises LighthouseError when there is no Lighthouse, a page is not there, or an
    audit breaks down; BrowserError without Chromium; SiteError when the build fails.
    """
    if not _CLI.exists():
        raise LighthouseError("Lighthouse: not installed — run `make lighthouse`")
    chromium = browser.executable()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    found: dict[str, list[dict]] = {}
    with process.directory("lighthouse") as folder:
        built = folder / "site"
        built.mkdir()
        with browser.static(built, PREFIX) as url:
            repo = os.environ.get("GUIDE_REPO") or REPO
            builder.build(built, GUIDE_URL=f"{url}/", GUIDE_REPO=repo)
            _build_empty(folder, built / EMPTY)
            paths = {EMPTY: f"{EMPTY}/", **targets(built)}
            for number in range(1, RUNS + 1):
                for name, path in paths.items():  # in turn, as the machine's load varies
                    report = _audit(f"{url}/{path}", chromium, f"{name}-{number}")
                    found.setdefault(name, []).append(report)
                    print(f"{name} {number}/{RUNS}: {_scores(report)}", flush=True)
    print(table(found))
    empty = score(VARIES, found.pop(EMPTY))
    if empty is None:
        raise LighthouseError("empty: no score — audit again on a quiet machine")
    needed = {VARIES: empty - BELOW, **LEAST}
    return [problem for name in found for problem in judge(name, found[name], needed)]


def targets(built: Path) -> dict[str, str]:
    """What is audited: a name and a path for one page of each kind. Raises
    LighthouseError when one is not in the built site."""
    topic = next(iter(content.read().topics))
    paths = {
        "home": "",
        "answer": f"topics/{topic}/",
        "questions": f"topics/{topic}/questions/",
        "claims": f"topics/{topic}/claims/",
        "code": f"topics/{topic}/code/",
        "bank": "questions/",
        "notebook": f"notebooks/{topic}/",
        "ledger": "ledger/",
    }
    for path in paths.values():
        if not (built / path / "index.html").exists():
            raise LighthouseError(
                f"site/{path}: not built, and it must be audited — add the page to "
                "docs/ and to the nav of mkdocs.yml"
            )
    return paths


# --- what the reports say ----------------------------------------------------------


def score(category: str, reports: list[dict]) -> int | None:
    """A category's score over all runs, 0 to 100; None if a run gave none."""
    reached = _counted(category, reports)["categories"][category]["score"]
    return None if reached is None else round(reached * 100)


def judge(name: str, reports: list[dict], needed: Mapping[str, int]) -> list[Problem]:
    """The categories in which a page, audited by `reports`, scores less than `needed`
    (0 to 100), each with the audits that cost points and the elements they name."""
    problems = []
    for category, least in needed.items():
        reached = score(category, reports)
        if reached is not None and reached >= least:
            continue
        report = _counted(category, reports)
        causes = "; ".join(costs(report, category)) or "what the report says"
        where = node.label(REPORTS / f"{name}-{reports.index(report) + 1}.report.html")
        problems.append(
            Problem(
                f"lighthouse-{category}",
                name,
                f"{category} is {'not scored' if reached is None else reached}, must be "
                f"{least}",
                f"mend {causes} (all of it: {where})",
            )
        )
    return problems


def costs(report: dict, category: str) -> list[str]:
    """The audits that cost a category points, dearest first: id, value, points and
    the elements. Then those that say why a metric cost a point or more."""
    refs = report["categories"][category]["auditRefs"]
    whole = sum(ref["weight"] for ref in refs)
    lost, dear = [], set()
    for ref in refs:
        audit = report["audits"][ref["id"]]
        if ref["weight"] and audit["score"] is not None and audit["score"] < 1:
            points = 100 * ref["weight"] * (1 - audit["score"]) / whole
            lost.append((points, f"{_told(ref['id'], audit)} (−{points:.1f})"))
            dear |= {ref.get("acronym")} if points >= 1 else set()
    causes = []
    for ref in refs:
        savings = report["audits"][ref["id"]].get("metricSavings") or {}
        if worth := sum(savings.get(metric) or 0 for metric in dear):
            causes.append((worth, _told(ref["id"], report["audits"][ref["id"]])))
    return [text for _, text in [*_dearest(lost), *_dearest(causes)]]


def table(found: Mapping[str, list[dict]]) -> str:
    """Pages and scores in columns, performance with its spread; below, what costs
    points although the score is high enough."""
    first = next(iter(found.values()))[0]
    wide = max(len(name) for name in found)
    form = first["configSettings"]["formFactor"]
    said = (
        f"Lighthouse {first['lighthouseVersion']}, {form}, simulated throttling, "
        f"{RUNS} runs: the median of performance (all runs), the lowest of the rest"
    )
    lines = ["", said]
    lines.append("  ".join([f"{'page':{wide}}", *(f"{name:>14}" for name in CATEGORIES)]))
    for name, reports in found.items():
        cells = [str(score(category, reports)) for category in CATEGORIES]
        runs = sorted(_points(report, VARIES) for report in reports)
        cells[0] += f" ({', '.join(map(str, runs))})"
        lines.append("  ".join([f"{name:{wide}}", *(f"{cell:>14}" for cell in cells)]))
    for name, reports in found.items():
        for category in CATEGORIES:
            if lost := costs(_counted(category, reports), category):
                lines += ["", f"{name}, {category}:", *(f"  {one}" for one in lost)]
    return "\n".join(lines)


def _counted(category: str, reports: list[dict]) -> dict:
    """The run whose score counts; one without a score, if there is one."""
    scores = [report["categories"][category]["score"] for report in reports]
    if None in scores:
        return reports[scores.index(None)]
    counted = median_low(scores) if category == VARIES else min(scores)
    return reports[scores.index(counted)]


def _dearest(priced: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(priced, key=lambda pair: -pair[0])


def _told(name: str, audit: dict) -> str:
    """An audit by its id, with its value and the elements, files, or messages that
    it names."""
    value = audit.get("displayValue", "").replace("\xa0", " ")
    names = []
    for item in (audit.get("details") or {}).get("items") or []:
        element = (item.get("node") or {}).get("selector")
        file = urlsplit(item.get("url") or "").path.removeprefix(PREFIX)
        said = element or file or item.get("description") or item.get("groupLabel")
        if isinstance(said, str):
            time = item.get("duration")
            names.append(f"{said} {time:.0f} ms" if time else said)
    names = list(dict.fromkeys(names))
    if len(names) > NAMED:
        names[NAMED:] = [f"{len(names) - NAMED} more"]
    return " ".join(part for part in (name, value, ", ".join(names)) if part)


def _points(report: dict, category: str) -> int:
    return round((report["categories"][category]["score"] or 0) * 100)


def _scores(report: dict) -> str:
    return ", ".join(f"{category} {_points(report, category)}" for category in CATEGORIES)


# --- running it --------------------------------------------------------------------


def _build_empty(folder: Path, into: Path) -> None:
    """A site of one empty page, made by the theme as it comes."""
    source = folder / EMPTY
    (source / "docs").mkdir(parents=True)
    (source / "docs" / "index.md").write_text("# Empty\n", "utf-8")
    config = source / "mkdocs.yml"
    config.write_text(
        "site_name: Empty\ntheme: { name: material, font: false }\n", "utf-8"
    )
    builder.build(into, config=config)


def _audit(url: str, chromium: Path, name: str, attempts: int = ATTEMPTS) -> dict:
    """One run of Lighthouse: its report, kept under `name`. Raises LighthouseError."""
    path = REPORTS / f"{name}.report.json"
    path.unlink(missing_ok=True)
    flags = " ".join(("--headless=new", *browser.FLAGS))
    with process.directory("audit") as folder, (folder / "log").open("w+b") as log:
        argv = [
            node.binary(), _CLI, url, "--quiet", "--no-enable-error-reporting",
            "--output=json", "--output=html", f"--output-path={REPORTS / name}",
            f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={flags}",
        ]  # fmt: skip
        # Chromium's profile goes into our directory, so that nothing of it is left
        env = {"CHROME_PATH": str(chromium), "TMPDIR": str(folder)}
        child, token = process.start(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            ended = process.wait(child, LIMIT)
        finally:
            process.end(child, token, grace=5)
        log.seek(0)
        said = log.read().decode("utf-8", "replace").strip()[-1000:]
    if not ended:
        raise LighthouseError(
            f"{url}: Lighthouse did not end within {LIMIT} s — is the machine busy? it "
            f"had printed: {said or 'nothing'}"
        )
    report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    wrong = report.get("runtimeError", {})
    if AGAIN in wrong.get("message", "") and attempts > 1:
        print(f"{name}: {wrong['code']}, so once more", flush=True)
        return _audit(url, chromium, name, attempts - 1)
    if wrong or child.returncode or not report:
        raise LighthouseError(
            f"{url}: Lighthouse ended with {child.returncode} — mend what it says: "
            f"{wrong.get('message') or said or 'nothing'}"
        )
    return report
