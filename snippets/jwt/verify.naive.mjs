// --8<-- [start:verify]
import jwt from 'jsonwebtoken';

export function createVerifier({ keys }) {
  const [key] = keys.values();
  return function verify(token) {
    return jwt.verify(token, key.public);
  };
}
// --8<-- [end:verify]
