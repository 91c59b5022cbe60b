// What the guide's JavaScript is held to; the tests run it, warnings count.
import js from '@eslint/js';
import n from 'eslint-plugin-n';
import security from 'eslint-plugin-security';
import globals from 'globals';

export default [
  { ignores: ['node_modules/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  ...n.configs['flat/mixed-esm-and-cjs'],
  { languageOptions: { globals: globals.nodeBuiltin } },
  {
    rules: {
      'n/prefer-node-protocol': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "CallExpression[callee.property.name='listen'] > " +
            'Literal.arguments:first-child[value>0]',
          message:
            'a fixed port: listen on process.env.PORT, which tests set to 0',
        },
      ],
      // deprecated in the documentation only, so no run would warn
      'no-restricted-properties': [
        'error',
        { property: 'isMaster', message: 'its name is isPrimary' },
        { property: 'setupMaster', message: 'its name is setupPrimary' },
      ],
      'no-unused-vars': ['error', { argsIgnorePattern: '^(req|res|next)$' }],
      'prefer-const': 'error',
      'no-var': 'error',
      // programs that end by themselves with a code are what some chapters show
      'n/no-process-exit': 'off',
    },
  },
  {
    // a naive version's proof is the attack test that it must fail
    ...security.configs.recommended,
    ignores: ['**/*.naive.*', 'serve.mjs', 'eslint.config.mjs'],
  },
  {
    rules: {
      // it asks safe-regex, which is wrong both ways (event-loop/safe-regex-
      // protects): the tests ask recheck instead
      'security/detect-unsafe-regex': 'off',
      // flags every array index; prototypes are attacked in the tests instead
      'security/detect-object-injection': 'off',
    },
  },
  {
    // packages of their own, installed by `make heavy` only
    files: ['observability/agents/*.mjs'],
    rules: {
      'n/no-missing-import': 'off',
      'n/no-unsupported-features/node-builtins': [
        'error',
        { ignores: ['module.register'] }, // what the tracers' hooks are for
      ],
    },
  },
];
