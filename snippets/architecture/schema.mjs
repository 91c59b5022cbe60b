// --8<-- [start:schema]
// One schema for both databases. The names of the constraints are what the
// programs may rely on: numbers and texts of errors differ.
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY, price INTEGER NOT NULL,
    stock INTEGER NOT NULL CONSTRAINT in_stock CHECK (stock >= 0)
  );
  CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, customer TEXT NOT NULL, items TEXT NOT NULL,
    note TEXT CONSTRAINT short_note CHECK (length(note) <= 500),
    status TEXT NOT NULL, total INTEGER NOT NULL, version INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS of_customer ON orders (customer, status);
  CREATE TABLE IF NOT EXISTS outbox (
    id TEXT PRIMARY KEY, event TEXT NOT NULL
  );
  INSERT INTO products VALUES ('tea', 450, 20), ('pot', 12500, 20)
    ON CONFLICT DO NOTHING;
`;
// --8<-- [end:schema]
