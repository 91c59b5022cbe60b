// How many rows does a page of twenty cost, by how deep it lies? With the
// argument `series`, as comma-separated values with the time in ms.
/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
import { DatabaseSync } from 'node:sqlite';

const series = process.argv.includes('series');

// --8<-- [start:million]
const db = new DatabaseSync(':memory:');
db.exec(`
  CREATE TABLE orders (seq INTEGER PRIMARY KEY, total INTEGER) STRICT;
  WITH RECURSIVE n(i) AS
    (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)
  INSERT INTO orders SELECT i, i * 37 % 1000 FROM n;
`);
let visited = 0;
db.function('visit', { deterministic: false }, () => (visited += 1));

const byOffset = db.prepare(
  'SELECT seq FROM orders WHERE visit() ORDER BY seq LIMIT 20 OFFSET ?',
);
const byKeyset = db.prepare(
  'SELECT seq FROM orders WHERE visit() AND seq > ? ORDER BY seq LIMIT 20',
);
// --8<-- [end:million]

function page(query, after) {
  visited = 0;
  const begin = performance.now();
  const rows = query.all(after);
  const ms = performance.now() - begin;
  return { first: rows[0].seq, rows: rows.length, visited, ms };
}

for (const depth of [0, 180, 1980, 19_980, 199_980, 999_980]) {
  const offset = page(byOffset, depth);
  const keyset = page(byKeyset, depth); // seq counts from 1 without a gap
  if (offset.first !== keyset.first) throw new Error('not the same page');
  if (series) {
    const times = [offset.ms, keyset.ms].map((ms) => ms.toFixed(3));
    console.log([depth, offset.visited, keyset.visited, ...times].join());
  } else {
    const [a, b] = [offset.visited, keyset.visited].map((n) => `${n} rows`);
    console.log(`after ${depth}: offset visits ${a}, keyset ${b}`);
  }
}
