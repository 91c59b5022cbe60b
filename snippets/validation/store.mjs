// --8<-- [start:store]
// A column's name cannot be a parameter. So the client picks from a list.
const ORDERS = new Map([
  ['newest', 'id DESC'],
  ['best', 'rating DESC, id DESC'],
]);

export function reviewsOf(db) {
  const insert = db.prepare(
    `INSERT INTO reviews
      (handle, email, name, rating, text, link, tags, status) VALUES
      (:handle, :email, :name, :rating, :text, :link, :tags, :status)`,
  );
  return {
    insert({ link = null, tags = [], ...rest }) {
      return insert.run({ ...rest, link, tags: JSON.stringify(tags) });
    },
    by(name, sort = 'newest') {
      const order = ORDERS.get(sort);
      if (!order) throw new RangeError('unknown order');
      return db
        .prepare(`SELECT * FROM reviews WHERE name = ? ORDER BY ${order}`)
        .all(name)
        .map(fromRow);
    },
    all: () => db.prepare('SELECT * FROM reviews').all().map(fromRow),
  };
}

const fromRow = (row) => ({ ...row, tags: JSON.parse(row.tags) });
// --8<-- [end:store]
