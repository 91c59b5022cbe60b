// --8<-- [start:types]
import pg from 'pg';

const { builtins } = pg.types;
const asText = (text) => text;

/** A bigint that a number holds exactly, or an error; never another one. */
function exact(text) {
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  throw new RangeError(`${text} is no safe integer: select it as text`);
}

const PARSERS = new Map([
  [builtins.INT8, exact], // bigint, and what count(*) gives
  [builtins.DATE, asText], // a day has no time zone: a Date would
  [builtins.TIMESTAMP, asText], // nor has this
]); // numeric stays the text that it is: a number would round it

/** For a pool's `types`: what columns become, without changing anybody
 * else's as `pg.types.setTypeParser` does. */
export const types = {
  getTypeParser: (oid, format) =>
    (format !== 'binary' && PARSERS.get(oid)) ||
    pg.types.getTypeParser(oid, format),
};
// --8<-- [end:types]
