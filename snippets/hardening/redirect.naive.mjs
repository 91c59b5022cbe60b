// --8<-- [start:redirect]
// as expressjs.com's page on security has it: only our host may be a target
export function destination(next, host) {
  try {
    return new URL(next).host === host ? next : null;
  } catch {
    return null;
  }
}
// --8<-- [end:redirect]
