/* eslint-disable n/no-unsupported-features/node-builtins --
   node:sqlite needs no flag since 22.13, and these calls have not changed */
// --8<-- [start:database]
import { DatabaseSync } from 'node:sqlite';

/** Reviews, products and accounts, and what no review may touch. */
export function open(path = ':memory:') {
  const db = new DatabaseSync(path);
  db.exec(`
    CREATE TABLE IF NOT EXISTS reviews (
      id INTEGER PRIMARY KEY, handle TEXT, email TEXT, name TEXT,
      rating INTEGER, text TEXT, link TEXT, tags TEXT, status TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS cards (owner TEXT, number TEXT) STRICT;
    DELETE FROM cards;
    CREATE TABLE IF NOT EXISTS products (sku TEXT, name TEXT) STRICT;
    CREATE TABLE IF NOT EXISTS accounts (
      name TEXT NOT NULL UNIQUE, email TEXT NOT NULL, address TEXT UNIQUE
    ) STRICT;
    DELETE FROM products; DELETE FROM accounts;
    INSERT INTO products VALUES
      ('tea', 'Green tea'), ('mug', 'O''Brien''s mug');
    INSERT INTO cards VALUES ('ann', '4111 1111 1111 1111');
    INSERT INTO accounts VALUES ('ann', 'ann@shop.test', 'ann@shop.test');
  `);
  return db;
}
// --8<-- [end:database]
