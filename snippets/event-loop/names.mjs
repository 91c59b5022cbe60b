// UV_THREADPOOL_SIZE=4 (the default) and four threads stuck: which ways to
// turn a name into an address still work?
import { createSocket } from 'node:dgram';
import { lookup, Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { answer } from './name-server.mjs';
import { stick } from './stuck-pool.mjs';

const nameServer = createSocket('udp4', (query, from) =>
  nameServer.send(answer(query), from.port),
).bind(0, '127.0.0.1');
await once(nameServer, 'listening');

// --8<-- [start:names]
const release = stick(4);

let found = false;
const looking = lookup('localhost').then(() => (found = true)); // getaddrinfo

// c-ares asks the name server itself, through a socket of its own.
const resolver = new Resolver();
resolver.setServers([`127.0.0.1:${nameServer.address().port}`]);
for (let i = 0; i < 100; i += 1) await resolver.resolve4(`n${i}.shop.test`);

console.log('dns.resolve4: answered 100 times');
console.log(`dns.lookup: ${found ? 'answered' : 'still waiting'}`);
await release();
await looking;
console.log('dns.lookup: answered once a thread was free');
// --8<-- [end:names]
nameServer.close();
