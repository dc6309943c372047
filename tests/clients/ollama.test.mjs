// Ollama's official client for JavaScript against a running device. Run by clients_test.py.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ollama } from 'ollama'

const headers = { Authorization: `Bearer ${process.env.OLLAMA_API_KEY}` }
const client = new Ollama({ host: process.env.OLLAMA_HOST, headers })
const options = { temperature: 0, num_predict: 12 }
const question = { model: 'tiny', options, messages: [{ role: 'user', content: 'Name three colours' }] }
const weather = { type: 'function', function: {
  name: 'weather', description: 'The weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }

test('lists and shows models, and those in memory', async () => {
  await client.generate({ model: 'tiny', prompt: '' })

  assert.ok((await client.list()).models.some(model => model.name === 'tiny:latest'))
  assert.ok((await client.ps()).models.some(model => model.model === 'tiny:latest'))
  const shown = await client.show({ model: 'tiny:latest' })
  assert.equal(shown.details.format, 'gguf')
  assert.ok(shown.capabilities.includes('completion'))
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/)
})

test('chats, and streams what it chats', async () => {
  const whole = await client.chat(question)
  let text = ''
  let last
  for await (const part of await client.chat({ ...question, stream: true })) {
    text += part.message.content
    last = part
  }

  assert.equal(whole.done, true)
  assert.ok(whole.message.content.length > 0)
  assert.equal(text, whole.message.content)
  assert.equal(last.eval_count, whole.eval_count)
  assert.ok(last.total_duration >= last.eval_duration)
})

test('generates', async () => {
  const answer = await client.generate({ model: 'tiny', prompt: 'Name three colours', options })
  const raw = await client.generate({ model: 'tiny', prompt: 'The colours of the flag are', raw: true, options })

  assert.ok(answer.response.length > 0)
  assert.ok(raw.response.length > 0)
  assert.ok(['stop', 'length'].includes(answer.done_reason))
})

test('takes tools and their results', async () => {
  const asked = [{ role: 'user', content: 'What is the weather in Paris?' }]
  const called = { role: 'assistant', content: '', tool_calls: [{ function: { name: 'weather', arguments: { city: 'Paris' } } }] }
  const told = [...asked, called, { role: 'tool', tool_name: 'weather', content: 'Sunny, 21 degrees' }]
  const tokens = async fields => (await client.chat({ ...question, model: 'tools', options: { num_predict: 4 }, ...fields })).prompt_eval_count

  const plain = await tokens({ messages: asked })
  const withTool = await tokens({ messages: asked, tools: [weather] })
  assert.ok(withTool > plain + 50)
  assert.ok(await tokens({ messages: told, tools: [weather] }) > withTool + 10)
})

test('calls a tool, with its arguments as an object', async () => {
  const seen = [{ role: 'assistant', content: '', tool_calls: [{ function: { name: 'weather', arguments: { city: 'Rome' } } }] },
                { role: 'tool', tool_name: 'weather', content: 'Rain' }, { role: 'user', content: 'weather in Rome' }]
  const messages = [{ role: 'user', content: 'weather in Rome' }, ...seen, ...seen, ...seen]
  const asked = { model: 'tools', messages, tools: [weather], options: { temperature: 0, num_predict: 48 } }
  const whole = await client.chat(asked)
  const streamed = []
  for await (const part of await client.chat({ ...asked, stream: true })) streamed.push(...part.message.tool_calls ?? [])

  assert.equal(whole.message.tool_calls[0].function.name, 'weather')
  assert.equal(typeof whole.message.tool_calls[0].function.arguments.city, 'string')
  assert.deepEqual(streamed, whole.message.tool_calls)
})

test('answers in the form of a schema', async () => {
  const format = { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'] }
  const answer = await client.chat({ ...question, format, options: { temperature: 0, num_predict: 40 } })

  assert.ok(['red', 'green'].includes(JSON.parse(answer.message.content).colour))
})

test('embeds', async () => {
  const { embeddings } = await client.embed({ model: process.env.EMBEDDING_MODEL, input: ['red', 'green'] })
  const { embedding } = await client.embeddings({ model: process.env.EMBEDDING_MODEL, prompt: 'red' })

  assert.equal(embeddings.length, 2)
  assert.ok(embedding.every((each, index) => Math.abs(each - embeddings[0][index]) < 1e-3))
  assert.equal((await client.embed({ model: process.env.EMBEDDING_MODEL, input: 'red', dimensions: 8 })).embeddings[0].length, 8)
})

test('honours num_ctx', async () => {
  const short = { ...question, options: { ...options, num_ctx: 40, num_predict: 900 } }
  const answer = await client.chat(short)

  assert.ok(answer.prompt_eval_count + answer.eval_count <= 40)
  await assert.rejects(client.chat({ ...question, options: { num_ctx: 8 } }), /num_ctx allows 8/)
})

test('unloads', async () => {
  const answer = await client.generate({ model: 'tools', prompt: '', keep_alive: 0 })

  assert.equal(answer.done_reason, 'unload')
})

test('raises errors', async () => {
  await assert.rejects(client.chat({ ...question, model: 'nope' }), error => error.status_code === 404 && /nope/.test(error.message))
  await assert.rejects(client.chat({ ...question, options: { temperature: 'hot' } }), error => error.status_code === 400)
  await assert.rejects(new Ollama({ host: process.env.OLLAMA_HOST }).list(), error => error.status_code === 401)
  await assert.rejects(client.copy({ source: 'tiny', destination: 'other' }), error => error.status_code === 501)
})
