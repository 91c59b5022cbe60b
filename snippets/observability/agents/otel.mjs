// node --import ./otel.mjs FILE
// --8<-- [start:otel]
import { register } from 'node:module';
import * as otlp from '@opentelemetry/exporter-trace-otlp-proto';
import * as express from '@opentelemetry/instrumentation-express';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';

// what is linked cannot be patched any more: this hook sees it before that
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);

// what the client wrote stays out of traces too; http.route says which route
const withheld = {
  'url.path': '',
  'url.query': '',
  'user_agent.original': '',
};
const http = new HttpInstrumentation({
  requestHook: (span) => span.setAttributes(withheld),
});
export const sdk = new NodeSDK({
  serviceName: 'orders',
  autoDetectResources: false, // or it sends host, user and command line
  // to OTEL_EXPORTER_OTLP_ENDPOINT
  traceExporter: new otlp.OTLPTraceExporter(),
  metricReaders: [], // left out, they are sent to the same endpoint
  instrumentations: [http, new express.ExpressInstrumentation()],
});
sdk.start();

// the last batch waits for up to five seconds: send it before the end. A
// collector that is away costs the spans; the end stays a good one.
const lost = ({ code }) => console.error('spans were lost:', code);
process.once('beforeExit', () => sdk.shutdown().catch(lost));
// --8<-- [end:otel]
