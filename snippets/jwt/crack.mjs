// Guesses the secret of a token that anybody could have been given
// --8<-- [start:crack]
import { createHmac } from 'node:crypto';
import jwt from 'jsonwebtoken';

/** The words of a small list, each with what people append. */
export function* candidates() {
  const words = 'secret,password,jwt,shop,admin,token,letmein,changeme';
  for (const word of words.split(',')) {
    for (const form of [word, word[0].toUpperCase() + word.slice(1)]) {
      yield form;
      for (let n = 0; n < 10_000; n += 1) yield `${form}${n}`;
    }
  }
}

/** Offline: no server is asked, so no limiter sees it. */
export function crack(token, guesses) {
  const [header, payload, signature] = token.split('.');
  let tried = 0;
  for (const guess of guesses) {
    tried += 1;
    const hmac = createHmac('sha256', guess).update(`${header}.${payload}`);
    if (hmac.digest('base64url') === signature) return { guess, tried };
  }
  return { guess: null, tried };
}
// --8<-- [end:crack]

/** Guesses a second of one core, of a secret that is not on the list. */
export function speed() {
  const token = jwt.sign({ sub: 'cus_ann' }, 'not on the list');
  const start = process.cpuUsage();
  const { tried } = crack(token, candidates());
  const { user, system } = process.cpuUsage(start);
  return (tried / (user + system)) * 1e6;
}
