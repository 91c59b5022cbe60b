// node --import ./datadog.mjs FILE
// --8<-- [start:datadog]
import { register } from 'node:module';
import tracer from 'dd-trace';

register('dd-trace/loader-hook.mjs', import.meta.url);
tracer.init({ service: 'orders', env: 'production', logInjection: true });
// --8<-- [end:datadog]
