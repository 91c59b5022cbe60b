/* eslint-disable security/detect-non-literal-fs-filename --
   the file is in a folder that it made itself */
// output: varies — it prints times
// --8<-- [start:throughput]
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loggers } from './sinks.mjs';

const [lines = '2000', rounds = '1'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'throughput-'));
const program = fileURLToPath(new URL('durable.mjs', import.meta.url));

/** From the first call until the last byte is on the disk, in a process of
 * its own whose standard output is that file. */
function run(name) {
  const file = join(folder, 'log');
  const out = openSync(file, 'w');
  const stdio = ['ignore', out, 'pipe'];
  const argv = [program, name, lines, file];
  const { stderr } = spawnSync(process.execPath, argv, { stdio });
  closeSync(out);
  return { name, bytes: statSync(file).size, ...JSON.parse(stderr) };
}

for (let round = 0; round < Number(rounds); round += 1) {
  for (const name of Object.keys(loggers)) {
    console.log(JSON.stringify(run(name)));
  }
}
rmSync(folder, { recursive: true });
// --8<-- [end:throughput]
