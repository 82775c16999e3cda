// Does what the tests ask with one of the OpenAI SDKs (--sdk openai-newest or openai-previous): one request a line on
// standard input, one answer a line on standard output. Knows nothing of the gateway. ../python/run.py is its twin.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { operations } from "./operations.mjs";

const { values } = parseArgs({ options: { sdk: { type: "string" } } });
const sdk = { ...(await import(values.sdk)), ...(await import(`${values.sdk}/lib/parser`)) };
const { VERSION } = await import(`${values.sdk}/version`);
const perform = operations(sdk);

// What a caller can see of the SDK's own error. Its classes do not set `name`.
function failure(error) {
  return {
    class: error.constructor.name,
    message: error.message,
    status: error.status ?? null,
    code: error.code ?? null,
    param: error.param ?? null,
    type: error.type ?? null,
    request_id: error.requestID ?? null,
    retry_after: error.headers?.get("retry-after") ?? null,
  };
}

process.stdout.write(`${JSON.stringify({ version: VERSION })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const report = {}; // filled as it goes on, so that it tells of what came before an error
  try {
    await perform[request.operation](request, report);
  } catch (error) {
    if (error instanceof sdk.OpenAIError) report.error = failure(error);
    else report.crash = error.stack;
  }
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
process.exit(0);
