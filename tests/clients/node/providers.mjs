// The SDKs of npm before each provider: `node providers.mjs URL KEY FAKES`, with the fakes' URLs by their names as JSON,
// prints a line of JSON per client, provider and case, [client, provider, case, what came of it].
import assert from "node:assert/strict";
import { AnthropicClient, OpenAIClient, PROMPT, TOLD, all, failure, status } from "./sdks.mjs";

const [url, key, fakes] = process.argv.slice(2);
const urls = JSON.parse(fakes);
const SAID = `You said: ${PROMPT}`;
const FOUND = { city: "city", days: 1 };
const PATIENCE_MS = 20_000;

const left = async (provider) => (await (await fetch(`${urls[provider]}/fake/requests`)).json()).filter((one) => one.left);

const CASES = {
  chat: async (client, model) => assert.equal(await client.chat(model), SAID),
  stream: async (client, model) => {
    const pieces = await all(client.stream(model));
    assert.equal(pieces.join(""), SAID);
    assert.ok(pieces.filter(Boolean).length > 3);
  },
  tools: async (client, model) => assert.deepEqual(await client.tool(model), FOUND),
  streamed_tools: async (client, model) => assert.deepEqual(await client.streamedTool(model), FOUND),
  results: async (client, model) => assert.match(await client.secondTurn(model), new RegExp(TOLD)),
  reasoning: async (client, model) => assert.match(await client.thoughts(model), new RegExp(TOLD)),
  structured: async (client, model) => assert.deepEqual(await client.structured(model), FOUND),
  images: async (client, model) => assert.equal(await client.look(model), "You said: Look. I see 1 image."),
  rate_limit: async (client, model) =>
    assert.equal(status(await failure(() => client.chat(`${model}-rate-limited`))), 429),
  too_long: async (client, model) => {
    const error = await failure(() => client.chat(`${model}-too-long`));
    assert.equal(status(error), 400);
    assert.match(error.message, /long/);
  },
  error_in_stream: async (client, model) => void (await failure(() => all(client.stream(`${model}-error-mid-stream`)))),
  cancel: async (client, model) => {
    const before = (await left(model)).length;
    for await (const piece of client.stream(`${model}-stalled`)) if (piece) break;
    for (const until = Date.now() + PATIENCE_MS; (await left(model)).length === before; )
      assert.ok(Date.now() < until, "the provider did not see its client leave");
  },
};

for (const Client of [OpenAIClient, AnthropicClient]) {
  for (const provider of Object.keys(urls)) {
    for (const [name, run] of Object.entries(CASES)) {
      let came = "ok";
      try {
        await run(new Client(url, key, 30_000), provider);
      } catch (error) {
        came = `${error.status ?? ""} ${error.stack ?? error}`.slice(0, 2000);
      }
      console.log(JSON.stringify([Client.name_, provider, name, came]));
    }
  }
}
