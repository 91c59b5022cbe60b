"""What holds for every test: nothing outlives it, nothing is written outside the
clone, a skip in CI fails, and one topic can be run alone."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from lab import ROOT
from lab.record import evidence
from lab.run import browser, node, process, services

# plain asserts of what tests share say as much as those of tests
pytest.register_assert_rewrite("tests.topics")

NO_SKIP = "GUIDE_NO_SKIP"
_container = contextlib.ExitStack()  # of the folder that this run writes to


def pytest_addoption(parser):
    parser.addoption("--topic", help="only the tests of this topic, e.g. event-loop")
    parser.addoption("--attempt", help="a learner's file: check it as the exercise")


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        return  # an xdist worker inherits the environment
    folder = _container.enter_context(process.directory("test"))
    config.option.basetemp = config.option.basetemp or str(folder / "pytest")
    for name, below in (
        ("TMPDIR", "tmp"),
        ("JUPYTER_RUNTIME_DIR", "jupyter"),
        ("IPYTHONDIR", "ipython"),
    ):
        (folder / below).mkdir()
        os.environ[name] = str(folder / below)
    tempfile.tempdir = None  # somebody may have asked before, and it is remembered


def pytest_unconfigure(config):
    _container.close()


def topic_of(item) -> str | None:
    """The topic that a test belongs to, or None: the guide as a whole."""
    if mark := item.get_closest_marker("topic"):
        return mark.args[0]
    folder = Path(item.path).parent
    return folder.name if folder.parent.name in ("topics", "exercises") else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config, items):
    if os.environ.get(evidence.RECORD):
        for item in items:
            if item.get_closest_marker("records"):
                item.add_marker(pytest.mark.timing)
    if (topic := config.getoption("--topic")) is None:
        return
    others = [item for item in items if topic_of(item) != topic]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if topic_of(item) == topic]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.excinfo and call.excinfo.typename == "DeadKernelError":
        report.longrepr = (
            f"{item.nodeid}: the kernel died in the middle of a cell — look for os._exit, "
            "a crash in native code, or memory running out"
        )
    if report.when == "call" and report.failed and hasattr(report.longrepr, "reprcrash"):
        for server in node.served():  # of a fixture: its output is still there
            said = node.said_by(server)
            report.longrepr.reprcrash.message += f"\n{said}"
            report.longrepr.addsection("served", said)
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(NO_SKIP):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason} — in CI a skip hides a gap"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A service that somebody else runs, as REDIS_URL, cannot be asked everything."""
    try:
        return (yield)
    except services.NotOurs as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Give what a test starts a token, and end what outlives the test."""
    outer = os.environ.get(process.TOKEN)  # a test run that a test started
    token = f"{outer or ''}/test-{os.getpid()}-{time.monotonic_ns()}"
    os.environ[process.TOKEN] = token
    try:
        result = yield
    finally:
        if outer is None:
            os.environ.pop(process.TOKEN)
        else:
            os.environ[process.TOKEN] = outer
    left = process.survivors(token)
    deadline = time.monotonic() + 3  # a Jupyter kernel takes a moment to go
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = process.survivors(token)
    if left:
        names = ", ".join(_end(one) for one in left)
        item.ihook.pytest_runtest_logreport(report=_leak(item, names))
    return result


def _end(one: psutil.Process) -> str:
    name = process.describe(one)
    with contextlib.suppress(psutil.Error):
        one.kill()
    return name


def _leak(item, names: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"{item.nodeid}: left running: {names} (ended now) — start it with "
        "`with lab.run.node.serve(...)`, so that it ends with the test",
        when="teardown",
    )


def pytest_generate_tests(metafunc):
    """An exercise's checks take `attempt`: the solution, which must pass all; the
    start, which must fail those marked `fails_at_start`; or a learner's file."""
    if "attempt" not in metafunc.fixturenames:
        return
    if given := metafunc.config.getoption("--attempt"):
        metafunc.parametrize("attempt", [Path(given).resolve()], ids=["attempt"])
        return
    path = Path(metafunc.module.__file__)
    name = path.stem.removeprefix("test_").replace("_", "-")
    folder = ROOT / "snippets" / path.parent.name / "exercises" / name
    fails = any(
        mark.name == "fails_at_start" for mark in metafunc.definition.iter_markers()
    )
    mark = pytest.mark.xfail(strict=True, reason="what the exercise is about")
    metafunc.parametrize(
        "attempt",
        [
            pytest.param(folder / "start.mjs", id="start", marks=[mark] if fails else []),
            pytest.param(folder / "solution.mjs", id="solution"),
        ],
    )


@pytest.fixture
def redis_server():
    """A Redis of the test's own, see lab.run.services.redis."""
    with _or_skip(services.redis(), services.ServiceError) as service:
        yield service


@pytest.fixture
def postgres_server():
    """A PostgreSQL of the test's own, see lab.run.services.postgres."""
    _skip_without("postgresql")
    with services.postgres() as service:
        yield service


@pytest.fixture
def prometheus_server():
    """Starts Prometheus on what it is given, as lab.run.services.prometheus:
    `prometheus_server(url, rules=path).until("up == 1")`."""
    _skip_without("prometheus")
    with contextlib.ExitStack() as stack:

        def start(targets=(), **options):
            return stack.enter_context(services.prometheus(targets, **options))

        yield start


@pytest.fixture
def nginx_proxy():
    """Starts nginx in front of what it is given, as lab.run.services.proxy:
    `nginx_proxy(server.url, forwarded="overwrite").url`. For a test that is about
    nginx; one that needs any proxy says `with services.proxy(…)`."""
    _skip_without("nginx")
    with contextlib.ExitStack() as stack:

        def start(upstreams, **options):
            return stack.enter_context(services.nginx(upstreams, **options))

        yield start


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium for a whole module: a Playwright `Browser`."""
    with _or_skip(browser.chromium()) as running:
        yield running


@pytest.fixture(scope="module")
def named_hosts(tmp_path_factory):
    """Chromium that knows *.test, for a whole module, see lab.run.browser.named_hosts:
    `named_hosts()` is a context, for `lab.run.browser.visitor`."""
    with _or_skip(browser.named_hosts(tmp_path_factory.mktemp("profiles"))) as opened:
        yield opened


@contextlib.contextmanager
def _or_skip(started, missing=browser.BrowserError):
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(started)
        except missing as error:
            pytest.skip(str(error))
        yield running


def _skip_without(package: str) -> None:
    if why := services.missing(package):
        pytest.skip(why)
