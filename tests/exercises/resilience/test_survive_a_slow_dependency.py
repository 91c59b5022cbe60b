"""The checks of resilience/survive-a-slow-dependency. A docstring is the hint that a
learner reads when the check fails."""

import contextlib
import socket

import pytest

from lab.run import node, process

# prices that are played: by sku they answer, are unknown, fail, or hang
PLAYED = """
let [underway, most, stopped] = [0, 0, 0];
const release = [];
async function played(sku, { signal } = {}) {
  if (sku === 'none') return undefined;
  if (sku === 'fails') throw new Error('played');
  if (sku !== 'hangs' && sku !== 'deaf') return 900;
  underway += 1;
  most = Math.max(most, underway);
  try {
    return await new Promise((resolve, reject) => {
      release.push(resolve);
      if (sku === 'deaf') return;
      signal?.addEventListener('abort', () => { stopped += 1; reject(signal.reason); });
    });
  } finally { underway -= 1; }
}
"""
COUNTS = """
export async function createApp(deps) {
  const app = await create({ ...deps, priceOf: played });
  return (req, res) => {
    if (req.url === '/counts') return res.end(JSON.stringify({ underway, most, stopped }));
    if (req.url === '/release') return res.end(void release.splice(0).forEach((one) => one(1)));
    return app(req, res);
  };
}
"""


@pytest.fixture
def shop(tmp_path, attempt):
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    program = tmp_path / "shop.mjs"
    start = f"import {{ createApp as create }} from '{attempt.as_uri()}';"
    program.write_text(start + PLAYED + COUNTS)
    with node.serve(program) as server, server.client(timeout=5) as client:
        yield server, client
        client.get("/release")


def asked(server, sku: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), 5)
    client.sendall(f"GET /products/{sku} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


def test_a_price_is_answered_and_an_unknown_product_is_a_404(shop):
    """What is well must go on as it does: a price, or 404 where there is none."""
    _, client = shop
    assert client.get("/products/tea").json() == {"sku": "tea", "cents": 900}
    assert client.get("/products/none").status_code == 404


@pytest.mark.fails_at_start
@pytest.mark.parametrize("sku", ["hangs", "deaf", "fails"])
def test_without_a_price_the_page_is_a_503_that_says_when_to_come_again(shop, sku):
    """Who may never answer needs an end that you set, also if he does not listen to it."""
    server, _ = shop
    with server.client(timeout=1.5) as client:
        answer = client.get(f"/products/{sku}")
    assert answer.status_code == 503 and "retry-after" in answer.headers


@pytest.mark.fails_at_start
def test_no_more_than_five_prices_are_asked_for_at_once(shop):
    """Count how many are under way, and decide before you ask."""
    server, client = shop
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(asked(server, "hangs"))
        process.until(lambda: client.get("/counts").json()["underway"] >= 5)
        client.get("/products/tea")  # so that all of the twenty have been read
        assert client.get("/counts").json()["most"] == 5


@pytest.mark.fails_at_start
def test_work_is_stopped_when_the_client_has_left(shop):
    """A response tells when it closes. Hand something down that tells the price service."""
    server, client = shop
    with asked(server, "hangs"):
        process.until(lambda: client.get("/counts").json()["underway"] == 1)
    process.until(lambda: client.get("/counts").json()["stopped"] == 1, seconds=3)


def test_the_shop_is_well_as_soon_as_its_prices_are(shop):
    """Every way out of the handler must give its place back, the failures too."""
    server, client = shop
    for _ in range(7):
        client.get("/products/fails")
    with contextlib.ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(asked(server, "hangs"))
        process.until(lambda: client.get("/counts").json()["underway"] >= 5)
    client.get("/release")
    process.until(lambda: client.get("/products/tea").status_code == 200)
