// --8<-- [start:config]
import { z } from 'zod';

const Config = z.object({
  // not z.coerce.number(): that takes '' for 0
  PORT: z
    .string()
    .regex(/^\d{1,5}$/)
    .transform(Number)
    .pipe(z.int().max(65_535))
    .default(3000),
  // not z.coerce.boolean(): that takes 'false' for true
  VERBOSE: z.stringbool().default(false),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }), // libpq knows both
  // whether it is random cannot be seen, that it is not can: blanks, a letter
  SESSION_SECRET: z
    .string()
    .regex(/^[!-~]{32,}$/, { abort: true })
    .refine((text) => new Set(text).size >= 8, 'Make it at random'),
});

/** What the environment says, with types, frozen; the only place that reads
 * it. Throws at start, with the names and never the values. */
export function configFrom(env) {
  const { success, data, error } = Config.safeParse(env);
  if (success) return Object.freeze(data);
  const names = error.issues.map(
    ({ path, message }) => `${path[0]}: ${message}`,
  );
  throw new Error(`The environment is not valid:\n${names.join('\n')}`);
}
// --8<-- [end:config]
