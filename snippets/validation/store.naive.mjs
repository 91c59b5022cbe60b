// --8<-- [start:store]
export function reviewsOf(db) {
  return {
    insert({
      handle,
      email,
      name,
      rating,
      text,
      link = '',
      tags = [],
      status,
    }) {
      db.exec(`INSERT INTO reviews
        (handle, email, name, rating, text, link, tags, status) VALUES
        ('${handle}', '${email}', '${name}', ${rating}, '${text}', '${link}',
         '${JSON.stringify(tags)}', '${status}')`);
    },
    by(name) {
      const sql = `SELECT * FROM reviews WHERE name = '${name}'`;
      return db.prepare(sql).all().map(fromRow);
    },
  };
}

const fromRow = (row) => ({ ...row, tags: JSON.parse(row.tags) });
// --8<-- [end:store]
