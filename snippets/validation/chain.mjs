// --8<-- [start:chain]
import { body, matchedData, validationResult } from 'express-validator';
import { pointer } from './parser.mjs';
import { FIELDS, OPTIONAL } from './review.mjs';
import { EMAIL, HANDLE, isHttps, LINE, TEXT } from './rules.mjs';
import { problem } from './validate.mjs';

// A chain looks into arrays, so the type comes first, and ends it.
const text = (field, pattern, max, min = 1) =>
  field
    .isString()
    .bail()
    .isLength({ min, max })
    .bail()
    .custom((value) => pattern.test(value));

export const rules = [
  text(body('handle'), HANDLE, 30),
  text(body('email'), EMAIL, 254),
  text(body('name'), LINE, 80),
  body('rating').custom((n) => Number.isInteger(n) && n >= 1 && n <= 5),
  text(body('text'), TEXT, 2000),
  text(body('link').optional(), LINE, 200).bail().custom(isHttps),
  body('tags').optional().isArray({ max: 5 }).bail(),
  text(body('tags.*'), LINE, 30),
];
// --8<-- [end:chain]

// --8<-- [start:validated]
const KNOWN = new Set([...FIELDS, ...OPTIONAL]);
const described = ({ path, msg }) => ({
  pointer: pointer(path.split(/[[\]]+/).filter(Boolean)), // tags[0]
  detail: msg,
});

/** Refuses names that are not known (checkExact() misses some, see below),
 * and gives the handler what was validated, and nothing else. */
function exactly(req, res, next) {
  const unknown = Object.keys(req.body ?? {})
    .filter((name) => !KNOWN.has(name))
    .map((name) => ({ pointer: pointer([name]), detail: 'Unknown field' }));
  const errors = [
    ...unknown,
    ...validationResult(req).array().map(described),
  ];
  if (errors.length > 0) {
    const some = errors.slice(0, 20);
    return problem(res, 422, 'Invalid body', { errors: some });
  }
  req.body = matchedData(req, { locations: ['body'] });
  return next();
}

export const validateReview = [...rules, exactly];
// --8<-- [end:validated]
