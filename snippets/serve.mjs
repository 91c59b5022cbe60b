// Serves a module that exports createApp: node serve.mjs event-loop/signup.mjs
// The chapters' modules never listen by themselves, so that tests, notebooks
// and the composed service can each bring their own server.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [file] = process.argv.slice(2);
if (!file) {
  console.error(
    'usage: node serve.mjs FILE   (a module that exports createApp)',
  );
  process.exit(2);
}

const shutdown = new AbortController();
const { createApp } = await import(pathToFileURL(file));
const server = createServer(await createApp({ signal: shutdown.signal }));

process.once('SIGTERM', () => {
  shutdown.abort();
  server.close();
  server.closeIdleConnections();
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
