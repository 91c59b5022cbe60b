"""The checks of jwt/detect-reuse. A docstring is the hint that a learner reads when
the check fails."""

import pytest

from lab.run import node

CLOCK = """
import {{ createApp as create }} from '{attempt}';
export function createApp() {{
  let time = 1e12;
  const app = create({{ clock: () => time }});
  return (req, res) => {{
    if (req.url !== '/later') return app(req, res);
    time += 60_000;
    return res.end();
  }};
}}
"""


@pytest.fixture
def shop(attempt, tmp_path):
    """The shop, asked by `login(user)`, `refresh(token)`: a token, or the status."""
    path = tmp_path / "shop.mjs"
    path.write_text(CLOCK.format(attempt=attempt.as_uri()))
    with node.serve(path) as server, server.client() as client:

        class Shop:
            def login(self, user="ann"):
                return client.post("/login", json={"user": user}).json()["token"]

            def refresh(self, token):
                answer = client.post("/refresh", json={"token": token})
                known = answer.status_code == 200
                return answer.json()["token"] if known else answer.status_code

            def bare(self, **body):
                return client.post("/refresh", **body).status_code

            def later(self):
                client.get("/later")

        yield Shop()


def test_each_refresh_gives_another_token(shop):
    """Rotation itself should go on working: login, refresh, refresh."""
    tokens = [shop.login()]
    for _ in range(3):
        tokens.append(shop.refresh(tokens[-1]))
        shop.later()
    assert len(set(tokens)) == 4, "a token came twice"
    assert all(isinstance(token, str) for token in tokens), f"refused: {tokens}"


@pytest.mark.fails_at_start
def test_a_token_used_twice_ends_its_session_for_the_thief_too(shop):
    """The owner comes with a token that was used. What must become of the token that
    the thief got for it? Something has to tie the two together."""
    stolen = shop.login()
    thief = shop.refresh(stolen)
    shop.later()
    assert shop.refresh(stolen) == 401, "the owner's old token was taken"
    assert shop.refresh(thief) == 401, "the thief goes on refreshing"


def test_other_sessions_of_the_same_user_go_on(shop):
    """Ann's phone need not be logged out because her laptop's token was stolen."""
    phone, laptop = shop.login(), shop.login()
    shop.refresh(laptop)
    shop.later()
    assert shop.refresh(laptop) == 401
    assert isinstance(shop.refresh(phone), str), "the other session ended"


@pytest.mark.fails_at_start
def test_two_tabs_at_the_same_moment_get_the_same_token(shop):
    """Both present one token. If the second one gets 401, or a token of its own, one
    tab is logged out now or at its next refresh."""
    first = shop.login()
    one, other = shop.refresh(first), shop.refresh(first)
    assert one == other, f"one tab got {one}, the other {other}"
    assert isinstance(shop.refresh(one), str), "and neither could go on"


def test_text_that_was_never_a_token_changes_nothing(shop):
    """Only a token that was once good tells of a theft."""
    token = shop.login()
    for text in ("", "x", token[:-1], token + "0"):
        assert shop.refresh(text) == 401
    assert isinstance(shop.refresh(token), str), "the session ended"


@pytest.mark.fails_at_start
def test_a_request_without_a_token_is_refused_like_any_other(shop):
    """Not every request has a body, and not every body is an object with texts."""
    token = shop.login()
    seen = [shop.bare(), *(shop.bare(json=body) for body in ({}, {"token": 7}, [token]))]
    assert seen == [401] * 4, f"answered {seen}"
    assert isinstance(shop.refresh(token), str), "the session ended"
