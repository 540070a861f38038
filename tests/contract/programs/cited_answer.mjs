// The program of `cited_answer.py` as it is written with the JavaScript SDK: `node cited_answer.mjs BASE_URL`.
import fs from 'node:fs';
import path from 'node:path';
import os from 'node:os';
import OpenAI, { toFile } from 'openai';

const client = new OpenAI({ baseURL: process.argv[2], apiKey: 'any' });
const { VERSION } = await import('openai/version');

const weather = ['temperature', 'rain'].map((name) => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}));

async function withFootnotes(message) {
  const { text } = message.content[0];
  const notes = [];
  let value = text.value;
  for (const [index, annotation] of text.annotations.entries()) {
    if ([...text.value].slice(annotation.start_index, annotation.end_index).join('') !== annotation.text) {
      throw new Error('The indices do not enclose the mark.');
    }
    value = value.replace(annotation.text, `[${index}]`);
    const file = await client.files.retrieve(annotation.file_citation.file_id);
    notes.push(`[${index}] ${file.filename}`);
  }
  return [value, notes];
}

async function all(pages) {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
}

async function fileSearch() {
  const tower = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'harbour-')), 'tower.txt');
  fs.writeFileSync(tower, 'The lighthouse of Norrund is 41 metres high.');
  const store = await client.vectorStores.create({ name: 'harbour' });
  const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, {
    files: [fs.createReadStream(tower), await toFile(Buffer.from('# Boats\n\nThere are nine.'), 'boats.md')],
  });
  let assistant = await client.beta.assistants.create({ model: 'gpt-4o', tools: [{ type: 'file_search' }] });
  assistant = await client.beta.assistants.update(assistant.id, {
    tool_resources: { file_search: { vector_store_ids: [store.id] } },
  });
  const note = await client.files.create({
    file: await toFile(Buffer.from('Ada Brandt keeps the light.'), 'note.txt'),
    purpose: 'assistants',
  });
  const attachments = [{ file_id: note.id, tools: [{ type: 'file_search' }] }];
  const question = { role: 'user', content: 'How high is the lighthouse?', attachments };
  const thread = await client.beta.threads.create({ messages: [question] });
  const run = await client.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
  const messages = await all(client.beta.threads.messages.list(thread.id, { run_id: run.id }));
  const steps = await all(client.beta.threads.runs.steps.list(run.id, { thread_id: thread.id, order: 'asc' }));
  const polled = await withFootnotes(messages[0]);

  await client.beta.threads.messages.create(thread.id, { role: 'user', content: 'And who keeps the light?' });
  const seen = [];
  let shown = '';
  const stream = client.beta.threads.runs
    .stream(thread.id, { assistant_id: assistant.id })
    .on('toolCallCreated', (call) => seen.push(`tool call: ${call.type}`))
    .on('textCreated', () => seen.push('text'))
    .on('textDelta', (delta) => (shown += delta.value ?? ''))
    .on('messageDone', () => seen.push('message'));
  const [final] = await stream.finalMessages();
  return {
    batch: [batch.status, batch.file_counts.completed],
    run: [run.status, run.usage.total_tokens > 0, messages.length],
    steps: steps.map((step) => step.type),
    polled,
    streamed: await withFootnotes(final),
    shown,
    seen,
    roles: (await all(client.beta.threads.messages.list(thread.id, { limit: 1, order: 'asc' }))).map((m) => m.role),
    'store deleted': (await client.vectorStores.delete(store.id)).deleted,
  };
}

async function functions() {
  const assistant = await client.beta.assistants.create({ model: 'gpt-4o', tools: weather });
  const thread = await client.beta.threads.create({ messages: [{ role: 'user', content: 'The weather in Oslo?' }] });
  const calls = [];
  let streamed = '';
  for await (const event of client.beta.threads.runs.stream(thread.id, { assistant_id: assistant.id })) {
    if (event.event !== 'thread.run.requires_action') continue;
    const outputs = event.data.required_action.submit_tool_outputs.tool_calls.map((call) => {
      calls.push(`${call.function.name}(${call.function.arguments})`);
      return { tool_call_id: call.id, output: call.function.name === 'temperature' ? '-3' : 'none' };
    });
    const answer = client.beta.threads.runs
      .submitToolOutputsStream(event.data.id, { thread_id: thread.id, tool_outputs: outputs })
      .on('textDelta', (delta) => (streamed += delta.value ?? ''));
    await answer.finalRun();
  }
  let run = await client.beta.threads.createAndRunPoll({
    assistant_id: assistant.id,
    thread: { messages: [{ role: 'user', content: 'In Bergen?' }] },
  });
  const waiting = run.status;
  run = await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: run.thread_id,
    tool_outputs: run.required_action.submit_tool_outputs.tool_calls.map((call) => ({
      tool_call_id: call.id,
      output: 'rain',
    })),
  });
  const [answer] = (await client.beta.threads.messages.list(run.thread_id, { limit: 1 })).data;
  return { calls, streamed, polled: [waiting, run.status, answer.content[0].text.value] };
}

async function mistakes() {
  const seen = [];
  await client.beta.assistants.retrieve('asst_none').catch((error) => seen.push(error.message));
  const thread = await client.beta.threads.create();
  await client.beta.threads.messages
    .create(thread.id, { role: 'nobody', content: 'x' })
    .catch((error) => seen.push(error.param));
  return seen;
}

const result = {
  version: VERSION,
  'file search': await fileSearch(),
  functions: await functions(),
  mistakes: await mistakes(),
};
process.stdout.write(JSON.stringify(result));
