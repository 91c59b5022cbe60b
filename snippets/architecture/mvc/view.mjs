// --8<-- [start:view]
/** In an API the view is the serializer: the order as clients see it. */
export function orderView(order) {
  const { id, customer, items, status, total, version } = order;
  const note = order.note ?? undefined; // a client sees no null
  return { id, customer, items, note, status, total, version };
}
// --8<-- [end:view]
