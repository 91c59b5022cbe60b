// How many guesses at one account are checked within a day, on a clock of our
// own? The password is the thousandth of the attacker's list, or none of it
// (argument `none`). With `series`: when each was checked.
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { createApp as hardened } from './login.mjs';
import { createApp as naive } from './login.naive.mjs';

const [none, series] = ['none', 'series'].map((word) =>
  process.argv.includes(word),
);
const DAY = 24 * 60 * 60 * 1000;
const email = 'ann@shop.test';
const users = new Map([[email, {}]]);
let time = 0;
Date.now = () => time; // which is what the library asks

const agent = new Agent({ keepAlive: true });
async function post(port, from, password) {
  const headers = {
    'X-Forwarded-For': from,
    'Content-Type': 'application/json',
  };
  const options = { port, agent, method: 'POST', path: '/login', headers };
  const asked = request({ ...options, host: '127.0.0.1' });
  asked.end(JSON.stringify({ email, password }));
  const [answer] = await once(asked, 'response');
  await once(answer.resume(), 'end');
  return answer;
}

// --8<-- [start:guesses]
/** Guesses from each address until it is refused, waits as long as it is
 * told to, and goes on, for a day. Returns when each guess was checked. */
async function attack(createApp, addresses, deps) {
  const checked = [];
  const check = async (account, password) => {
    checked.push(Date.now());
    return !none && password === 'guess 1000';
  };
  const app = createApp({ users, check, proxies: 'loopback', ...deps });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const until = new Map(addresses.map((address) => [address, 0]));
  let found = false;
  for (time = 0; time < DAY && !found; time = Math.min(...until.values())) {
    for (const from of addresses) {
      while (until.get(from) <= time && !found) {
        const guess = `guess ${checked.length + 1}`;
        const answer = await post(server.address().port, from, guess);
        found = answer.statusCode === 204;
        const wait = answer.headers['retry-after'];
        if (wait) until.set(from, time + 1000 * wait);
      }
    }
  }
  server.close();
  server.closeAllConnections();
  return { checked, found };
}
// --8<-- [end:guesses]

const one = ['198.51.100.1'];
const twenty = Array.from({ length: 20 }, (_, i) => `198.51.100.${i + 1}`);
const runs = {
  '100 per address': await attack(naive, one),
  'per account, 1 address': await attack(hardened, one),
  'per account, 20 addresses': await attack(hardened, twenty),
};
if (!none) runs['no limit'] = await attack(naive, one, { max: Infinity });
for (const [name, { checked, found }] of Object.entries(runs)) {
  if (series) console.log(`${name},${checked}`);
  const hours = checked.at(-1) / 3_600_000;
  const end = found ? `found after ${hours} h` : 'not found in a day';
  console.log(`${name}: ${checked.length} guesses, ${end}`);
}
agent.destroy();
