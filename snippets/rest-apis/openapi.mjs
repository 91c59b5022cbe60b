// The contract. The server gives it away and the tests hold the server to it.
// --8<-- [start:schemas]
const Item = {
  type: 'object',
  required: ['sku', 'quantity'],
  additionalProperties: false, // closed for requests: see mass assignment
  properties: {
    sku: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' },
    quantity: { type: 'integer', minimum: 1, maximum: 999 },
  },
};
const items = { type: 'array', minItems: 1, maxItems: 100, items: Item };
const note = { type: 'string', maxLength: 500 };

/** What a client may say. */
const Content = {
  type: 'object',
  required: ['items'],
  additionalProperties: false,
  properties: { items, note },
  example: { items: [{ sku: 'tea', quantity: 2 }], note: 'ring twice' },
};
/** What the server says. */
const Order = {
  type: 'object',
  required: ['id', 'customer', 'items', 'status', 'total', 'version'],
  additionalProperties: false,
  properties: {
    id: { type: 'string', pattern: '^ord_[0-9a-f-]{36}$' },
    customer: { type: 'string' },
    items,
    note,
    status: { enum: ['open', 'paid', 'shipped', 'cancelled'] },
    total: { type: 'integer', minimum: 0, description: 'cents' },
    version: { type: 'integer', minimum: 1 },
  },
};
// --8<-- [end:schemas]
const Change = {
  type: 'object',
  additionalProperties: false,
  properties: { items, note: { type: ['string', 'null'], maxLength: 500 } },
  example: { note: 'leave it at the door' },
};
const Page = {
  type: 'object',
  required: ['items', 'next'],
  properties: {
    items: { type: 'array', items: Order },
    next: { type: ['string', 'null'] },
  },
};
const Problem = {
  type: 'object',
  required: ['title', 'status'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    instance: { type: 'string' },
    errors: { type: 'array', items: { type: 'object' } },
  },
};

const body = (type, schema) => ({
  required: true,
  content: { [type]: { schema } },
});
const etag = {
  ETag: { required: true, schema: { type: 'string', pattern: '^"[0-9]+"$' } },
};
const answer = (description, schema, headers) => ({
  description,
  headers,
  content: schema && { 'application/json': { schema } },
});
const refused = {
  description: 'a problem, as RFC 9457 has it',
  content: { 'application/problem+json': { schema: Problem } },
};
// 429: behind a limiter
const always = [400, 401, 429, 503, 504];
const refuses = (...statuses) =>
  Object.fromEntries([...always, ...statuses].map((s) => [s, refused]));
const header = (name, pattern, example) => ({
  name,
  in: 'header',
  required: true,
  schema: { type: 'string', pattern },
  example,
});
const ifMatch = header('If-Match', '^"[1-9][0-9]{0,8}"$', '"1"');
const once = header('Idempotency-Key', '^[A-Za-z0-9_-]{1,100}$', 'a-1');
const query = (name, schema) => ({ name, in: 'query', schema });
const id = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^ord_[0-9a-f-]{36}$' },
};
const ok = { type: 'object', properties: { ok: { type: 'boolean' } } };
const links = Object.fromEntries(
  [
    'readOrder',
    'replaceOrder',
    'changeOrder',
    'cancelOrder',
    'deleteOrder',
  ].map((operationId) => [
    operationId,
    { operationId, parameters: { id: '$response.body#/id' } },
  ]),
);
const changes = { ...refuses(404, 409, 412, 413, 415, 422, 428) };

// --8<-- [start:paths]
const paths = {
  '/orders': {
    get: {
      operationId: 'listOrders',
      parameters: [
        query('limit', { type: 'integer', minimum: 1, maximum: 100 }),
        query('sort', { enum: ['created', '-created', 'total', '-total'] }),
        query('status', { enum: Order.properties.status.enum }),
      ],
      responses: { 200: answer('a page', Page), ...refuses() },
    },
    post: {
      operationId: 'placeOrder',
      parameters: [once],
      requestBody: body('application/json', Content),
      responses: {
        201: { ...answer('placed', Order, etag), links },
        ...refuses(409, 413, 415, 422),
      },
    },
  },
  '/orders/{id}': {
    parameters: [id],
    get: {
      operationId: 'readOrder',
      responses: { 200: answer('the order', Order, etag), ...refuses(404) },
    },
    put: {
      operationId: 'replaceOrder',
      parameters: [ifMatch],
      requestBody: body('application/json', Content),
      responses: { 200: answer('replaced', Order, etag), ...changes },
    },
    // --8<-- [end:paths]
    patch: {
      operationId: 'changeOrder',
      parameters: [ifMatch],
      requestBody: body('application/merge-patch+json', Change),
      responses: { 200: answer('changed', Order, etag), ...changes },
    },
    delete: {
      operationId: 'deleteOrder',
      parameters: [ifMatch],
      responses: { 204: answer('gone'), ...changes },
    },
  },
  '/orders/{id}/cancellation': {
    parameters: [id],
    post: {
      operationId: 'cancelOrder',
      parameters: [ifMatch],
      responses: { 200: answer('cancelled', Order, etag), ...changes },
    },
  },
  '/health': {
    get: { security: [], responses: { 200: answer('it runs', ok) } },
  },
  '/ready': {
    get: {
      security: [],
      responses: {
        200: answer('send me requests', ok),
        503: answer('no', ok),
      },
    },
  },
};

export const document = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1.0.0' },
  security: [{ bearer: [] }],
  components: {
    securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
  },
  paths,
};
