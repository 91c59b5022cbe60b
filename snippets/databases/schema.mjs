// --8<-- [start:schema]
// What is true of all rows is said here: programs come and go.
export const SCHEMA = `
  CREATE TABLE products (
    sku text PRIMARY KEY, price_cents integer NOT NULL,
    stock integer NOT NULL CONSTRAINT in_stock CHECK (stock >= 0),
    version integer NOT NULL DEFAULT 1
  );
  CREATE TABLE orders (
    id text PRIMARY KEY, customer text NOT NULL, items jsonb NOT NULL,
    note text, status text NOT NULL DEFAULT 'open',
    total integer NOT NULL, version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX orders_by_time ON orders (customer, created_at, id);
  CREATE TABLE accounts (
    id text PRIMARY KEY,
    cents bigint NOT NULL CONSTRAINT covered CHECK (cents >= 0)
  );
  CREATE TABLE answers (
    customer text, key text, fingerprint text NOT NULL,
    answer json, -- not jsonb, which would sort its keys
    at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (customer, key)
  );
  CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body json NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event json NOT NULL
  );
`;
// --8<-- [end:schema]
