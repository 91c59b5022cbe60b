// --8<-- [start:session]
import cookieSession from 'cookie-session';

// as expressjs.com's page on security has it, but for the names
export function sessions({ keys }) {
  return cookieSession({
    name: 'session',
    keys,
    cookie: {
      secure: true,
      httpOnly: true,
      path: '/account',
      expires: new Date(Date.now() + 60 * 60 * 1000),
    },
  });
}
// --8<-- [end:session]
