// node --import ./datadog.mjs FILE
// --8<-- [start:datadog]
import { register } from 'node:module';
import tracer from 'dd-trace';

register('dd-trace/loader-hook.mjs', import.meta.url);
// logInjection: its ids go into Pino's and Winston's lines
const service = 'orders';
export default tracer.init({ service, logInjection: true });
// --8<-- [end:datadog]
