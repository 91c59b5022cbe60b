// --8<-- [start:orders]
/** Orders in memory: `of(customer)` sees that customer's and no others;
 * `all` is what the naive app uses. */
export function ordersOf(list) {
  const all = new Map(list.map((order) => [order.id, { ...order }]));
  const of = (customer) => {
    const mine = (order) => (order?.customer === customer ? order : null);
    return {
      get: async (id) => mine(all.get(id)),
      list: async () => [...all.values()].filter(mine),
      async update(id, version, order) {
        if (mine(all.get(id))?.version !== version) return null;
        all.set(id, { ...order, id, customer, version: version + 1 });
        return all.get(id);
      },
    };
  };
  return { all, of };
}
// --8<-- [end:orders]
