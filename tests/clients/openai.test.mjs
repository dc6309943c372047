// The official OpenAI client for JavaScript against a running device. Run by clients_test.py.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY, maxRetries: 0 })
const question = { model: 'tiny', temperature: 0, max_tokens: 32, messages: [{ role: 'user', content: 'Name three colours' }] }

test('lists models', async () => {
  const models = []
  for await (const model of client.models.list()) models.push(model)

  assert.deepEqual(models.map(model => model.id), ['tiny', 'tools'])
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

test('passes tools through', async () => {
  const tools = [{
    type: 'function',
    function: { name: 'weather', description: 'The weather of a city',
                parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
  }]
  const asked = [{ role: 'user', content: 'What is the weather in Paris?' }]
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } }
  const told = [...asked, { role: 'assistant', content: null, tool_calls: [call] },
                { role: 'tool', tool_call_id: 'call_1', content: 'Sunny, 21 degrees' }]
  const promptTokens = async (messages, fields) => {
    const body = { ...question, model: 'tools', max_tokens: 8, messages, ...fields }
    return (await client.chat.completions.create(body)).usage.prompt_tokens
  }

  const plain = await promptTokens(asked, {})
  const withTool = await promptTokens(asked, { tools, tool_choice: 'auto' })
  assert.ok(withTool > plain + 50)
  assert.ok(await promptTokens(told, { tools }) > withTool + 10)
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
