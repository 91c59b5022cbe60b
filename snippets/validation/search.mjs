// --8<-- [start:search]
import express from 'express';
import { matchedData, query, validationResult } from 'express-validator';
import { open } from './database.mjs';

const name = query('name').isString().bail().isLength({ min: 1, max: 200 });

export function createApp({ db = open() } = {}) {
  const find = db.prepare('SELECT sku, name FROM products WHERE name = ?');
  const app = express();
  app.get('/products', name, (req, res) => {
    if (!validationResult(req).isEmpty()) return res.sendStatus(400);
    return res.json(find.all(matchedData(req).name));
  });
  return app;
}
// --8<-- [end:search]
