// Anthropic's official client for JavaScript against a running device. Run by clients_test.py.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'

const client = new Anthropic({ baseURL: process.env.ANTHROPIC_BASE_URL, apiKey: process.env.ANTHROPIC_API_KEY, maxRetries: 0 })
const question = { model: 'tiny', temperature: 0, max_tokens: 12, messages: [{ role: 'user', content: 'Name three colours' }] }
const weather = {
  name: 'weather', description: 'The weather of a city',
  input_schema: { type: 'object', properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } }, required: ['city'] },
}
// A model as small as this one calls a tool when it has seen how.
const seen = id => [
  { role: 'assistant', content: [{ type: 'tool_use', id, name: 'weather', input: { city: 'Rome' } }] },
  { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'Rain' }, { type: 'text', text: 'weather in Rome' }] }]
const asked = { ...question, model: 'tools', max_tokens: 48, tools: [weather], tool_choice: { type: 'any' },
                messages: [{ role: 'user', content: 'weather in Rome' }, ...seen('a'), ...seen('b'), ...seen('c')] }

test('lists models', async () => {
  const models = []
  for await (const model of client.models.list()) models.push(model.id)

  assert.ok(models.includes('tiny'))
  assert.equal((await client.models.retrieve('tiny')).type, 'model')
})

test('answers', async () => {
  const message = await client.messages.create(question)

  assert.equal(message.type, 'message')
  assert.equal(message.model, 'tiny')
  assert.ok(message.content[0].text.length > 0)
  assert.ok(['end_turn', 'max_tokens'].includes(message.stop_reason))
  assert.ok(message.usage.input_tokens + message.usage.cache_read_input_tokens > 0)
  assert.ok(message.usage.output_tokens > 0)
})

test('streams what it answers', async () => {
  const whole = await client.messages.create(question)
  const stream = client.messages.stream(question)
  const types = new Set()
  stream.on('streamEvent', event => types.add(event.type))
  const message = await stream.finalMessage()

  assert.equal(message.content[0].text, whole.content[0].text)
  assert.equal(message.usage.output_tokens, whole.usage.output_tokens)
  assert.deepEqual([...types], ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop',
                                'message_delta', 'message_stop'])
})

test('goes on with what was begun', async () => {
  const begun = { ...question, messages: [...question.messages, { role: 'assistant', content: 'Three colours are red,' }] }
  const text = (await client.messages.create(begun)).content[0].text

  assert.ok(!text.includes('Three colours are'))
})

test('calls a tool and takes its result, whole and streamed', async () => {
  const message = await client.messages.create(asked)
  const streamed = await client.messages.stream(asked).finalMessage()
  const call = message.content.find(block => block.type === 'tool_use')

  assert.equal(message.stop_reason, 'tool_use')
  assert.equal(call.name, 'weather')
  assert.ok(['Paris', 'Rome'].includes(call.input.city))
  assert.deepEqual(streamed.content.find(block => block.type === 'tool_use').input, call.input)
  const told = [...asked.messages, { role: 'assistant', content: message.content },
                { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'Sunny, 21 degrees' }] }]
  const answer = await client.messages.create({ ...asked, messages: told, max_tokens: 4, tool_choice: { type: 'none' } })
  assert.ok(answer.usage.output_tokens > 0)
})

test('answers in the form of a schema', async () => {
  const schema = { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'], additionalProperties: false }
  const message = await client.messages.parse({ ...question, max_tokens: 40, output_config: { format: { type: 'json_schema', schema } } })

  assert.ok(['red', 'green'].includes(JSON.parse(message.content[0].text).colour))
})

test('counts tokens', async () => {
  const short = await client.messages.countTokens({ model: 'tiny', messages: question.messages })
  const answer = await client.messages.create({ ...question, max_tokens: 1 })

  assert.equal(short.input_tokens, answer.usage.input_tokens + answer.usage.cache_read_input_tokens)
})

test('leaves out tools of servers that are not here', async () => {
  const tools = [{ type: 'web_search_20250305', name: 'web_search' }]
  const { response } = await client.messages.create({ ...question, max_tokens: 2, tools }).withResponse()

  assert.match(response.headers.get('plexus-warning'), /web_search_20250305/)
})

test('raises typed errors', async () => {
  const stranger = new Anthropic({ baseURL: process.env.ANTHROPIC_BASE_URL, apiKey: 'wrong', maxRetries: 0 })

  await assert.rejects(client.messages.create({ ...question, model: 'nope' }),
                       error => error instanceof Anthropic.NotFoundError && error.type === 'not_found_error' && error.requestID.startsWith('req_'))
  await assert.rejects(stranger.messages.create(question), Anthropic.AuthenticationError)
  await assert.rejects(client.messages.create({ ...question, temperature: 'hot' }), Anthropic.BadRequestError)
  const words = { ...question, messages: [{ role: 'user', content: 'word '.repeat(3000) }] }
  await assert.rejects(client.messages.create(words), /prompt is too long/)
})
