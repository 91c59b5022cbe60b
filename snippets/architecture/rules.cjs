// --8<-- [start:rules]
const path = (name) => `architecture/layered/${name}[.]mjs$`;

/** Which file may know which: node_modules/.bin/depcruise -c this. */
module.exports = {
  forbidden: [
    {
      name: 'the-domain-knows-nobody',
      severity: 'error',
      from: { path: path('domain') },
      to: { path: '.' },
    },
    {
      name: 'the-application-knows-the-domain',
      severity: 'error',
      from: { path: path('application') },
      to: { pathNot: [path('domain'), '^(node:)?crypto$'] },
    },
    {
      name: 'adapters-do-not-know-each-other',
      severity: 'error',
      from: { path: path('(http|sqlite|postgres|memory)') },
      to: { path: path('(app|cli|http|sqlite|postgres|memory)') },
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
  ],
  options: { doNotFollow: { path: 'node_modules' } },
};
// --8<-- [end:rules]
