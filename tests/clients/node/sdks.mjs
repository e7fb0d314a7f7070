// The SDKs of npm: how each is set up, and how it asks.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";

export const PROMPT = "How is the weather in Paris? Ask Weather.";
export const TOLD = "sunny";
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";
const messages = [{ role: "user", content: PROMPT }];
const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "weather", parameters: WEATHER } }];
const claudesTools = [{ name: "weather", input_schema: WEATHER }];

export class OpenAIClient {
  static name_ = "openai (npm)";
  constructor(url, apiKey, timeout) {
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
    const answer = await this.client.chat.completions.create({ model, messages, tools });
    return JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments);
  }
  async structured(model) {
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema: WEATHER, strict: true } };
    const answer = await this.client.chat.completions.create({ model, messages, response_format });
    return JSON.parse(answer.choices[0].message.content);
  }
  async look(model) {
    const image_url = { url: `data:image/png;base64,${PIXEL}` };
    const content = [{ type: "text", text: "Look." }, { type: "image_url", image_url }];
    const asked = { model, messages: [{ role: "user", content }] };
    return (await this.client.chat.completions.create(asked)).choices[0].message.content;
  }
  async called(model, more = {}) {
    const stream = this.client.chat.completions.stream({ model, messages, tools, ...more });
    return (await stream.finalChatCompletion()).choices[0].message;
  }
  async streamedTool(model) {
    return JSON.parse((await this.called(model)).tool_calls[0].function.arguments);
  }
  async secondTurn(model, more = {}) {
    const { parsed, ...message } = await this.called(model, more); // OpenAI does not take back what the SDK read
    const calls = message.tool_calls.map((call) => {
      const { parsed_arguments, ...named } = call.function;
      return { ...call, function: named };
    });
    const told = calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: TOLD }));
    const asked = { model, tools, messages: [...messages, { ...message, tool_calls: calls }, ...told], ...more };
    return (await this.client.chat.completions.create(asked)).choices[0].message.content;
  }
  async thoughts(model) {
    return this.secondTurn(model, { reasoning_effort: "high" });
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

export class AnthropicClient {
  static name_ = "@anthropic-ai/sdk";
  constructor(url, apiKey, timeout) {
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
    const asked = { model, max_tokens: 99, messages, tools: claudesTools };
    return (await this.client.messages.create(asked)).content.find((block) => block.type === "tool_use").input;
  }
  async structured(model) {
    const output_config = { format: { type: "json_schema", schema: WEATHER } };
    const answer = await this.client.messages.create({ model, max_tokens: 99, messages, output_config });
    return JSON.parse(answer.content[0].text);
  }
  async look(model) {
    const source = { type: "base64", media_type: "image/png", data: PIXEL };
    const content = [{ type: "text", text: "Look." }, { type: "image", source }];
    const asked = { model, max_tokens: 99, messages: [{ role: "user", content }] };
    return (await this.client.messages.create(asked)).content[0].text;
  }
  async called(model, more) {
    const asked = { model, max_tokens: 99, messages, tools: claudesTools, ...more };
    return (await this.client.messages.stream(asked).finalMessage()).content;
  }
  async streamedTool(model) {
    return (await this.called(model)).find((block) => block.type === "tool_use").input;
  }
  async secondTurn(model, more = {}) {
    const content = await this.called(model, more);
    const calls = content.filter((block) => block.type === "tool_use");
    const told = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: TOLD }));
    const turns = [...messages, { role: "assistant", content }, { role: "user", content: told }];
    const asked = { model, max_tokens: 99, messages: turns, tools: claudesTools, ...more };
    return (await this.client.messages.create(asked)).content.at(-1).text;
  }
  async thoughts(model) {
    return this.secondTurn(model, { max_tokens: 3000, thinking: { type: "enabled", budget_tokens: 2000 } });
  }
  async models() {
    const found = [];
    for await (const model of this.client.models.list()) found.push(model.id);
    return found;
  }
}

export async function failure(work) {
  let answer;
  try {
    answer = await work();
  } catch (error) {
    return error;
  }
  throw new Error(`it did not fail: ${JSON.stringify(answer)}`);
}

export const status = (error) => error.status ?? error.statusCode;
export const all = async (pieces) => {
  const found = [];
  for await (const piece of pieces) found.push(piece);
  return found;
};
