// --8<-- [start:reviews]
import express from 'express';
import { validateReview } from './chain.naive.mjs';
import { open } from './database.mjs';
import { merge } from './merge.naive.mjs';
import { page } from './page.naive.mjs';
import { reviewsOf } from './store.naive.mjs';

export function createApp(deps = {}) {
  const { db = open(), log = console.log, validate = validateReview } = deps;
  const reviews = reviewsOf(db);
  const app = express();
  app.post('/reviews', express.json(), validate, (req, res) => {
    const review = merge({ status: 'pending' }, req.body);
    reviews.insert(review);
    log(`review by ${review.name}`);
    res.status(201).send('Validated');
  });
  app.get('/reviews', (req, res) =>
    res.send(page(reviews.by(req.query.name))),
  );
  app.get('/admin', (req, res) => {
    const user = { name: 'a visitor' };
    res.sendStatus(user.isAdmin ? 200 : 403);
  });
  return app;
}
// --8<-- [end:reviews]
