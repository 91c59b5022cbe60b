// Serves a module that exports createApp: node serve.mjs event-loop/signup.mjs
// The chapters' modules never listen by themselves, so that tests, notebooks
// and the composed service can each bring their own server.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { drainable } from './clustering/shutdown.mjs';

const [file] = process.argv.slice(2);
if (!file) {
  console.error(
    'usage: node serve.mjs FILE   (a module that exports createApp)',
  );
  process.exit(2);
}

const [leaving, shutdown] = [new AbortController(), new AbortController()];
const { createApp } = await import(pathToFileURL(file));
const signals = { leaving: leaving.signal, signal: shutdown.signal };
const server = createServer(await createApp(signals));
// no balancer in front, which would send requests for a while still
const drain = drainable(server, { quietMs: 100, patienceMs: 3000 });

async function leave() {
  leaving.abort(); // streams end,
  await drain(); // what was taken is answered,
  shutdown.abort(); // and only then stores close
}
let left; // SIGTERM may come twice: from npm, and to the group
process.on('SIGTERM', () => (left ??= leave()));

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
