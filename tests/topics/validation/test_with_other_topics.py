"""Validation composed with the rate limiter."""

import pytest

from .shared import codes

# --- where validation meets the rate limiter ----------------------------------------

LOGIN = """
import express from 'express';
import { createApp as create } from '@/rate-limiting/login.mjs';
import { parseLogin } from '@/validation/accounts.mjs';
import { bodyErrors, jsonBody, validate } from '@/validation/validate.mjs';
// as a database whose collation takes these spellings for one
const users = (email) => email.normalize('NFKC').toLowerCase() === 'ann@shop.test';
const check = async (email, password) => users(email) && password === 'right';
export function createApp() {
  const app = express();
  %s
  app.use(create({ check }));
  app.use(bodyErrors);
  return app;
}
"""

BEFORE = "app.use('/login', jsonBody({ limit: '1kb' }), validate(parseLogin));"

GUESS = {"email": "ann@shop.test", "password": "wrong"}


@pytest.mark.parametrize(
    ("before", "refused"), [("", 400), (BEFORE, 422)], ids=["login alone", "validated"]
)
def test_an_invalid_login_neither_uses_up_the_limiters_key_nor_gets_past_it(
    app, before, refused
):
    email = GUESS["email"]
    invalid = [
        {**GUESS, "email": value}
        for value in (
            [email],
            {"0": email},
            [[email]],
            None,
            5,
            {"$gt": ""},
            {"toString": 1},
        )
    ]
    with app(LOGIN % before) as client:
        assert codes(client, invalid * 3) == [refused] * 21
        # all five guesses are still there
        assert codes(client, [GUESS] * 6) == [401] * 5 + [429]
        # and in another form they are still gone
        assert set(codes(client, invalid)) == {refused}
        assert codes(client, [{**GUESS, "password": "right"}]) == [429]


def test_a_name_normalised_otherwise_has_its_own_limit_until_it_is_normalised_before(app):
    """The limiter's key is one spelling, the database's collation knows several."""
    spelt = [
        {**GUESS, "email": "ann@shop.test".replace("a", a, 1).replace("n", n, 1)}
        for a in ("\uff41", "\u24d0", "\U0001d41a")
        for n in ("\uff4e", "\u24dd")
    ]
    with app(LOGIN % "") as client:
        assert codes(client, [GUESS] * 6) == [401] * 5 + [429]
        assert codes(client, spelt) == [401] * 6  # six more, and so on
        assert codes(client, [{**spelt[0], "password": "right"}]) == [204]
    with app(LOGIN % BEFORE) as client:
        assert codes(client, [GUESS] * 5) == [401] * 5
        assert codes(client, spelt) == [429] * 6
