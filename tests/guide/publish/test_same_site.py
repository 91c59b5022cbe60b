"""Whether two builders made the same site: what the weekly look at the way out asks."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lab import ROOT

PAGE = '<meta name="generator" content="{}"><p>The answer.</p>'


def compared(one: Path, other: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".ci/same-site", one, other], capture_output=True, text=True, check=False
    )


@pytest.fixture
def sites(tmp_path) -> tuple[Path, Path]:
    """The same site by two builders."""
    folders = (tmp_path / "one", tmp_path / "other")
    for folder, builder in zip(folders, ("mkdocs-1.6", "another"), strict=True):
        (folder / "jwt").mkdir(parents=True)
        (folder / "jwt" / "index.html").write_text(PAGE.format(builder))
        (folder / "search.json").write_text("{}")
        (folder / "sitemap.xml.gz").write_text(builder)
    return folders


def test_only_the_builders_name_and_the_time_stamp_may_differ(sites):
    done = compared(*sites)
    assert done.returncode == 0 and "the same site" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda site: (site / "search.json").write_text('{"a": 1}'),
        lambda site: (site / "jwt" / "index.html").write_text(PAGE.format("x") + "<p>"),
        lambda site: shutil.rmtree(site / "jwt"),
        lambda site: (site / "more.css").write_text(""),
    ],
)
def test_every_other_difference_is_shown(sites, change):
    change(sites[1])
    done = compared(*sites)
    assert done.returncode == 1 and done.stdout.strip()
