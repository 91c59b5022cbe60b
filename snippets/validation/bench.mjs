// output: varies — it measures time, rounds of both alternate
// --8<-- [start:bench]
import { validateReview } from './chain.mjs';
import { parseReview } from './review.mjs';

const review = {
  handle: 'ann-b',
  email: 'ann@shop.test',
  name: 'Ann',
  rating: 5,
  text: 'Good tea',
};

async function byExpressValidator(body) {
  const req = { body: { ...body } };
  for (const step of validateReview) {
    await new Promise((resolve) => step(req, {}, resolve));
  }
  return req.body;
}
const byZod = async (body) => parseReview({ ...body }).value;

async function perSecond(validate, ms) {
  const { user } = process.cpuUsage();
  const end = performance.now() + ms;
  let count = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 50; i += 1) await validate(review);
    count += 50;
  }
  const microseconds = process.cpuUsage().user - user;
  return Math.round((1e6 * count) / microseconds);
}
// --8<-- [end:bench]

const ms = Number(process.argv[2] ?? 50);
const rounds = Number(process.argv[3] ?? 1);
for (const validate of [byZod, byExpressValidator]) {
  const { text } = await validate(review);
  if (text !== review.text) throw new Error('not validated');
  await perSecond(validate, ms); // warm
}
for (let round = 0; round < rounds; round += 1) {
  const zod = await perSecond(byZod, ms);
  console.log(`${zod},${await perSecond(byExpressValidator, ms)}`);
}
