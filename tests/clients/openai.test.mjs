// The official OpenAI client for JavaScript against a running device. Run by clients_test.py.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY, maxRetries: 0 })
const question = { model: 'tiny', temperature: 0, max_tokens: 32, messages: [{ role: 'user', content: 'Name three colours' }] }

test('lists models', async () => {
  const models = []
  for await (const model of client.models.list()) models.push(model)

  assert.ok(['tiny', 'tools'].every(id => models.some(model => model.id === id)))
  assert.equal((await client.models.retrieve('tiny')).object, 'model')
})

test('chats', async () => {
  const answer = await client.chat.completions.create(question)

  assert.equal(answer.object, 'chat.completion')
  assert.equal(answer.model, 'tiny')
  assert.ok(answer.choices[0].message.content.length > 0)
  assert.ok(['stop', 'length'].includes(answer.choices[0].finish_reason))
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
})

test('streams what it chats', async () => {
  const whole = await client.chat.completions.create(question)
  const stream = await client.chat.completions.create({ ...question, stream: true, stream_options: { include_usage: true } })
  let text = ''
  let usage
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }

  assert.equal(text, whole.choices[0].message.content)
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens)
})

test('collects a stream with its helper', async () => {
  const final = await client.chat.completions.stream(question).finalChatCompletion()

  assert.ok(final.choices[0].message.content.length > 0)
})

test('calls a tool and takes its result', async () => {
  const cities = ['Paris', 'Oslo']
  const weather = {
    type: 'function',
    function: { name: 'weather', description: 'The weather of a city',
                parameters: { type: 'object', properties: { city: { enum: cities } }, required: ['city'] } },
  }
  const asked = { ...question, model: 'caller', max_tokens: 96, tools: [weather],
                  messages: [{ role: 'user', content: 'What is the weather in Paris?' }] }
  const { message, finish_reason: reason } = (await client.chat.completions.create({ ...asked, tool_choice: 'required' })).choices[0]
  const [call] = message.tool_calls
  const chosen = { type: 'function', function: { name: 'weather' } }
  const [streamed] = (await client.chat.completions.stream({ ...asked, tool_choice: chosen }).finalMessage()).tool_calls
  const told = [...asked.messages, message, { role: 'tool', tool_call_id: call.id, content: 'Sunny, 21 degrees' }]
  const answer = await client.chat.completions.create({ ...asked, messages: told })

  assert.equal(reason, 'tool_calls')
  assert.equal(call.function.name, 'weather')
  assert.ok(cities.includes(JSON.parse(call.function.arguments).city))
  assert.deepEqual([streamed.function.name, streamed.function.arguments], [call.function.name, call.function.arguments])
  assert.ok(answer.choices[0].message.content.length > 0)
})

test('stops when the caller leaves', async () => {
  const stream = await client.chat.completions.create({ ...question, max_tokens: 900, stream: true })
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) break
  }

  assert.ok((await client.chat.completions.create({ ...question, max_tokens: 2 })).choices[0].message)
})

test('raises the typed error of an unknown model', async () => {
  const asking = client.chat.completions.create({ ...question, model: 'nope' })

  await assert.rejects(asking, error => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found')
})

test('raises the typed errors of a wrong key and a bad request', async () => {
  const stranger = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: 'wrong', maxRetries: 0 })

  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError)
  await assert.rejects(client.chat.completions.create({ ...question, temperature: 'hot' }), OpenAI.BadRequestError)
})

const tools = [{
  type: 'function',
  function: { name: 'choose', description: 'Chooses a colour',
              parameters: { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'] } },
}]
const colourSchema = { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'],
                       additionalProperties: false }

test('keeps to a schema', async () => {
  const answer = await client.chat.completions.create({
    ...question, max_tokens: 64,
    response_format: { type: 'json_schema', json_schema: { name: 'choice', strict: true, schema: colourSchema } },
  })

  assert.ok(['red', 'green'].includes(JSON.parse(answer.choices[0].message.content).colour))
})

test('gives several choices, chances of tokens, and completions of text', async () => {
  const answer = await client.chat.completions.create({ ...question, max_tokens: 4, n: 2, logprobs: true, top_logprobs: 2 })
  const text = await client.completions.create({ model: 'tiny', prompt: ['One, two,', 'A, B,'], max_tokens: 4, temperature: 0, echo: true })

  assert.deepEqual(answer.choices.map(choice => choice.index), [0, 1])
  assert.equal(answer.choices[0].message.content, answer.choices[1].message.content)
  assert.equal(answer.choices[0].logprobs.content[0].top_logprobs.length, 2)
  assert.equal(text.choices.length, 2)
  assert.ok(text.choices[1].text.startsWith('A, B,'))
})

test('responds, and goes on from what was said', async () => {
  const first = await client.responses.create({ model: 'tiny', input: 'Name a colour', max_output_tokens: 12, temperature: 0 })
  const second = await client.responses.create({ model: 'tiny', input: 'Why?', previous_response_id: first.id,
                                                 max_output_tokens: 8, temperature: 0 })
  const items = []
  for await (const item of client.responses.inputItems.list(second.id)) items.push(item)

  assert.ok(first.output_text.length > 0)
  assert.ok(['completed', 'incomplete'].includes(first.status))
  assert.ok(second.usage.input_tokens > first.usage.input_tokens)
  assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text)
  assert.equal(items.length, 1)
  assert.ok((await client.responses.inputTokens.count({ model: 'tiny', input: 'Name a colour' })).input_tokens > 3)
  await client.responses.delete(first.id)
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError)
  await assert.rejects(client.responses.cancel(second.id), OpenAI.BadRequestError)
})

test('streams responses with its helper, and is told which tools are not here', async () => {
  const stream = client.responses.stream({ model: 'tiny', input: 'Name a colour', max_output_tokens: 8, temperature: 0 })
  let text = ''
  let last = -1
  for await (const event of stream) {
    assert.equal(event.sequence_number, ++last)
    if (event.type === 'response.output_text.delta') text += event.delta
  }
  const unknownTools = [{ type: 'function', ...tools[0].function, strict: true }, { type: 'web_search' }]
  const { response } = await client.responses.create({
    model: 'tools', input: 'Choose a colour', max_output_tokens: 4, tools: unknownTools,
  }).withResponse()

  assert.equal((await stream.finalResponse()).output_text, text)
  assert.match(response.headers.get('plexus-warning'), /web_search/)
})

test('keeps a response to a schema', async () => {
  const answer = await client.responses.create({
    model: 'tiny', input: 'Choose a colour', max_output_tokens: 64,
    text: { format: { type: 'json_schema', name: 'choice', strict: true, schema: colourSchema } },
  })

  assert.ok(['red', 'green'].includes(JSON.parse(answer.output_text).colour))
})

test('is told both numbers of a prompt that is too long', async () => {
  const asking = client.responses.create({ model: 'tiny', input: 'word '.repeat(5000) })

  await assert.rejects(asking, error => error instanceof OpenAI.BadRequestError &&
    error.code === 'context_length_exceeded' && /\d+ tokens.* \d+/.test(error.message))
})

test('is refused vectors by a model that gives none', async () => {
  await assert.rejects(client.embeddings.create({ model: 'tiny', input: 'x' }), OpenAI.APIError)
})
