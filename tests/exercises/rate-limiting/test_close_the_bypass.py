"""The checks of rate-limiting/close-the-bypass. A docstring is the hint that a
learner reads when the check fails."""

import pytest

from lab.run import load, node, services

PROXY, SCRAPER, CUSTOMER = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def served(url, address, claims):
    """How many requests from `address` are answered 200, one for each claim."""
    with load.client(url, address) as client:
        headers = [{"X-Forwarded-For": claim} if claim else {} for claim in claims]
        codes = [client.get("/products", headers=h).status_code for h in headers]
    return codes.count(200)


INVENTED = [f"203.0.113.{n}" for n in range(30)]


@pytest.mark.fails_at_start
def test_made_up_addresses_are_of_no_use_through_the_proxy(attempt):
    """The proxy appends the address it saw; everything left of that is the client's
    own writing. Whose word does 'trust proxy' take?"""
    with node.serve(attempt) as server, services.proxy(server.url) as proxy:
        count = served(proxy.url, SCRAPER, INVENTED)
        assert count == 10, f"{count} of 30 requests were served, not 10"


@pytest.mark.fails_at_start
def test_made_up_addresses_are_of_no_use_past_the_proxy(attempt):
    """Who connects directly is no proxy, so none of the header may be believed. A
    number of hops cannot tell the two ways apart; what can?"""
    with node.serve(attempt) as server:
        count = served(server.url, SCRAPER, INVENTED)
        assert count == 10, f"{count} of 30 requests were served, not 10"


def test_each_client_of_the_proxy_has_a_limit_of_its_own(attempt):
    """Without any trust in the proxy, all its clients are one: the proxy."""
    with node.serve(attempt) as server, services.proxy(server.url) as proxy:
        assert served(proxy.url, SCRAPER, [None] * 12) == 10
        assert served(proxy.url, CUSTOMER, [None] * 12) == 10


@pytest.mark.fails_at_start
def test_one_ipv6_network_is_one_client(attempt):
    """The check speaks as the proxy here. A customer gets a /64 at least; what does
    the library's own key do with it, and what does `req.ip`?"""
    network = [f"2001:db8:0:12::{n + 1:x}" for n in range(30)]
    with node.serve(attempt) as server:
        count = served(server.url, PROXY, network)
        assert count == 10, f"{count} of 30 requests were served, not 10"
