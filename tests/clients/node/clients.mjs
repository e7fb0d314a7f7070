// The clients of npm: `node clients.mjs URL KEY` prints a line of JSON per client and case, [client, case, what came of it].
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, streamText, tool } from "ai";
import OpenAI, { toFile } from "openai";
import { z } from "zod";

const [url, key] = process.argv.slice(2);
const PROMPT = "How is the weather in Paris?";
const messages = [{ role: "user", content: PROMPT }];
const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const weather = z.object({ city: z.string(), days: z.number().int() });

class OpenAIClient {
  static name_ = "openai (npm)";
  constructor(apiKey, timeout) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey, timeout, maxRetries: 0 });
  }
  async chat(model) {
    return (await this.client.chat.completions.create({ model, messages })).choices[0].message.content;
  }
  async *stream(model) {
    const stream = await this.client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) yield chunk.choices[0]?.delta?.content ?? "";
  }
  async tool(model) {
    const tools = [{ type: "function", function: { name: "weather", parameters: WEATHER } }];
    const answer = await this.client.chat.completions.create({ model, messages, tools });
    return JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments);
  }
  async structured(model) {
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema: WEATHER, strict: true } };
    const answer = await this.client.chat.completions.create({ model, messages, response_format });
    return JSON.parse(answer.choices[0].message.content);
  }
  async embed(model) {
    return (await this.client.embeddings.create({ model, input: "water" })).data[0].embedding;
  }
  async models() {
    return (await this.client.models.list()).data.map((model) => model.id);
  }
  async transcribe(model) {
    const file = await toFile(new Uint8Array(48_000), "speech.wav");
    return (await this.client.audio.transcriptions.create({ model, file })).text;
  }
  async speak(model) {
    const spoken = await this.client.audio.speech.create({ model, voice: "alloy", input: "one two three" });
    return Buffer.from(await spoken.arrayBuffer());
  }
  async draw(model) {
    const image = await toFile(new Uint8Array(4), "dawn.png", { type: "image/png" });
    const drawn = await this.client.images.generate({ model, prompt: "a penstock" });
    const changed = await this.client.images.edit({ model, prompt: "at dusk", image });
    return [...drawn.data, ...changed.data].map((one) => one.b64_json);
  }
}

class AnthropicClient {
  static name_ = "@anthropic-ai/sdk";
  constructor(apiKey, timeout) {
    this.client = new Anthropic({ baseURL: url, apiKey, timeout, maxRetries: 0 });
  }
  async chat(model) {
    return (await this.client.messages.create({ model, max_tokens: 99, messages })).content[0].text;
  }
  async *stream(model) {
    const stream = await this.client.messages.create({ model, max_tokens: 99, messages, stream: true });
    for await (const event of stream) if (event.type === "content_block_delta") yield event.delta.text ?? "";
  }
  async tool(model) {
    const tools = [{ name: "weather", input_schema: WEATHER }];
    return (await this.client.messages.create({ model, max_tokens: 99, messages, tools })).content[0].input;
  }
  async structured(model) {
    const output_config = { format: { type: "json_schema", schema: WEATHER } };
    const answer = await this.client.messages.create({ model, max_tokens: 99, messages, output_config });
    return JSON.parse(answer.content[0].text);
  }
  async models() {
    const found = [];
    for await (const model of this.client.models.list()) found.push(model.id);
    return found;
  }
}

class VercelClient {
  static name_ = "ai (Vercel)";
  constructor(apiKey, timeout) {
    this.provider = createOpenAICompatible({
      name: "penstock",
      baseURL: `${url}/v1`,
      apiKey,
      supportsStructuredOutputs: true,
    });
    this.timeout = timeout;
  }
  ask(model, more = {}) {
    const abortSignal = AbortSignal.timeout(this.timeout);
    return { model: this.provider(model), prompt: PROMPT, maxRetries: 0, abortSignal, ...more };
  }
  async chat(model) {
    return (await generateText(this.ask(model))).text;
  }
  async *stream(model) {
    const left = new AbortController();
    let failed;
    const onError = ({ error }) => (failed = error);
    try {
      const answer = streamText(this.ask(model, { abortSignal: left.signal, onError }));
      for await (const text of answer.textStream) yield text;
      if (failed !== undefined) throw failed;
    } finally {
      left.abort();
    }
  }
  async tool(model) {
    const tools = { weather: tool({ description: "The weather of a city", inputSchema: weather }) };
    return (await generateText(this.ask(model, { tools }))).toolCalls[0].input;
  }
  async structured(model) {
    return (await generateObject(this.ask(model, { schema: weather }))).object;
  }
  async embed(model) {
    return (await embed({ model: this.provider.textEmbeddingModel(model), value: "water", maxRetries: 0 })).embedding;
  }
}

async function failure(work) {
  let answer;
  try {
    answer = await work();
  } catch (error) {
    return error;
  }
  throw new Error(`it did not fail: ${JSON.stringify(answer)}`);
}

const status = (error) => error.status ?? error.statusCode;
const all = async (pieces) => {
  const found = [];
  for await (const piece of pieces) found.push(piece);
  return found;
};

const CASES = {
  chat: async (client) => assert.ok((await client.chat("chat")).trim()),
  stream: async (client) => assert.ok((await all(client.stream("chat"))).filter(Boolean).length > 3),
  tools: async (client) => assert.deepEqual(Object.keys(await client.tool("chat")).sort(), ["city", "days"]),
  structured: async (client) => assert.deepEqual(Object.keys(await client.structured("chat")).sort(), ["city", "days"]),
  embeddings: async (client) => assert.equal((await client.embed("chat")).length, 384),
  models: async (client) => assert.ok((await client.models()).includes("flaky")),
  fallback: async (client) => assert.ok((await client.chat("flaky")).trim()),
  unknown_model: async (client) => {
    const error = await failure(() => client.chat("nope"));
    assert.equal(status(error), 404);
    assert.match(`${error.message} ${error.responseBody}`, /'nope' does not exist/);
  },
  wrong_key: async (client) => assert.equal(status(await failure(() => client.chat("chat"))), 401),
  rate_limit: async (client) => assert.equal(status(await failure(() => client.chat("limited"))), 429),
  broken_engine: async (client) => assert.ok([500, 502].includes(status(await failure(() => client.chat("broken"))))),
  cut_stream: async (client) => void (await failure(() => all(client.stream("cut")))),
  timeout: async (client) => {
    const error = await failure(() => client.chat("hangs"));
    assert.match(`${error.name} ${error.constructor.name} ${error.message}`, /time|abort/i);
  },
  transcription: async (client) => assert.ok((await client.transcribe("chat")).trim()),
  speech: async (client) => assert.equal((await client.speak("chat")).toString("latin1", 0, 4), "RIFF"),
  pictures: async (client) => assert.equal((await client.draw("chat")).filter(Boolean).length, 2),
  cancel: async (client) => {
    for await (const piece of client.stream("chat")) if (piece) break;
  },
};
const ASKS = {
  embeddings: "embed",
  models: "models",
  transcription: "transcribe",
  speech: "speak",
  pictures: "draw",
};

for (const Client of [OpenAIClient, AnthropicClient, VercelClient]) {
  for (const [name, run] of Object.entries(CASES)) {
    if (ASKS[name] !== undefined && Client.prototype[ASKS[name]] === undefined) continue;
    const client = new Client(name === "wrong_key" ? "sk-wrong" : key, name === "timeout" ? 1_000 : 30_000);
    let came = "ok";
    try {
      await run(client);
    } catch (error) {
      came = String(error.stack ?? error).slice(0, 2000);
    }
    console.log(JSON.stringify([Client.name_, name, came]));
  }
}
