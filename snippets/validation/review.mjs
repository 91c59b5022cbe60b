// --8<-- [start:review]
import { z } from 'zod';
import { parserOf } from './parser.mjs';
import { EMAIL, HANDLE, isHttps, LINE, TEXT } from './rules.mjs';

export const FIELDS = ['handle', 'email', 'name', 'rating', 'text'];
export const OPTIONAL = ['link', 'tags'];

const Review = z.strictObject({
  handle: z.string().max(30).regex(HANDLE),
  email: z.string().max(254).regex(EMAIL),
  name: z.string().min(1).max(80).regex(LINE),
  rating: z.int().min(1).max(5),
  text: z.string().min(1).max(2000).regex(TEXT),
  link: z
    .string()
    .max(200)
    .regex(LINE)
    .refine(isHttps, 'Must be an https address')
    .optional(),
  tags: z.array(z.string().max(30).regex(LINE)).max(5).optional(),
});

/** `{ value }` or `{ errors }`, see parser.mjs. */
export const parseReview = parserOf(Review);
// --8<-- [end:review]
