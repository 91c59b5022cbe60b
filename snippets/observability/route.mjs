// --8<-- [start:route]
/** The pattern that a route was declared with, never the URL. `baseUrl` is
 * as the client spelt it: below a mount that you didn't name it is `*`. */
export function routeOf({ route, baseUrl }, mounts = ['']) {
  if (!route) return 'none';
  return (mounts.includes(baseUrl) ? baseUrl : '*') + route.path;
}

/** The status that was really sent; who hung up is 499, as in nginx. */
export function statusOf(res) {
  return res.writableFinished ? res.statusCode : 499;
}
// --8<-- [end:route]
