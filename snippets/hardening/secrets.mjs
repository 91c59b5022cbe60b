// --8<-- [start:secrets]
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Keys by name, each a list: the first one signs, all of them verify.
 * `NAME_FILE` is the path of a file; `NAME` itself is for a laptop, and is
 * taken out of `env`. `NAME_PREVIOUS` is what is being rotated away. Blanks
 * and other placeholders have few different bytes. */
export function secretsFrom({ names, env, read = readFileSync }) {
  const wrong = [];
  const take = (name, optional) => {
    const file = env[`${name}_FILE`];
    let raw = Buffer.alloc(0);
    try {
      raw = file ? read(file) : Buffer.from(env[name] ?? '');
    } catch (error) {
      // without its text, which has the path: that may be the secret itself
      wrong.push(`${name}_FILE: ${error.code}`);
    }
    delete env[name]; // a child gets a copy of what is left
    const last = raw.findLastIndex((byte) => ![0x0a, 0x0d].includes(byte));
    const bytes = raw.subarray(0, last + 1); // without the file's line end
    const good = bytes.length >= 32 && new Set(bytes).size >= 8;
    if (!good && !(optional && bytes.length === 0))
      wrong.push(`${name}: 32 bytes or more, 8 of them different`);
    const keys = good ? [createSecretKey(bytes)] : [];
    raw.fill(0); // the key has its own copy, outside of the JavaScript heap
    return keys;
  };
  const all = names.map((name) => [
    name,
    [...take(name), ...take(`${name}_PREVIOUS`, true)],
  ]);
  if (wrong.length) throw new Error(`secrets:\n${wrong.join('\n')}`);
  return Object.freeze(Object.fromEntries(all));
}
// --8<-- [end:secrets]

// --8<-- [start:rotation]
const mac = (key, text) => createHmac('sha256', key).update(text).digest();

export const sign = ([current], text) => mac(current, text).toString('hex');

export function verify(keys, text, signature) {
  const isText = typeof signature === 'string'; // a query may give a list
  if (!isText || !/^[0-9a-f]{64}$/.test(signature)) return false;
  const given = Buffer.from(signature, 'hex');
  return keys.some((key) => timingSafeEqual(mac(key, text), given));
}
// --8<-- [end:rotation]
