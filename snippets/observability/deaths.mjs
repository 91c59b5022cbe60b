// node deaths.mjs LOGGER DEATH LINES FILE: logs LINES lines, then dies.
// --8<-- [start:deaths]
import { loggers } from './sinks.mjs';

export const deaths = {
  'process.exit': () => process.exit(1),
  throw: () => {
    throw new Error('nobody catches this');
  },
  SIGTERM: () => process.kill(process.pid, 'SIGTERM'),
  SIGKILL: () => process.kill(process.pid, 'SIGKILL'),
};

const [name, death, lines, file = 1] = process.argv.slice(2);
const { info, ready } = loggers[name](file);
await ready; // a service that has been up for a while
for (let n = 0; n < Number(lines); n += 1) info({ n }, 'order placed');
deaths[death]();
// --8<-- [end:deaths]
