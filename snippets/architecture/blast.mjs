// --8<-- [start:blast]
import { spawnSync } from 'node:child_process';
import { devNull } from 'node:os';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('.', import.meta.url));
// what was there before (nothing: a new file) and what is there after
const CHANGES = {
  'another database': {
    onefile: [['app.mjs', 'app.postgres.mjs']],
    mvc: [['models.mjs', 'models.postgres.mjs']],
    layered: [
      ['app.mjs', 'app.postgres.mjs'],
      ['', 'postgres.mjs'],
    ],
  },
  'another entry': {
    onefile: [
      ['app.mjs', 'app.cli.mjs'],
      ['', 'cli.mjs'],
    ],
    mvc: [['', 'cli.mjs']],
    layered: [['', 'cli.mjs']],
  },
};

function lines(version, [before, after]) {
  const from = before ? `${version}/${before}` : devNull;
  const args = [
    'diff',
    '--no-index',
    '--numstat',
    from,
    `${version}/${after}`,
  ];
  const { stdout } = spawnSync('git', args, { cwd, encoding: 'utf8' });
  const [added, removed] = stdout.split('\t').map(Number);
  return added + removed;
}
// --8<-- [end:blast]

// --8<-- [start:print]
const VERSIONS = {
  onefile: ['app.mjs'],
  mvc: ['app.mjs', 'controller.mjs', 'models.mjs', 'view.mjs'],
  layered: ['app.mjs', 'application.mjs', 'domain.mjs', 'http.mjs'].concat(
    'sqlite.mjs',
  ),
};
for (const [version, files] of Object.entries(VERSIONS)) {
  const all = files.reduce((sum, f) => sum + lines(version, ['', f]), 0);
  console.log(`${version}: ${all} lines, files: ${files.length}`);
}
for (const [change, versions] of Object.entries(CHANGES)) {
  for (const [version, files] of Object.entries(versions)) {
    const sum = (some) =>
      some.reduce((total, pair) => total + lines(version, pair), 0);
    const touched = sum(files.filter(([before]) => before));
    const fresh = sum(files.filter(([before]) => !before));
    console.log(`${change}, ${version}: ${touched} touched, ${fresh} new`);
  }
}
// --8<-- [end:print]
