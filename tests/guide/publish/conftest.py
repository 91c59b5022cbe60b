"""The site, built once for all workers, and Chromium on it."""

import fcntl
import os

import pytest

from lab.publish import builder
from lab.run import browser

from .shared import REPO, URL


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The site with its address and repository known; built once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "published"
    with (shared / "published.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            building = tmp_path_factory.mktemp("site") / "site"
            builder.build(building, GUIDE_URL=URL, GUIDE_REPO=REPO)
            building.rename(folder)
    return folder


@pytest.fixture(scope="session")
def served(published):
    """Its address, with the headers that a host would send."""
    with browser.static(published, "/proven-node") as url:
        yield url


@pytest.fixture
def open_page(chromium, served):
    """Open a path of the site in a context of its own; gives the Playwright page."""
    contexts = []

    def opened(path="", **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{served}/{path}", wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
