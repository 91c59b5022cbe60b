// What is inside a token, read without any key
// --8<-- [start:token]
import { createHmac } from 'node:crypto';
import jwt from 'jsonwebtoken';

const secret = Buffer.alloc(32, 'for reading only');
const claims = {
  sub: 'cus_ann',
  aud: 'https://api.shop.test',
  iat: 1767225600,
};
const token = jwt.sign({ ...claims, phone: '555-0100' }, secret);

const [header, payload, signature] = token.split('.');
const read = (part) => Buffer.from(part, 'base64url').toString();
console.log(read(header));
console.log(read(payload)); // whoever holds the token reads this

// the signature covers the text of the first two parts, dot included
const hmac = createHmac('sha256', secret).update(`${header}.${payload}`);
console.log('signature right:', hmac.digest('base64url') === signature);
// --8<-- [end:token]
