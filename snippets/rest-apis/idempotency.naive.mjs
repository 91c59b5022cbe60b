// --8<-- [start:once]
/** Remembers answers by the client's key. */
export function idempotent(answers = new Map()) {
  return (req, res, next) => {
    const key = req.get('Idempotency-Key');
    if (!key) return next();
    if (answers.has(key)) return res.status(201).json(answers.get(key));
    const json = res.json.bind(res);
    res.json = (body) => {
      answers.set(key, body);
      return json(body);
    };
    return next();
  };
}
// --8<-- [end:once]
