// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { behind, get, json } from '../../guide/company/helpers.mjs';

/** A form with a picture of eight bytes. */
function upload() {
  const png = '\x89PNG\r\n\x1a\n';
  const body = Buffer.from(
    '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n' +
      `Content-Type: image/png\r\n\r\n${png}\r\n--b--\r\n`,
    'latin1',
  );
  const headers = { 'Content-Type': 'multipart/form-data; boundary=b' };
  return { method: 'POST', path: '/photos', headers, body, status: 201 };
}

export const recipes = {
  'validation/accounts.mjs#createApp': {
    deps: () => ({ mail: async () => {} }),
    requests: [json('/resets', { name: 'ann' }, 202)],
  },
  'validation/message.mjs#receiverOf': {
    deps: () => ({
      parse: (value) => ({ value }),
      handle: async () => 'handled',
      refuse: async () => 'refused',
    }),
    use: async (receive) =>
      [
        await receive(Buffer.from('{}')),
        await receive(Buffer.from('{')),
      ].join(),
    numbers: { maxBytes: 100 },
  },
  'validation/quietly.mjs#quietly': {
    deps: () => ({ act: async () => {} }),
    make:
      (quietly, { act }) =>
      () =>
        quietly(act, 'news'),
    use: (run) => run(),
  },
  'validation/reviews.mjs#createApp': {
    deps: () => ({ log: () => {} }),
    requests: [
      get('/reviews?name=Ann', 200),
      get('/reviews', 400),
      json('/reviews', {}, 422),
    ],
  },
  'validation/search.mjs#createApp': { requests: [get('/health', 404)] },
  'validation/threads.mjs#createApp': {
    requests: [json('/threads', { text: 'x' }, 201)],
  },
  'validation/upload.mjs#createApp': {
    deps: () => ({
      photos: { get: async () => undefined, set: async () => {} },
    }),
    requests: [
      get('/photos/none', 404),
      upload(),
      { method: 'POST', path: '/photos', status: 400 },
    ],
  },
  'validation/upload.mjs#uploadServer': {
    make: (uploadServer) =>
      uploadServer((req, res) => res.writeHead(204).end()),
    requests: [get('/', 204)],
  },
  'validation/validate.mjs#jsonBody': {
    make: (jsonBody) => behind(jsonBody()),
    requests: [json('/', {}, 404)],
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    validation/config.mjs#configFrom
    validation/html.mjs#html
    validation/merge.mjs#merge
    validation/numbers.mjs#numbers
    validation/order.mjs#parseOrderPatch
    validation/page.mjs#page
    validation/parser.mjs#parserOf
    validation/parser.mjs#pointer
    validation/rules.mjs#isHttps
    validation/rules.mjs#isOrigin
    validation/threads.mjs#isDeeper
    validation/upload.mjs#kindOf
    validation/validate.mjs#problem
  `,
  'is played as a part of the app that is made of it': `
    validation/database.mjs#open
    validation/store.mjs#reviewsOf
    validation/upload.mjs#inMemory
    validation/validate.mjs#bodyErrors
    validation/validate.mjs#validate
  `,
};
