// node --import ./otel.naive.mjs FILE
// --8<-- [start:otel]
import { register } from 'node:module';
import * as otlp from '@opentelemetry/exporter-trace-otlp-proto';
import * as express from '@opentelemetry/instrumentation-express';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';

register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);

export const sdk = new NodeSDK({
  serviceName: 'orders',
  autoDetectResources: false,
  traceExporter: new otlp.OTLPTraceExporter(),
  metricReaders: [],
  instrumentations: [
    new HttpInstrumentation(),
    new express.ExpressInstrumentation(),
  ],
});
sdk.start();
// --8<-- [end:otel]
