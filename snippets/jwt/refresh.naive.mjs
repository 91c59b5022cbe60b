// --8<-- [start:refresh]
import { randomUUID } from 'node:crypto';

export function createSessions() {
  const users = new Map(); // refresh token -> user

  async function start(user) {
    const token = randomUUID();
    users.set(token, user);
    return { token, user };
  }
  return {
    start,
    async rotate(token) {
      const user = users.get(token);
      if (!user) return null;
      users.delete(token); // each is good for one use
      return start(user);
    },
    end: async (token) => users.delete(token),
  };
}
// --8<-- [end:refresh]
