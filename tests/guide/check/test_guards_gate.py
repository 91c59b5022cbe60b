"""The guards' own configuration: planted faults, in the guide as it is."""

import pytest

from lab.check import content, gates

from .shared import ids, reported_by

FILES = {
    path: text
    for path, text in content.read().files.items()
    if not path.startswith(("docs/", "notebooks/", "snippets/"))
    or path.startswith(("snippets/eslint", "snippets/.npmrc", "snippets/hardening/"))
}
CI, PAGES, SCHEDULED = (
    f".github/workflows/{name}.yml" for name in ("ci", "pages", "scheduled")
)
HOOKS, MAIN, SUITE = ".pre-commit-config.yaml", "lab/__main__.py", "lab/run/suite.py"
PINNED = "3d3c42e5aac5ba805825da76410c181273ba90b1"
ESLINT = "snippets/eslint.config.mjs"
FAULTS = [
    # what runs
    (".ci/run", "GUIDE_NO_SKIP=1 make", "make"),
    (".ci/run", '"${@:-test}"', '"${@:-pages}"'),
    (".ci/run", '"${@:-test}"', '"${@:-test}" || true'),
    (".ci/run", "set -euo pipefail", "set -uo pipefail"),
    ("Makefile", "@$(RUN) test $(TOPIC)", "-@$(RUN) test $(TOPIC)"),
    ("Makefile", "test: setup $(HEAVY)", "test: setup"),
    (MAIN, '("timed tests", lambda', '("timed test", lambda'),
    (MAIN, '("notebooks", lambda: _notebooks(topic)),', ""),
    (MAIN, '("every shown line ran", lambda: _unexecuted(topic)),', ""),
    (MAIN, '("page gates", lambda: pages_(args))', '("page gates", lambda: 0)'),
    (SUITE, '"timing and not binder"', '"timing and not binder and not slow"'),
    (SUITE, '"not timing and not site', '"not timing and not claim and not site'),
    # pytest and ruff
    ("pyproject.toml", '"--strict-markers"', '"--deselect=tests/x.py::test_y"'),
    ("pyproject.toml", '"-ra", ', '"-ra", "-k", "not cors", '),
    ("pyproject.toml", '"-ra", ', '"-ra", "--ignore=tests/topics/jwt", '),
    ("pyproject.toml", '"-ra", ', '"-ra", "-W", "ignore", '),
    ("pyproject.toml", 'filterwarnings = ["error"]', 'filterwarnings = ["default"]'),
    ("pyproject.toml", '["error"]', '["error", "ignore::DeprecationWarning"]'),
    ("pyproject.toml", '["error"]', '["error"]\npython_files = ["check_*.py"]'),
    ("pyproject.toml", '["error"]', '["error"]\nxfail_strict = false'),
    ("pyproject.toml", 'ignore = ["SIM117"]', 'ignore = ["SIM117", "B"]'),
    ("pyproject.toml", '"B", "UP"', '"UP"'),
    # hooks
    (HOOKS, "^docs/evidence/|", "^docs/|"),
    (HOOKS, "id: eslint", "id: eslint\n        exclude: ^snippets/jwt/"),
    (HOOKS, " --max-warnings=0", ""),
    (HOOKS, "prettier.cjs --check", "prettier.cjs"),
    (HOOKS, "--offline --quiet --persona pedantic", "--offline --quiet"),
    (HOOKS, "nbstripout --verify", "nbstripout"),
    (HOOKS, "id: typos", "id: spelling"),
    (HOOKS, "id: ruff-check", "id: ruff-check\n        stages: [manual]"),
    (HOOKS, "entry: .venv/bin/typos", "entry: 'true'"),
    (HOOKS, "repos:", "fail_fast: true\nrepos:"),
    (HOOKS, "files: ^snippets/\n", "files: ^snippets/jwt/\n"),
    # workflows
    (CI, "permissions: {}", "permissions: write-all"),
    (CI, "contents: read", "contents: write"),
    (CI, "contents: read", "contents: read\n      id-token: write"),
    (PAGES, "pages: read", "pages: write"),
    (SCHEDULED, "actions: read", "actions: write"),
    (CI, "persist-credentials: false", "persist-credentials: true"),
    (CI, "persist-credentials: false", "fetch-depth: 0"),
    (CI, PINNED, "3d3c42e5aac5ba805825da76410c181273ba90b2"),
    (CI, f"{PINNED} # v7.0.1", "v7"),
    (PAGES, "actions/deploy-pages@", "somebody/deploy-pages@"),
    (CI, "  pull_request:", "  pull_request_target:"),
    (CI, "branches-ignore: [main]", "branches-ignore: ['**']"),
    (CI, "run: .ci/run", "run: make test"),
    (CI, "run: .ci/run", "run: .ci/run || true"),
    (CI, "- name: Test\n", "- name: Test\n        continue-on-error: true\n"),
    (CI, "- name: Test\n", "- name: Test\n        if: github.actor == 'me'\n"),
    (CI, "timeout-minutes: 60\n", "continue-on-error: true\n    timeout-minutes: 60\n"),
    (CI, "    timeout-minutes: 60\n", ""),
    (PAGES, "    needs: build\n", ""),
    (PAGES, "if: github.ref == 'refs/heads/main' #", "if: github.ref != '' #"),
    (SCHEDULED, "--accept 200..=299,429", "--accept 200..=299,404,429"),
    (SCHEDULED, "npm audit --prefix snippets", "npm audit --audit-level=critical"),
    (SCHEDULED, "${{ matrix.node != 24 }}", "true"),
    (SCHEDULED, "needs: [measure, versions]", "needs: [measure]"),
    (SCHEDULED, "cron: '23 4 * * 1'", "cron: '23 4 1 1 1'"),
    # ignore lists
    ("snippets/.npmrc", "ignore-scripts=true", "ignore-scripts=false"),
    (ESLINT, "ignores: ['node_modules/']", "ignores: ['node_modules/', 'jwt/']"),
    (ESLINT, "'**/*.naive.*', 'serve.mjs'", "'**/*.naive.*', 'jwt/**', 'serve.mjs'"),
    (ESLINT, "'no-var': 'error'", "'no-var': 'off'"),
    (ESLINT, "'no-var': 'error'", "'no-eval': 'off'"),
    (ESLINT, "DisableDirectives: 'error'", "DisableDirectives: 'off'"),
    ("snippets/hardening/files.mjs", "detect-non-literal-fs-filename", "detect-eval-with-expression"),
    ("snippets/hardening/files.mjs", " security/detect-non-literal-fs-filename --", " --"),
    ("snippets/hardening/files.mjs", "filename --", "filename -"),
    ("tests/topics/conftest.py", "@pytest.fixture", "def pytest_collection_modifyitems(items):\n    items.clear()\n\n\n@pytest.fixture"),
    ("tests/topics/conftest.py", "@pytest.fixture", "collect_ignore = ['jwt']\n\n\n@pytest.fixture"),
]  # fmt: skip


def found(files):
    return [str(problem) for problem in gates.guards.guards(content.Tree(files))]


@pytest.mark.parametrize(("path", "old", "new"), FAULTS, ids=ids(FAULTS))
def test_a_loosened_guard_is_found(path, old, new):
    assert old in FILES[path]
    told = found({**FILES, path: FILES[path].replace(old, new)})
    assert told and all(" — put it back" in each for each in told)


def test_the_guards_as_they_are_pass_and_a_new_pytest_marker_too():
    assert found(FILES) == []
    marker = 'markers = [\n    "new: a marker",'
    text = FILES["pyproject.toml"].replace("markers = [", marker)
    assert found({**FILES, "pyproject.toml": text}) == []


def test_every_code_of_this_gate_has_a_planted_fault():
    assert reported_by(gates.guards) == {"guard"}
