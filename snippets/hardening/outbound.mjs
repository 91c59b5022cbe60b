// --8<-- [start:forbidden]
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { Agent, request } from 'undici';
import { WAIT, numbers } from '../validation/numbers.mjs';

// two lists, since IPv4 addresses are compared with IPv6 ranges, too
const special = { 4: new BlockList(), 6: new BlockList() };
for (const range of (
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 ' +
  '172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 ' +
  '198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 ' +
  // of IPv6 all but 2000::/3, and of that what wraps another address
  '::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3fff::/20'
).split(' ')) {
  const [net, bits] = range.split('/');
  const family = isIP(net);
  special[family].addSubnet(net, Number(bits), `ipv${family}`);
}

/** Whether an address is none of the public internet's. */
export function notPublic(address) {
  const family = isIP(address);
  return family === 0 || special[family].check(address, `ipv${family}`);
}
// --8<-- [end:forbidden]

// --8<-- [start:pinned]
const resolveAll = (host) => lookup(host, { all: true });

function check(addresses, forbidden) {
  if (!addresses.length || addresses.some((one) => forbidden(one.address)))
    throw new Error('The address is not allowed');
  return addresses;
}

/** A `lookup` for sockets: what it has checked is what is connected to. */
function pinned(resolve, forbidden) {
  return async (host, options, done) => {
    try {
      const found = check(await resolve(host), forbidden);
      process.nextTick(done, null, found);
    } catch (error) {
      process.nextTick(done, error ?? new Error('no address'));
    }
  };
}
// --8<-- [end:pinned]

// --8<-- [start:outbound]
/** Gives `get(url)`, for the hosts (`name:port`) of a list and no others. */
export function outboundOf({ hosts, signal, ...deps }) {
  const { resolve = resolveAll, forbidden = notPublic } = deps;
  const { protocols = ['https:'], bytes = 1_000_000, ms = 5000 } = deps;
  numbers({ bytes, ms }, { most: WAIT.most });
  // in a text, `includes` would find parts of names
  if (!Array.isArray(hosts) || !Array.isArray(protocols))
    throw new TypeError('hosts and protocols: lists');
  const dispatcher = new Agent({
    connect: {
      lookup: pinned(resolve, forbidden),
      timeout: ms,
      autoSelectFamily: true,
      // for one address Node has 250 ms, too few for a host far away
      autoSelectFamilyAttemptTimeout: Math.ceil(ms / 3),
    },
    connections: 20, // to one host; more wait, as long as `ms` lets them
    maxResponseSize: bytes,
  });
  signal?.addEventListener('abort', () => dispatcher.destroy());

  return async function get(text) {
    const url = new URL(text); // reads 0x7f.1 and 2130706433 as 127.0.0.1
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    if (!protocols.includes(url.protocol) || url.username || url.password)
      throw new Error('The URL is not allowed');
    if (!hosts.includes(`${url.hostname}:${port}`))
      throw new Error('The host is not allowed');
    const address = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(address)) check([{ address }], forbidden); // is not looked up
    const timeout = AbortSignal.timeout(ms); // for all of it, body included
    const answer = await request(url, { dispatcher, signal: timeout });
    if (answer.statusCode >= 300) {
      await answer.body.dump(); // a redirect is an answer, not an order
      throw new Error(`The partner answered ${answer.statusCode}`);
    }
    return Buffer.from(await answer.body.arrayBuffer());
  };
}
// --8<-- [end:outbound]
