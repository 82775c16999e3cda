// The second upstream: aimock, which answers the prompts of a file of replies as every provider whose wire it knows.
//   node upstream.mjs REPLIES.json [--strict]
// Prints one line of JSON when it listens. Strict, it refuses what it has no reply to, and thoughts that come back to
// Anthropic's wire out of their place or without their proof.
import { readFileSync } from "node:fs";
import { LLMock } from "@copilotkit/aimock";

const [file, ...flags] = process.argv.slice(2);
const REPLIES = JSON.parse(readFileSync(file, "utf8"));
const CHUNK_CHARACTERS = 7;
// It breaks off with these many chunks out and in time enough that they have left.
const BREAKING = { truncateAfterChunks: 4, latency: 10 };

const strict = flags.includes("--strict");
const mock = new LLMock({ port: 0, host: "127.0.0.1", chunkSize: CHUNK_CHARACTERS, logLevel: "silent", strict });

// A reply that fails a few times first; told apart by the whole prompt, which a test makes its own.
function failingFirst({ content, error, fails }) {
  const seen = new Map();
  return (request) => {
    const prompt = request.messages.at(-1).content;
    const times = (seen.get(prompt) ?? 0) + 1;
    seen.set(prompt, times);
    return times > fails ? { content } : failure(error);
  };
}

function failure({ status, message, type, retry_after_s: retryAfter }) {
  return { error: { message, type, param: null }, status, retryAfter };
}

for (const reply of Object.values(REPLIES)) {
  const match = { userMessage: reply.prompt };
  const { reasoning, signature: reasoningSignature, redacted: redactedThinking, usage, finish: finishReason } = reply;
  const thoughts = { reasoning, reasoningSignature, redactedThinking };
  if (reply.fails !== undefined) mock.on(match, failingFirst(reply));
  else if (reply.error !== undefined) mock.on(match, failure(reply.error));
  else if (reply.tool_calls !== undefined) {
    mock.on({ ...match, hasToolResult: true }, { content: reply.content, usage });
    const said = { toolCalls: reply.tool_calls, content: reply.opening, ...thoughts, usage };
    mock.on({ ...match, hasToolResult: false }, said);
  } else {
    const said = { content: reply.content, ...thoughts, usage, finishReason };
    mock.on(match, said, reply.breaks ? BREAKING : {});
  }
}

await mock.start();
process.stdout.write(`${JSON.stringify({ base_url: `${mock.url}/v1` })}\n`);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0)); // whoever started us is gone
