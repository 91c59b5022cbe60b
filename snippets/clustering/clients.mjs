// output: varies — it counts what happens to requests while a server leaves
// node clustering/clients.mjs URL [CLIENTS] [MS]: each client asks again and again
// over a connection that it keeps, until refused or MS are over.
import { once } from 'node:events';
import { Agent, get } from 'node:http';

const [url, clients = 20, ms = 3000] = process.argv.slice(2);
const counts = { answered: 0, lost: 0, refused: 0 };
const until = performance.now() + Number(ms);

// --8<-- [start:client]
/** One request. Lost is one that went out over a connection that the server
 * had accepted, and got no answer. */
async function ask(agent) {
  const req = get(url, { agent });
  try {
    const [res] = await once(req, 'response');
    await once(res.resume(), 'end');
    counts.answered += 1;
    return true;
  } catch {
    counts[req.reusedSocket ? 'lost' : 'refused'] += 1;
    return req.reusedSocket;
  }
}
// --8<-- [end:client]

async function client() {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  while (performance.now() < until && (await ask(agent)));
  agent.destroy();
}

if (url) await Promise.all(Array.from({ length: Number(clients) }, client));
console.log(JSON.stringify(counts));
