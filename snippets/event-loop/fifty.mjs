// output: varies — it prints how long things took
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';

const server = createServer((req, res) => setTimeout(() => res.end(), 100));
await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = server.address();

// --8<-- [start:fifty]
// the server takes 100 ms to answer
async function slowRequest() {
  const asked = get({ port, host: '127.0.0.1', agent: new Agent() });
  const [response] = await once(asked, 'response');
  await once(response.resume(), 'end');
}

const begun = performance.now();
await Promise.all(Array.from({ length: 50 }, slowRequest));
console.log(performance.now() - begun);
// --8<-- [end:fifty]
server.close();
