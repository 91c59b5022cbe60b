"""Safe in company: every exported factory is put into an impolite world.

`company/world.mjs` plays it: dependencies that throw, reject, reject with nothing or
never settle; clients that reset, close half, send what is not JSON or a path such as
`//`; no address; two of it in one process; text where a number is meant. Meanwhile the
process must live, answer, let nobody in, hold nothing of clients that are gone, and
afterwards be as it was; in the end it must end by itself. `company/recipes.mjs` says how
each factory is used politely. A new export needs a recipe there, or a reason here."""

import json
import re
from pathlib import Path

import pytest

from lab import SNIPPETS
from lab.check import content
from lab.run import node

WORLD = Path(__file__).with_name("company") / "world.mjs"
RECIPES = WORLD.with_name("recipes.mjs")
EXPORT = re.compile(
    r"^export (?:default )?(?:async )?(?:function\*? (\w+)|const (\w+) =\s+(?:async )?\()",
    re.MULTILINE,
)

# what a recipe would have nothing to do with, by its reason
WITHOUT = {
    "takes values and gives a value, at once and the same each time": """
        architecture/edge.mjs#parseOrder architecture/layered/domain.mjs#newOrder
        architecture/mvc/view.mjs#orderView clustering/primes.mjs#countPrimes
        event-loop/name-server.mjs#answer event-loop/report.worker.mjs#simulate
        hardening/outbound.mjs#notPublic hardening/payloads.mjs#ELSEWHERE
        hardening/redirect.mjs#destination hardening/secrets.mjs#secretsFrom
        hardening/secrets.mjs#sign hardening/secrets.mjs#verify
        hardening/tokens.mjs#same hardening/view.mjs#list hardening/view.mjs#login
        hardening/view.mjs#page jwt/config.mjs#readConfig jwt/cookies.mjs#clearCookies
        jwt/cookies.mjs#cookieOf jwt/cookies.mjs#setCookies jwt/form.mjs#wellFormed
        jwt/jose.mjs#fromMap jwt/unavailable.mjs#away observability/context.mjs#inLogs
        observability/context.mjs#outgoing observability/context.mjs#parse
        observability/loggers.mjs#errorInLogs observability/loggers.mjs#orderInLogs
        observability/quantile.mjs#estimate observability/quantile.mjs#exact
        observability/quantile.mjs#latencies observability/route.mjs#routeOf
        observability/route.mjs#statusOf rate-limiting/failures.mjs#account
        rest-apis/auth.mjs#bearer rest-apis/idempotency.mjs#onceOf
        rest-apis/order.mjs#parseOrder rest-apis/prices.mjs#pricesIn
        rest-apis/problem.mjs#invalid rest-apis/query.mjs#cursor
        rest-apis/query.mjs#listQuery rest-apis/store.mjs#order
        rest-apis/version.mjs#etag rest-apis/version.mjs#mustMatch
        validation/config.mjs#configFrom validation/html.mjs#html
        validation/merge.mjs#merge validation/page.mjs#page
        validation/parser.mjs#parserOf validation/parser.mjs#pointer
        validation/rules.mjs#isHttps validation/threads.mjs#isDeeper
        validation/upload.mjs#kindOf architecture/layered/domain.mjs#cancel
        architecture/layered/domain.mjs#pay hardening/files.mjs#contained
        rest-apis/problem.mjs#methods rest-apis/problem.mjs#notFound
        validation/validate.mjs#problem rate-limiting/device.mjs#devicesOf
        validation/rules.mjs#isOrigin
        jwt/demand.mjs#demand jwt/demand.mjs#demandTexts validation/numbers.mjs#numbers
        websockets/limits.mjs#limitsOf
        rate-limiting/address.mjs#addressed rest-apis/patch.mjs#mergePatch
        validation/order.mjs#parseOrderPatch
        resilience/deadline.mjs#deadlineHeader resilience/retry.mjs#retryAfterMs
    """,
    "is played as a part of the app that is made of it": """
        architecture/layered/application.mjs#createOrders
        architecture/layered/memory.mjs#memoryStore
        architecture/layered/sqlite.mjs#sqliteStore architecture/layered/cli.mjs#commands
        architecture/mvc/cli.mjs#commands architecture/mvc/controller.mjs#ordersController
        architecture/mvc/models.mjs#createModels architecture/onefile/app.cli.mjs#openShop
        architecture/onefile/cli.mjs#commands hardening/orders.mjs#ordersOf
        rest-apis/router.mjs#ordersRouter rest-apis/store.mjs#createStore
        validation/database.mjs#open validation/store.mjs#reviewsOf
        validation/validate.mjs#bodyErrors validation/validate.mjs#validate
        architecture/atomically.mjs#atomically architecture/atomically.mjs#rollback
        architecture/turns.mjs#inTurn architecture/turns.mjs#within
        hardening/program.mjs#programsOf rest-apis/gone.mjs#clientGone
        rest-apis/probes.mjs#probes validation/upload.mjs#inMemory
    """,
    "needs PostgreSQL, which tests/topics/architecture/ takes away from it": """
        architecture/layered/app.postgres.mjs#createApp
        architecture/layered/postgres.mjs#postgresStore
        architecture/mvc/models.postgres.mjs#createModels
        architecture/onefile/app.postgres.mjs#createApp architecture/pool.mjs#openPool
        architecture/transaction.mjs#transaction architecture/database.mjs#openDatabase
    """,
    "needs Redis, which the tests of its chapter take away from it": """
        rate-limiting/connect.mjs#connect rate-limiting/outage.mjs#createApp
        rate-limiting/shared.mjs#stores websockets/log.mjs#redisLog
    """,
    "is a process's own, and its chapter's tests end that process in every way": """
        clustering/respawn.mjs#supervise clustering/worker.mjs#serve
        clustering/reuse-port.mjs#listen observability/flush.mjs#endOn
        resilience/shutdown.mjs#createShutdown
        observability/flush.mjs#flushWinston observability/loggers.mjs#createPino
        observability/loggers.mjs#createWinston observability/stdout.mjs#createOutput
    """,
    "needs a certificate, which tests/topics/hardening/ makes for it": """
        hardening/server.mjs#serverOf
    """,
    "measures, attacks or shows a fault: no page says to take it": """
        clustering/shop.mjs#createApp event-loop/stuck-pool.mjs#stick
        hardening/forgotten.mjs#createApp hardening/permission.mjs#probe
        hardening/smuggling.mjs#found hardening/smuggling.mjs#matrix
        jwt/cost.mjs#lookups jwt/cost.mjs#measure jwt/cost.mjs#ofJose
        jwt/cost.mjs#subjects jwt/crack.mjs#candidates jwt/crack.mjs#crack
        jwt/crack.mjs#speed jwt/forgeries.mjs#kitOf observability/durable.mjs#durable
        observability/stall.mjs#createApp resilience/work.mjs#createWork
        resilience/leaving.mjs#countFailures
    """,
}


def exports() -> set[str]:
    """Each exported function of a module that is not naive, as `file#name`."""
    found = set()
    for path, snippet in content.read().snippets.items():
        name = path.removeprefix("snippets/")
        if snippet.naive or not name.endswith(".mjs"):
            continue
        for function in EXPORT.finditer((SNIPPETS / name).read_text("utf-8")):
            found.add(f"{name}#{function[1] or function[2]}")
    return found


def recipes() -> list[str]:
    return re.findall(r"^  '([\w./-]+#\w+)': ", RECIPES.read_text("utf-8"), re.MULTILINE)


def test_every_export_is_played_with_or_says_why_not():
    excused = [name for names in WITHOUT.values() for name in names.split()]
    listed = [*recipes(), *excused]
    assert sorted(listed) == sorted(set(listed)), "something is listed twice"
    missing = sorted(exports() - set(listed))
    assert not missing, (
        f"{missing}: in no company — add a recipe to {RECIPES.name}, or its reason here"
    )
    gone = sorted(set(listed) - exports())
    assert not gone, f"{gone}: exported by nothing — take it away"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.topic(name.split("/")[0]))
        for name in recipes()
    ],
)
def test_it_is_safe_in_company(name):
    assert faults(name) == []


def faults(*args: str) -> list[str]:
    """What the world found, each as `phase: what`."""
    # on Node 22 Express asks url.parse() about a target such as *, which is deprecated
    flags = ("--no-deprecation",)
    done = node.run(WORLD, *args, flags=flags, timeout=250)
    told = json.loads(done.stdout.splitlines()[-1])
    assert "polite" in told["phases"]
    return told["faults"]


# --- the world itself ----------------------------------------------------------------

CLEAN = """
export function clean({ authenticate, signal, limit = 1 }) {
  if (!Number.isInteger(limit) || limit < 1) throw new TypeError('limit: no number');
  const timer = setInterval(() => {}, 1000);
  signal.addEventListener('abort', () => clearInterval(timer));
  return async (req, res) => {
    req.on('error', () => {});
    req.resume();
    const user = await asked(authenticate, req).catch(() => null);
    res.writeHead(user ? 204 : 401).end();
  };
}
const asked = async (authenticate, req) => authenticate(req);
"""
# what is changed in it, and what the world must say
PLANTED = {
    "not awaited": (
        "await asked(authenticate, req).catch(() => null)",
        "authenticate(req)",
        "authenticate says no, later: GET / is let in, with 204",
    ),
    "caught by nobody": (
        "await asked(authenticate, req).catch(() => null)",
        "await authenticate(req)",
        "authenticate rejects: unhandledRejection, which ends the process",
    ),
    "no listener": (
        "req.on('error', () => {});",
        "req.socket.once('close', () => { throw new Error('gone'); });",
        "uncaughtException, which ends the process: Error: gone",
    ),
    "left running": ("clearInterval(timer)", "{}", "end: left running: "),
    "no address": (
        "req.resume();",
        "req.resume(); if (!req.socket.remoteAddress) return res.writeHead(500).end();",
        "no address: without an address the answers are 500",
    ),
    "two slashes": (
        "req.resume();",
        "req.resume(); if (req.url === '//') return res.writeHead(500).end();",
        "impolite clients: GET // is answered with 500",
    ),
    "stuck": (
        "res.writeHead(user ? 204 : 401).end();",
        "clean.down ||= !user; res.writeHead(clean.down ? 401 : 204).end();",
        "afterwards the polite use gives 401, 401, and not 204, 204",
    ),
    "text": ("!Number.isInteger(limit)", "Number.isNaN(limit)", "string 5 is taken"),
    "held": (
        "const user =",
        "if (req.method === 'POST') await new Promise(() => {}); const user =",
        "polite: the polite use goes wrong: 204, silent",
    ),
}
BOOK = """
export const recipes = {
  'PATH#clean': {
    deps: () => ({ authenticate: () => ({ id: 'ann' }) }),
    requests: [
      { status: 204, asks: 'authenticate' },
      { method: 'POST', body: '{}', status: 204 },
    ],
    numbers: { limit: 5 },
    patience: 1000,
  },
};
"""


def planted(tmp_path, text: str) -> list[str]:
    (tmp_path / "clean.mjs").write_text(text, "utf-8")
    book = tmp_path / "book.mjs"
    book.write_text(BOOK.replace("PATH", str(tmp_path / "clean.mjs")), "utf-8")
    return faults(f"{tmp_path / 'clean.mjs'}#clean", str(book))


def test_the_world_has_nothing_to_say_of_what_is_clean(tmp_path):
    assert planted(tmp_path, CLEAN) == []


@pytest.mark.parametrize("name", PLANTED)
def test_the_world_finds_a_planted_fault(tmp_path, name):
    right, wrong, message = PLANTED[name]
    assert CLEAN.count(right) == 1
    found = planted(tmp_path, CLEAN.replace(right, wrong))
    assert any(message in one for one in found), found
