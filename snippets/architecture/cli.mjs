// output: varies — what it prints is about the arguments it is given
// --8<-- [start:cli]
// The same shop from a command line: SHOP=shop.db node architecture/cli.mjs
// layered ann place tea=2
import { argv, env } from 'node:process';

const VERSIONS = {
  onefile: () => import('./onefile/cli.mjs'),
  mvc: () => import('./mvc/cli.mjs'),
  layered: () => import('./layered/cli.mjs'),
};
const [version, customer, command, ...rest] = argv.slice(2);
const items = rest.map((text) => {
  const [sku, quantity] = text.split('=');
  return { sku, quantity: Number(quantity) };
});

if (!Object.hasOwn(VERSIONS, version ?? '')) {
  console.log('VERSION CUSTOMER place SKU=QUANTITY… | pay ID | cancel ID');
} else {
  const { commands } = await VERSIONS[version]();
  const { place, pay, cancel } = await commands({ path: env.SHOP });
  const known = new Map([['place', () => place(customer, { items })]])
    .set('pay', () => pay(customer, rest[0]))
    .set('cancel', () => cancel(customer, rest[0]));
  try {
    if (!known.has(command)) throw new Error(`There is no ${command}.`);
    console.log(JSON.stringify(await known.get(command)()));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
// --8<-- [end:cli]
