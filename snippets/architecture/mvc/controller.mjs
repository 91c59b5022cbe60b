// --8<-- [start:controller]
import { parseOrder as parse, Problem } from '../edge.mjs';
import { orderView } from './view.mjs';

/** Asks a model, chooses a view. Skinny, as its advocates want it. */
export const ordersController = ({ Order, parseOrder = parse }) => ({
  async create(req, res) {
    const { value, errors } = parseOrder(req.body);
    if (errors) throw new Problem(422, 'That is no order.', { errors });
    const { items, note } = value;
    const order = await Order.place({ customer: req.user.id, items, note });
    res.status(201).location(`/orders/${order.id}`).json(orderView(order));
  },
  async show(req, res) {
    res.json(orderView(await Order.find(req.user.id, req.params.id)));
  },
  async pay(req, res) {
    res.json(orderView(await Order.pay(req.user.id, req.params.id)));
  },
  async cancel(req, res) {
    res.json(orderView(await Order.cancel(req.user.id, req.params.id)));
  },
});
// --8<-- [end:controller]
