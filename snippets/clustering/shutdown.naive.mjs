// node clustering/shutdown.naive.mjs exit|close: two ways to stop that are common
import { createServer } from 'node:http';
import { createApp } from './shop.mjs';

// --8<-- [start:shutdown]
const server = createServer(createApp());
const ways = {
  exit: () => process.exit(0),
  close: () => server.close(() => process.exit(0)),
};
process.once('SIGTERM', ways[process.argv[2]]);
// --8<-- [end:shutdown]

server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
