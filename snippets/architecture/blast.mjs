/* eslint-disable security/detect-non-literal-fs-filename -- the files of
   these folders, and copies in one of its own */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { devNull, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// --8<-- [start:blast]
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

// --8<-- [end:blast]

// --8<-- [start:lines]
// without the marks by which pages show parts of a file
const MARKS = /^ *\/\/ -{2}8<.*\n/gm;

function lines(version, [before, after]) {
  const folder = mkdtempSync(path.join(tmpdir(), 'blast-'));
  const plain = (file, name) => {
    const text = readFileSync(path.join(cwd, version, file), 'utf8');
    writeFileSync(path.join(folder, name), text.replaceAll(MARKS, ''));
    return name;
  };
  try {
    const from = before ? plain(before, 'before') : devNull;
    const two = [from, plain(after, 'after')];
    const args = ['diff', '--no-index', '--numstat', ...two];
    const options = { cwd: folder, encoding: 'utf8' };
    const { stdout } = spawnSync('git', args, options);
    const [added, removed] = stdout.split('\t').map(Number);
    return added + removed;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
// --8<-- [end:lines]

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
