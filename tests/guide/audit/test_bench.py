"""The bench: its arithmetic, and that the other side has nothing of ours."""

import subprocess
import sys

import pytest
import yaml
from mkdocs.utils.yaml import yaml_load

from lab import ROOT
from lab.audit import bench
from lab.audit.bench import BenchError, Cost, Ratio

CONFIG = yaml_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def ratio(*ours: float, target: float | None = None) -> Ratio:
    costs = [Cost(wall, wall / 2) for wall in ours]
    base = [Cost(2, 1)] * len(costs)
    return Ratio("an edit", "all of it", "plain", costs, base, target)


def test_a_ratio_is_that_of_each_round_and_reported_with_its_spread():
    assert ratio(2, 6, 3).of("wall") == [1, 3, 1.5]
    assert bench.report(ratio(2, 6, 3)) == (
        "an edit: 1.50× (1.00 to 3.00)\n"
        "  all of it\n"
        "  clock  ours 3.00 s (2.00 to 6.00), plain 2.00 s (2.00 to 2.00), "
        "ratio 1.50× (1.00 to 3.00)\n"
        "  CPU    ours 1.50 s (1.00 to 3.00), plain 1.00 s (1.00 to 1.00), "
        "ratio 1.50× (1.00 to 3.00)"
    )


@pytest.mark.parametrize(
    ("ours", "verdict"), [((3, 4, 40), "held"), ((3, 4.1, 4.1), "missed")]
)
def test_a_target_bounds_the_median(ours, verdict):
    told = ratio(*ours, target=2)
    assert told.missed == (verdict == "missed")
    last = bench.report(told).splitlines()[-1]
    assert last == f"  target at most 2× by the clock: {verdict}"


@pytest.mark.parametrize(("target", "held"), [(None, True), (2, True), (1, False)])
def test_only_a_missed_target_fails_the_run(target, held, monkeypatch, capsys):
    monkeypatch.setattr(bench, "copy", lambda folder: folder)
    for name in ("build", "snippets", "reload"):
        one = ratio(3, 4, 5, target=target)
        monkeypatch.setattr(bench, name, lambda guide, rounds, one=one: iter([one]))
    assert bench.run(3) is held
    told = capsys.readouterr().out
    assert told.startswith("bench: 3 rounds each") and told.count("2.00× (1.50") == 9
    assert ("missed: an edit" in told) is not held


def test_both_sides_are_measured_in_turn_after_a_round_that_is_not_counted():
    calls = []

    def side(name):
        return lambda: calls.append(name) or Cost(len(calls), 0)

    ours, base = bench.interleave(side("ours"), side("base"), 2)
    assert calls == ["ours", "base"] * 3
    assert [cost.wall for cost in ours] == [3, 5]
    assert [cost.wall for cost in base] == [4, 6]


def test_a_command_is_timed_with_what_it_starts():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    cost = bench.timed([sys.executable, "-c", code], ROOT)
    assert cost.cpu >= 0.3 and cost.wall >= 0.3


def test_a_command_that_fails_or_never_ends_is_named_with_what_it_said(monkeypatch):
    with pytest.raises(BenchError, match=r"(?s)ended with 1, so it cannot.*alas"):
        bench.timed([sys.executable, "-c", "raise SystemExit('alas')"], ROOT)
    monkeypatch.setattr(bench, "LIMIT", 0.2)
    with pytest.raises(BenchError, match="ended with -9"):
        bench.timed([sys.executable, "-c", "import time; time.sleep(60)"], ROOT)


def test_the_plain_configuration_has_nothing_of_ours_and_the_rest():
    plain = bench.plain(CONFIG)
    assert bench.ours(CONFIG) and bench.ours(plain) == []
    assert plain["theme"] == CONFIG["theme"]
    assert [bench._key(one) for one in plain["plugins"]] == ["search"]
    left = [str(one) for one in CONFIG["markdown_extensions"] if "lab." not in str(one)]
    assert [str(one) for one in plain["markdown_extensions"]] == left


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("theme", {"features": ["lab.publish.hook"]}),
        ("extra", {"hooks": ["lab/publish/hook.py"]}),
        ("exclude_docs", "lab/"),
        ("not_in_nav", "notebooks/jwt.ipynb"),
    ],
)
def test_what_is_left_of_ours_in_the_plain_one_is_named(place, fault):
    with pytest.raises(BenchError, match=f"mkdocs.yml: {place}: .* would still be"):
        bench.plain({**CONFIG, place: fault})


def test_a_plain_chapter_shows_its_claims_as_text_and_ours_is_refused(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    text = "# T\n\n/// claim | Heard\n    id: x\n    verdict: wrong\nFound.\n///\n"
    (docs / "index.md").write_text(text, "utf-8")
    extensions = bench.plain(CONFIG)["markdown_extensions"]
    page = {}
    for name, more in (("plain", []), ("ours", ["lab.publish.blocks"])):
        config = {
            "site_name": "T",
            "site_dir": str(tmp_path / name),
            "markdown_extensions": extensions + more,
        }
        file = tmp_path / f"{name}.yml"
        file.write_text(yaml.dump(config), "utf-8")
        subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "-q", "-f", file],
            cwd=ROOT, check=True, timeout=240,
        )  # fmt: skip
        page[name] = (tmp_path / name / "index.html").read_text("utf-8")
    bench.check_plain(page["plain"])
    with pytest.raises(BenchError, match="the plain site: shows claims as ours does"):
        bench.check_plain(page["ours"])


def test_the_copy_has_both_configurations_and_none_of_what_is_made(tmp_path):
    guide = bench.copy(tmp_path / "guide")
    there = {path.name for path in guide.iterdir()}
    assert {"mkdocs.yml", "mkdocs.plain.yml", "docs", "lab", "snippets"} <= there
    assert not there & {".git", ".venv", ".uv", "site", "work"}
    assert (guide / "snippets" / "node_modules").is_symlink()
