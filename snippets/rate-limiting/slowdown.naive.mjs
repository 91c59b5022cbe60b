// --8<-- [start:slowdown]
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits longer after each wrong password, and answers then. */
export function createSlowdown({ check, baseMs = 1000 }) {
  const failures = new Map();
  return async function login(account, password) {
    await sleep((failures.get(account) ?? 0) * baseMs);
    const right = await check(account, password);
    if (!right) failures.set(account, (failures.get(account) ?? 0) + 1);
    return right;
  };
}
// --8<-- [end:slowdown]
