// --8<-- [start:search]
import express from 'express';
import { query, validationResult } from 'express-validator';
import { open } from './database.mjs';

// A name may have spaces and apostrophes: more cannot be asked.
const name = query('name').isString().bail().isLength({ min: 1, max: 200 });

export function createApp({ db = open() } = {}) {
  const app = express();
  app.get('/products', name, (req, res) => {
    if (!validationResult(req).isEmpty()) return res.sendStatus(400);
    const { name } = req.query;
    const sql = `SELECT sku, name FROM products WHERE name = '${name}'`;
    return res.json(db.prepare(sql).all());
  });
  return app;
}
// --8<-- [end:search]
