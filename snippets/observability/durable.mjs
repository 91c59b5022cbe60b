/* eslint-disable security/detect-non-literal-fs-filename --
   the file is the argument that this program is about */
// node durable.mjs LOGGER LINES FILE, with standard output to FILE as well
// --8<-- [start:durable]
import { once } from 'node:events';
import { fsyncSync, openSync } from 'node:fs';
import { loggers } from './sinks.mjs';

const order = { id: 'ord_1', status: 'paid', total: 799, version: 2 };

/** Milliseconds until the last call came back, and until the last byte is on
 * the disk. */
export async function durable(name, lines, file) {
  const { info, logger, ready, stream = logger } = loggers[name](file);
  await ready;
  const begun = performance.now();
  for (let n = 0; n < lines; n += 1) info({ n, order }, 'order placed');
  const called = performance.now() - begun; // what benchmarks report
  const done = stream && once(stream, stream === logger ? 'finish' : 'close');
  stream?.end();
  const alive = setInterval(() => {}, 1000); // the worker alone would not
  await done;
  clearInterval(alive);
  fsyncSync(openSync(file, 'r+'));
  return { called, durable: performance.now() - begun };
}

const [name, lines, file] = process.argv.slice(2);
const ms = await durable(name, Number(lines), file);
console.error(JSON.stringify(ms));
// --8<-- [end:durable]
