// What the tests can ask of the Node SDKs.
import { setTimeout as sleep } from "node:timers/promises";

const POLL_INTERVAL_MS = 10;
const ARRIVAL_TIMEOUT_MS = 20_000;

// What ../python/clients.py has as a class.
const INVOICE = {
  type: "json_schema",
  json_schema: {
    name: "Invoice",
    strict: true,
    schema: {
      type: "object",
      properties: {
        number: { type: "string" },
        lines: {
          type: "array",
          items: {
            type: "object",
            properties: { what: { type: "string" }, count: { type: "integer" } },
            required: ["what", "count"],
            additionalProperties: false,
          },
        },
        paid: { anyOf: [{ type: "boolean" }, { type: "null" }] },
      },
      required: ["number", "lines", "paid"],
      additionalProperties: false,
    },
  },
};

const TOOLS = {
  get_weather: ({ city, unit }) => `21 degrees ${unit} in ${city}`,
  get_time: ({ city }) => `noon in ${city}`,
  ring_bell: () => "rung",
};

const bodyOf = ({ params, wants_invoice: wants }) => (wants ? { ...params, response_format: INVOICE } : params);
const plain = (value) => JSON.parse(JSON.stringify(value));

function clientMaker(OpenAI) {
  return ({ client, environment }, more = {}) => {
    if (environment === undefined) {
      const { base_url: baseURL, api_key: apiKey, max_retries: maxRetries = 0, timeout = 30 } = client;
      return new OpenAI({ baseURL, apiKey, maxRetries, timeout: timeout * 1000, ...more });
    }
    Object.assign(process.env, environment);
    try {
      return new OpenAI();
    } finally {
      for (const name of Object.keys(environment)) delete process.env[name];
    }
  };
}

// A fetch that notes each try.
function noting(report) {
  report.tries = [];
  return (url, options) => {
    const retryCount = new Headers(options.headers).get("x-stainless-retry-count");
    report.tries.push({ retry_count: retryCount, at_s: performance.now() / 1000 });
    return fetch(url, options);
  };
}

function noteEvents(stream, report) {
  report.done = [];
  stream.on("content.done", ({ content }) => report.done.push(content));
  stream.on("tool_calls.function.arguments.done", (call) => report.done.push([call.name, call.arguments]));
}

// The form that the SDKs' helpers for schema libraries make: version 6 parses no other in a stream.
const parsed = (sdk, body) =>
  body.response_format === INVOICE
    ? { ...body, response_format: sdk.makeParseableResponseFormat(INVOICE, JSON.parse) }
    : body;

const chatting = (client, sdk) => ({
  async create(request, report) {
    const completion = await client(request).chat.completions.create(bodyOf(request));
    report.answer = plain(completion);
    report.request_id = completion._request_id;
  },

  async raw(request, report) {
    const one = client(request, { fetch: noting(report) });
    const { data, response, request_id: id } = await one.chat.completions.create(bodyOf(request)).withResponse();
    report.headers = Object.fromEntries(response.headers);
    report.answer = plain(data);
    report.request_id = id;
  },

  async collect(request, report) {
    report.chunks = [];
    const body = { ...bodyOf(request), stream: true };
    const { data, request_id: id } = await client(request).chat.completions.create(body).withResponse();
    report.request_id = id;
    for await (const chunk of data) {
      report.chunks.push(plain(chunk));
      if (report.chunks.length === request.take) break;
    }
  },

  async accumulate(request, report) {
    const stream = client(request).chat.completions.stream(parsed(sdk, bodyOf(request)));
    noteEvents(stream, report);
    let count = 0;
    for await (const _ of stream) {
      count += 1;
      if (count === request.take) {
        stream.abort();
        return;
      }
    }
    report.answer = plain(await stream.finalChatCompletion());
  },

  async parse(request, report) {
    report.answer = plain(await client(request).chat.completions.parse(bodyOf(request)));
    if (request.wants_invoice) report.parsed_class = "Invoice";
  },

  async run_tools(request, report) {
    report.called = [];
    const body = { ...bodyOf(request) };
    body.tools = body.tools.map((tool) => runnable(tool, report.called));
    const runner = client(request).chat.completions.runTools(body);
    report.final = await runner.finalContent();
    report.roles = runner.messages.map((message) => message.role).slice(0, -1); // the last is the answer
  },
});

function runnable(tool, called) {
  const { name } = tool.function;
  const run = (given) => {
    called.push([name, given]);
    return TOOLS[name](given);
  };
  return { ...tool, function: { ...tool.function, function: run, parse: JSON.parse } };
}

const other = (client, sdk) => ({
  async complete(request, report) {
    const answer = await client(request).completions.create(bodyOf(request));
    if (!request.params.stream) report.answer = plain(answer);
    else report.chunks = plain(await Array.fromAsync(answer));
  },

  async list_models(request, report) {
    report.models = plain(await Array.fromAsync(client(request).models.list()));
  },

  async retrieve_model(request, report) {
    report.model = plain(await client(request).models.retrieve(request.id));
  },

  async get(request, report) {
    report.answer = await client(request).get(request.path);
  },

  async name_models(request, report) {
    const one = client(request);
    report.named = {};
    for (const model of request.models) {
      const body = { ...bodyOf(request), model };
      try {
        const whole = await one.chat.completions.create(body);
        const chunks = await Array.fromAsync(await one.chat.completions.create({ ...body, stream: true }));
        const streamed = new Set(chunks.map((chunk) => chunk.model));
        report.named[model] = [whole.model, ...streamed, (await one.models.retrieve(model)).id];
      } catch (error) {
        report.named[model] = [String(error)];
      }
    }
  },

  async concurrently(request, report) {
    const { completions } = client(request).chat;
    const whole = async () => (await completions.create(bodyOf(request))).choices[0].message.content;
    const streamed = async () => {
      const chunks = await Array.fromAsync(await completions.create({ ...bodyOf(request), stream: true }));
      return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    };
    report.said = await Promise.all(Array.from({ length: request.count }, () => [whole(), streamed()]).flat());
  },

  // Ask for a whole answer and lose patience once what `watch` answers holds the `sign` that the upstream has it.
  async abandon(request, report) {
    const patience = new AbortController();
    const answer = client(request).chat.completions.create(bodyOf(request), { signal: patience.signal });
    const settled = answer.then(
      () => false,
      (error) => error instanceof sdk.APIUserAbortError,
    );
    const until = Date.now() + ARRIVAL_TIMEOUT_MS;
    while (Date.now() < until && !(await (await fetch(request.watch)).text()).includes(request.sign)) {
      await sleep(POLL_INTERVAL_MS);
    }
    patience.abort();
    report.cancelled = await settled;
  },
});

export function operations(sdk) {
  const client = clientMaker(sdk.OpenAI);
  return { ...chatting(client, sdk), ...other(client, sdk) };
}
