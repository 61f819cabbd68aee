// Uploads a file from a stream, runs it as a batch, and prints the custom_id of each line of the output.
import assert from "node:assert/strict";
import fs from "node:fs";
import { basename } from "node:path";
import OpenAI from "openai";

const [baseURL, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any" });

const file = await client.files.create({ file: fs.createReadStream(path), purpose: "batch" });
assert.equal(file.filename, basename(path));
assert.equal(file.bytes, fs.statSync(path).size);

let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, "completed");

await assert.rejects(client.batches.cancel(batch.id), OpenAI.ConflictError);
const listed = [];
for await (const entry of client.files.list({ limit: 1 })) listed.push(entry.id);
assert.ok(listed.includes(file.id));

const content = await (await client.files.content(batch.output_file_id)).text();
for (const line of content.trimEnd().split("\n")) console.log(JSON.parse(line).custom_id);
assert.equal((await client.files.delete(file.id)).deleted, true);
