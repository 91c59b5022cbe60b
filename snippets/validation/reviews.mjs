// --8<-- [start:reviews]
import express from 'express';
import { z } from 'zod';
import { open } from './database.mjs';
import { merge } from './merge.mjs';
import * as safe from './page.mjs';
import { parserOf } from './parser.mjs';
import { parseReview } from './review.mjs';
import { LINE } from './rules.mjs';
import { quietly } from './quietly.mjs';
import { reviewsOf } from './store.mjs';
import { bodyErrors, jsonBody, problem, validate } from './validate.mjs';

// the query is input like the body: `?name=a&name=b` is an array
const Search = z.strictObject({
  name: z.string().max(80).regex(LINE),
  sort: z.enum(['newest', 'best']).default('newest'),
});
const parseSearch = parserOf(Search);

export function createApp(deps = {}) {
  const { db = open(), log = console.log } = deps;
  const { check = validate(parseReview), page = safe.page } = deps;
  const { csp = safe.CSP } = deps;
  const reviews = reviewsOf(db);
  const app = express();
  app.disable('x-powered-by');
  app.use((req, res, next) => {
    if (csp) res.set('Content-Security-Policy', csp);
    res.set('X-Content-Type-Options', 'nosniff');
    next();
  });
  routes({ app, reviews, check, page, log });
  app.use(bodyErrors);
  return app;
}
// --8<-- [end:reviews]

// --8<-- [start:routes]
function routes({ app, reviews, check, page, log }) {
  const body = [jsonBody({ limit: '32kb' }), check];
  app.post('/reviews', body, (req, res) => {
    const review = merge({ status: 'pending' }, req.body);
    reviews.insert(review);
    // JSON: a value cannot begin another line, or look like another field
    quietly(log, JSON.stringify({ event: 'review', name: review.name }));
    res.status(201).json({ status: review.status });
  });
  app.get('/reviews', (req, res) => {
    const { value, errors } = parseSearch(req.query);
    if (errors) return problem(res, 400, 'Invalid query', { errors });
    return res.send(page(reviews.by(value.name, value.sort)));
  });
  app.get('/admin', (req, res) => {
    const user = { name: 'a visitor' };
    res.sendStatus(user.isAdmin ? 200 : 403);
  });
}
// --8<-- [end:routes]
