// The clients of npm: `node clients.mjs URL KEY` prints a line of JSON per client and case, [client, case, what came of it].
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { AnthropicClient, OpenAIClient, PROMPT, all, failure, status } from "./sdks.mjs";

const [url, key] = process.argv.slice(2);
const weather = z.object({ city: z.string(), days: z.number().int() });

class VercelClient {
  static name_ = "ai (Vercel)";
  constructor(url, apiKey, timeout) {
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
    const client = new Client(url, name === "wrong_key" ? "sk-wrong" : key, name === "timeout" ? 1_000 : 30_000);
    let came = "ok";
    try {
      await run(client);
    } catch (error) {
      came = String(error.stack ?? error).slice(0, 2000);
    }
    console.log(JSON.stringify([Client.name_, name, came]));
  }
}
