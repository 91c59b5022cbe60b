// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { json } from '../../guide/company/helpers.mjs';

const basket = { items: [{ quantity: 2, priceCents: 900 }] };

// TODO one for each exported function of a module that is not naive
export const recipes = {
  'databases/total.mjs#createApp': {
    requests: [json('/total', basket, 200), json('/total', {}, 400)],
    numbers: { most: 100 },
  },
};

// what a recipe would have nothing to do with: its reason, and the names
export const without = {};
