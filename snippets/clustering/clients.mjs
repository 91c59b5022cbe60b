// output: varies — it counts what happens to requests while a server leaves
// node clustering/clients.mjs URL [CLIENTS] [MS] [RUDE] [PID]: each client asks again
// and again over a connection that it keeps, until refused or MS are over. RUDE others
// send half a request and reset their connection, again and again; nobody counts them.
// When each client has had two answers, the process PID gets SIGTERM.
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [url, clients = 20, ms = 3000, rude = 0, pid] = process.argv.slice(2);
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

let served = 0; // clients with two answers
async function client() {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (
    let asked = 1;
    performance.now() < until && (await ask(agent));
    asked += 1
  ) {
    if (asked === 2 && ++served === Number(clients) && pid) process.kill(pid);
  }
  agent.destroy();
}

let done = false;
async function reset() {
  const { hostname, port } = new URL(url);
  while (!done) {
    const socket = connect(port, hostname).on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: ');
    await sleep(30);
    socket.resetAndDestroy();
  }
}

const several = (count, one) =>
  Promise.all(Array.from({ length: Number(count) }, one));
if (url) {
  const others = several(rude, reset);
  await several(clients, client);
  done = true;
  await others;
}
console.log(JSON.stringify(counts));
