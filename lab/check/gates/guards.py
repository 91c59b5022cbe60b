"""The guards' own configuration: what each must be, once, with its reason.

Whoever loosens one on purpose changes it here as well, where a reviewer looks."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator

import yaml

from lab.check import Problem, syntax
from lab.check.content import Tree

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WORKFLOWS = ".github/workflows/"
HOOKS = ".pre-commit-config.yaml"
PYPROJECT = "pyproject.toml"

# the steps of `make test`, and what each calls: it finds what no other does
STEPS = {
    "page gates": "pages_(args)",
    "topics are whole": "_missing(topic)",
    "deterministic tests": "suite.DETERMINISTIC",
    "every shown line ran": "_unexecuted(topic)",
    "timed tests": "suite.TIMED",
    "notebooks": "_notebooks(topic)",
    "site": "suite.SITE",
}
# what each step asks pytest for: together every test but those that build an image
SELECTED = {
    "DETERMINISTIC": "not timing and not site and not binder",
    "TIMED": "timing and not binder",
    "SITE": "site",
}
# of [tool.pytest]: nothing in it may leave a test out, or let a warning pass
PYTEST = {
    "testpaths": ["tests"],
    "cache_dir": "build/pytest",
    "addopts": [
        "--import-mode=importlib", "-p", "no:nbmake", "-p", "no:schemathesis",
        "-p", "no:hypothesispytest", "--strict-markers", "--strict-config", "--tb=short",
        "-ra", "--no-header", "--durations=5",
    ],
    "timeout": "300",
    "filterwarnings": ["error"],
}  # fmt: skip
# lines that a file must have as they are, with the reason
LINES = (
    (".ci/run", 'GUIDE_NO_SKIP=1 make "${@:-test}"', "in CI a skip hides a gap"),
    (".ci/run", "set -euo pipefail", "a step that fails must end the run"),
    ("Makefile", "test: setup $(HEAVY) ##", "everything runs with what set-up installs"),
    ("Makefile", "\t@$(RUN) test $(TOPIC)", "its failure is that of make"),
    ("snippets/.npmrc", "ignore-scripts=true", "no package runs code at install, as the guide preaches"),
    ("snippets/eslint.config.mjs", "ignores: ['**/*.naive.*', 'serve.mjs', 'eslint.config.mjs'],",
     "the security rules are off for naive versions only: their attack test is the proof"),
    ("snippets/eslint.config.mjs", "{ ignores: ['node_modules/'] },", "nothing of ours is left out"),
    ("snippets/eslint.config.mjs", "{ linterOptions: { reportUnusedDisableDirectives: 'error' } },",
     "an excuse that is no longer needed goes"),
)  # fmt: skip
# rules of ESLint that are off for all, each with its reason beside it there
ESLINT_OFF = {
    "n/no-process-exit", "security/detect-unsafe-regex", "security/detect-object-injection",
    "n/no-missing-import",
}  # fmt: skip
# ESLint's security rules that a hardened file may take back, with `-- reason`
ESLINT_EXCUSED = {"security/detect-non-literal-fs-filename"}
# what ruff is told not to look at
RUFF = {"line-length": 90, "lint": {
    "extend-select": ["I", "B", "UP", "SIM", "RET", "PTH"], "ignore": ["SIM117"],
}}  # fmt: skip

# the hooks, with what of their command decides: without it they pass when they should not
HOOK = {
    "ruff-check": "ruff check --force-exclude",
    "ruff-format": "ruff format --check --force-exclude",
    "eslint": "eslint.js --max-warnings=0",
    "prettier": "prettier.cjs --check",
    "nbstripout": "nbstripout --verify",
    "typos": ".venv/bin/typos",
    "workflows": "check-jsonschema --builtin-schema vendor.github-workflows",
    "zizmor": "zizmor --offline --quiet --persona pedantic",
    "dependabot": "check-jsonschema --builtin-schema vendor.dependabot",
    "issue-forms": "check-jsonschema --builtin-schema vendor.github-issue-forms",
    "issue-config": "check-jsonschema --builtin-schema vendor.github-issue-config",
}
# generated files have their own checks, and the licences are not ours to edit
HOOKS_LEAVE_OUT = (
    r"(^|/)(uv\.lock|package-lock\.json)$|^docs/evidence/|^docs/seals/|^docs/versions\.json$"
    r"|^\.binder/requirements\.txt$|^LICENSE"
)
HOOK_LEAVES_OUT = {"issue-forms": r"/config\.yml$"}  # has a schema of its own
HOOK_FILES = {
    "eslint": "^snippets/",
    "workflows": r"^\.github/workflows/",
    "zizmor": r"^\.github/(workflows/|dependabot\.yml$)",
    "dependabot": r"^\.github/dependabot\.yml$",
    "issue-forms": r"^\.github/ISSUE_TEMPLATE/",
    "issue-config": r"^\.github/ISSUE_TEMPLATE/config\.yml$",
}

# what a job may do besides reading the code, with the reason
MAY = {
    ("pages.yml", "build"): {"contents": "read", "pages": "read"},  # asks for the address
    ("pages.yml", "deploy"): {"pages": "write", "id-token": "write"},  # runs no code of ours
    # runs no package's code: what it proposes was measured by jobs that may not write
    ("scheduled.yml", "propose"): {
        "contents": "write", "pull-requests": "write", "actions": "read",
    },
}  # fmt: skip
READS = {"contents": "read"}
# the commit of each action: a tag can be moved. Dependabot proposes a newer one; whoever
# takes it looks at its diff, and writes it here too
PINS = {
    "actions/checkout": "3d3c42e5aac5ba805825da76410c181273ba90b1",  # v7.0.1
    "actions/upload-artifact": "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",  # v7.0.1
    "actions/configure-pages": "45bfe0192ca1faeb007ade9deae92b16b8254a0d",  # v6
    "actions/upload-pages-artifact": "fc324d3547104276b827a68afc52ff2a11cc49c9",  # v5
    "actions/deploy-pages": "cd2ce8fcbc39b97be8ca5fce6e763baed58fa128",  # v5
    "lycheeverse/lychee-action": "e7477775783ea5526144ba13e8db5eec57747ce8",  # v2.9.0
}
# what starts each workflow: nothing that gives a stranger's pull request a secret
STARTED_BY = {
    "ci.yml": {"push": {"branches-ignore": ["main"]}, "pull_request": None},
    "pages.yml": {"push": {"branches": ["main"]}, "workflow_dispatch": None},
    "scheduled.yml": {"schedule": [{"cron": "23 4 * * 1"}], "workflow_dispatch": None},
}
# commands that a job is there for
RUNS = {
    ("ci.yml", "verify"): (".ci/run", "make site"),
    ("pages.yml", "build"): (".ci/run", "make lighthouse", "make site"),
    ("scheduled.yml", "newest"): (".ci/run",),
    ("scheduled.yml", "versions"): (".ci/run versions",),
    ("scheduled.yml", "audit"): (".venv/bin/npm audit --prefix snippets",),
    ("scheduled.yml", "measure"): (".ci/run evidence",),
}
# conditions of jobs: what publishes or writes does so for main only
ONLY_IF = {
    ("pages.yml", "build"): "github.ref == 'refs/heads/main'",
    ("scheduled.yml", "propose"): "github.ref == 'refs/heads/main'",
}
NEEDS = {
    ("pages.yml", "deploy"): "build",  # nothing is published that was not verified
    ("scheduled.yml", "propose"): ["measure", "versions"],
}
# a job that may fail: other Nodes than ours, whose difference is a finding
MAY_FAIL = {("scheduled.yml", "node"): "${{ matrix.node != 24 }}"}
# dead links: only what a site says under load passes besides success
LINKS_ACCEPT = "--accept 200..=299,429"


def guards(tree: Tree) -> Iterator[Problem]:
    """Each guard of the guide is as it is stated here."""
    yield from _lines(tree)
    yield from _python(tree)
    yield from _pytest_and_ruff(tree)
    yield from _eslint(tree)
    yield from _hooks(tree)
    yield from _workflows(tree)


def _problem(place: str, what: str, why: str) -> Problem:
    return Problem(
        "guard", place, f"{what}, though {why}",
        "put it back; if it is meant, change lab/check/gates/guards.py too, with the reason",
    )  # fmt: skip


def _lines(tree: Tree) -> Iterator[Problem]:
    for path, line, why in LINES:
        text = tree.files.get(path)
        if text is not None and not any(
            each.startswith(line) if line.endswith("##") else each.strip(" ") == line
            for each in text.split("\n")
        ):
            yield _problem(path, f"no line `{line.strip()}`", why)


def _python(tree: Tree) -> Iterator[Problem]:
    """The steps of `make test`, what they select, and who may change what pytest runs."""
    if main := tree.files.get("lab/__main__.py"):
        tests = [f for f in syntax.functions(syntax.module(main)) if f.name == "test"]
        named = {
            node.elts[0].value: ast.unparse(node.elts[1])
            for test in tests
            for node in ast.walk(test)
            if isinstance(node, ast.Tuple) and len(node.elts) == 2
            and isinstance(node.elts[0], ast.Constant) and isinstance(node.elts[1], ast.Lambda)
        }  # fmt: skip
        for step, calls in STEPS.items():
            if calls not in named.get(step, ""):
                yield _problem("lab/__main__.py", f"`make test` has no step '{step}' of {calls}",
                               "it finds what no other step does")  # fmt: skip
    if text := tree.files.get("lab/run/suite.py"):
        for name, wanted in SELECTED.items():
            found = re.search(rf'^{name} = "(.*)"', text, re.MULTILINE)
            if not found or found[1] != wanted:
                yield _problem("lab/run/suite.py", f'{name} is not "{wanted}"',
                               "together the steps run every test")  # fmt: skip
    for path in tree.under("tests/", "conftest.py"):
        for found in re.finditer(
            r"^def (pytest_\w+)|^(collect_ignore\w*)", tree.files[path], re.MULTILINE
        ):
            yield _problem(path, f"has `{found[1] or found[2]}`",
                           "only the conftest.py of the clone may change what pytest runs")  # fmt: skip


def _pytest_and_ruff(tree: Tree) -> Iterator[Problem]:
    if PYPROJECT not in tree.files:
        return
    tool = tomllib.loads(tree.files[PYPROJECT]).get("tool", {})
    have = tool.get("pytest")
    if have is not None:
        have = {name: value for name, value in have.items() if name != "markers"}
        for name in sorted(PYTEST.keys() | have.keys()):
            if have.get(name) != PYTEST.get(name):
                yield _problem(PYPROJECT, f"[tool.pytest] {name} is {json.dumps(have.get(name))}",
                               f"it must be {json.dumps(PYTEST.get(name))}: no test is left "
                               "out, no warning passes")  # fmt: skip
    if "ruff" in tool and tool["ruff"] != RUFF:
        yield _problem(
            PYPROJECT, "[tool.ruff] is another one", "what it does not look at is stated"
        )


def _eslint(tree: Tree) -> Iterator[Problem]:
    text = tree.files.get("snippets/eslint.config.mjs", "")
    for rule in re.findall(r"'([\w/-]+)': (?:'off'|\[?'warn'|0)", text):
        if rule not in ESLINT_OFF:
            yield _problem(
                "snippets/eslint.config.mjs",
                f"{rule} is off",
                "every other rule is an error",
            )
    for path in tree.under("snippets/", (".mjs", ".cjs")):
        if "eslint-disable" not in tree.files[path]:
            continue
        for number, line in enumerate(tree.files[path].split("\n"), 1):
            if not (
                found := re.search(r"eslint-disable(?:-next-line|-line)?\s*([^*]*)", line)
            ):
                continue
            rules, reason, _ = found[1].partition("--")
            names = [rule.strip() for rule in rules.split(",") if rule.strip()]
            bad = [
                rule
                for rule in names
                if rule.startswith("security/") and rule not in ESLINT_EXCUSED
            ]
            if not names or not reason or bad:
                yield _problem(
                    f"{path}:{number}", f"`eslint-disable` of {', '.join(bad or names) or 'everything'}"
                    f"{'' if reason else ' without `-- reason`'}",
                    "a hardened file is held to the security rules",
                )  # fmt: skip


def _hooks(tree: Tree) -> Iterator[Problem]:
    if HOOKS not in tree.files:
        return
    config = yaml.load(tree.files[HOOKS], Loader=_LOADER)
    left_out = config.get("exclude", "")
    if left_out != HOOKS_LEAVE_OUT:
        yield _problem(
            HOOKS,
            f"leaves out {left_out}",
            f"it may leave out {HOOKS_LEAVE_OUT}: what is generated",
        )
    for name in sorted(config.keys() - {"exclude", "repos"}):
        yield _problem(
            HOOKS,
            f"has `{name}:`",
            "each hook runs at each commit, over all that it is for",
        )
    have = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    for name, wanted in HOOK.items():
        hook = have.get(name)
        if not hook:
            yield _problem(
                HOOKS, f"has no hook {name}", "CI and `git commit` say the same"
            )
            continue
        if not hook["entry"].endswith(wanted):
            yield _problem(
                HOOKS, f"{name} runs `{hook['entry']}`", f"it must end with `{wanted}`"
            )
        for option, stated in (("exclude", HOOK_LEAVES_OUT), ("files", HOOK_FILES)):
            if hook.get(option) != stated.get(name):
                yield _problem(
                    HOOKS,
                    f"{name} has {option} {hook.get(option)}",
                    f"it must be {stated.get(name)}",
                )
        for option in sorted({"stages", "args", "additional_dependencies"} & hook.keys()):
            yield _problem(
                HOOKS, f"{name} has `{option}`", "it runs as it is, at each commit"
            )


def _workflows(tree: Tree) -> Iterator[Problem]:
    for path in tree.under(WORKFLOWS, (".yml", ".yaml")):
        name = path.removeprefix(WORKFLOWS)
        flow = yaml.load(tree.files[path], Loader=_LOADER)
        if flow.get("permissions") != {}:
            yield _problem(
                path, "permissions are not {} for all jobs", "each job says what it needs"
            )
        started = flow.get("on", flow.get(True))  # YAML reads `on` as true
        if name in STARTED_BY and started != STARTED_BY[name]:
            yield _problem(
                path,
                f"starts on {json.dumps(started)}",
                f"it starts on {json.dumps(STARTED_BY[name])}",
            )
        for job_name, job in flow["jobs"].items():
            yield from _job(path, (name, job_name), job)
        for found in re.finditer(
            r"^ *lychee.*|--accept [^\s']+", tree.files[path], re.MULTILINE
        ):
            if "--accept" in found[0] and found[0] != LINKS_ACCEPT:
                yield _problem(
                    path,
                    f"links: `{found[0]}`",
                    f"`{LINKS_ACCEPT}`: a dead link is found",
                )
        for number, line in enumerate(tree.files[path].split("\n"), 1):
            if re.search(r"\|\| (?:true|:)|set \+e", line) and "grep" not in line:
                yield _problem(
                    f"{path}:{number}",
                    f"`{line.strip()}`",
                    "a command that fails must end its step",
                )


def _job(path: str, key: tuple[str, str], job: dict) -> Iterator[Problem]:
    place = f"{path}, job {key[1]}"
    may = MAY.get(key, READS)
    if job.get("permissions") != may:
        yield _problem(place, f"may {job.get('permissions')}", f"it needs {may}")
    if job.get("continue-on-error") != MAY_FAIL.get(key):
        yield _problem(
            place,
            f"continue-on-error: {job.get('continue-on-error')}",
            "a job that fails must be seen",
        )
    for stated, option in ((ONLY_IF, "if"), (NEEDS, "needs")):
        if job.get(option) != stated.get(key):
            yield _problem(
                place, f"{option}: {job.get(option)}", f"it must be {stated.get(key)}"
            )
    if "timeout-minutes" not in job:
        yield _problem(place, "has no timeout-minutes", "a hang is ended")
    commands = [step.get("run", "").strip() for step in job.get("steps", ())]
    for command in RUNS.get(key, ()):
        if command not in commands:
            yield _problem(place, f"does not run `{command}`", "the job is there for it")
    for step in job.get("steps", ()):
        if step.get("continue-on-error"):
            yield _problem(
                place, "a step has continue-on-error", "a step that fails must be seen"
            )
        condition = str(step.get("if", ""))
        if condition and condition != "${{ !cancelled() }}":
            yield _problem(
                place, f"a step runs only if {condition}", "no step is left out"
            )
        if not (uses := step.get("uses")):
            continue
        action, _, commit = uses.partition("@")
        if PINS.get(action) != commit:
            yield _problem(
                place,
                f"uses {uses}",
                f"the commit that was looked at is {PINS.get(action, 'none')}",
            )
        if action == "actions/checkout" and step.get("with", {}) != {
            "persist-credentials": False
        }:
            yield _problem(
                place,
                "checkout keeps its credentials, or takes something else",
                "what runs later could push with them",
            )
