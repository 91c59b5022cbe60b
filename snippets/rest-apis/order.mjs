// --8<-- [start:parse]
const FIELDS = ['items', 'note'];
const ITEM = ['sku', 'quantity'];
const MOST_ERRORS = 20; // an answer must not grow with the attack

/** What a client may say of an order, and nothing else: `{ value }` with new
 * objects of known shape, or `{ errors }` with JSON Pointers to them.
 * @param {any} body */
export function parseOrder(body) {
  const errors = [];
  const check = (right, pointer, detail) => {
    const room = errors.length < MOST_ERRORS;
    if (!right && room) errors.push({ pointer, detail });
    return right;
  };
  const object = (value, at, names) => {
    if (!check(isObject(value), at, 'must be an object')) return {};
    for (const name of Object.keys(value)) {
      check(names.includes(name), `${at}/${token(name)}`, 'is not for you');
    }
    return value;
  };

  const { items, note } = object(body, '#', FIELDS);
  const some =
    Array.isArray(items) && items.length > 0 && items.length <= 100;
  check(some, '#/items', 'must be a list of 1 to 100 items');
  check(isNote(note), '#/note', 'must be text of at most 500 characters');
  const value = { items: [], note };
  for (const [n, item] of (some ? items : []).entries()) {
    const at = `#/items/${n}`;
    const { sku, quantity } = object(item, at, ITEM);
    check(isSku(sku), `${at}/sku`, 'must be a SKU');
    check(isQuantity(quantity), `${at}/quantity`, 'must be 1 to 999');
    value.items.push({ sku, quantity });
  }
  return errors.length ? { errors } : { value };
}
// --8<-- [end:parse]

const isObject = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isSku = (value) =>
  typeof value === 'string' && /^[a-z0-9-]{1,40}$/.test(value);

const isQuantity = (value) =>
  Number.isInteger(value) && value >= 1 && value <= 999;

// JSON Schema counts code points, `length` counts UTF-16 units
const isNote = (value) =>
  value === undefined ||
  (typeof value === 'string' &&
    value.isWellFormed() && // half a character is stored as another one
    value.length <= 1000 &&
    [...value].length <= 500);

/** A name as a part of a JSON Pointer in a URI fragment. */
function token(name) {
  const text = name.slice(0, 100).toWellFormed();
  return encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
}
