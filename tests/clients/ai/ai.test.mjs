// Vercel's AI SDK and LangChain against a running device. Run by clients_test.py.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { ChatOpenAI } from '@langchain/openai'
import { generateText, Output, streamText, tool } from 'ai'
import { z } from 'zod'

const baseURL = process.env.OPENAI_BASE_URL
const apiKey = process.env.OPENAI_API_KEY
const openai = createOpenAI({ baseURL, apiKey })
const compatible = createOpenAICompatible({ name: 'plexus', baseURL, apiKey, supportsStructuredOutputs: true })
const asked = { prompt: 'Name three colours', temperature: 0, maxOutputTokens: 24, maxRetries: 0 }
const choose = tool({ description: 'Chooses a colour', inputSchema: z.object({ colour: z.enum(['red', 'green']) }) })

for (const [name, model] of [['responses', openai('tiny')], ['chat', openai.chat('tiny')], ['compatible', compatible('tiny')]]) {
  test(`ai: ${name} gives text, whole and streamed`, async () => {
    const whole = await generateText({ model, ...asked })
    const stream = streamText({ model, ...asked })
    let text = ''
    for await (const piece of stream.textStream) text += piece

    assert.ok(whole.text.length > 0)
    assert.equal(text, whole.text)
    assert.ok(whole.usage.inputTokens > 0)
  })

  test(`ai: ${name} keeps to a schema`, async () => {
    const { output } = await generateText({
      model, ...asked, maxOutputTokens: 64, output: Output.object({ schema: z.object({ colour: z.enum(['red', 'green']) }) }),
    })

    assert.ok(['red', 'green'].includes(output.colour))
  })
}

for (const [name, model] of [['responses', openai('tools')], ['compatible', compatible('tools')]]) {
  test(`ai: ${name} calls a tool in a stream`, async () => {
    const stream = streamText({ model, ...asked, prompt: 'Choose', maxOutputTokens: 64, tools: { choose }, toolChoice: 'required' })
    const calls = await stream.toolCalls

    assert.equal(calls.length, 1)
    assert.equal(calls[0].toolName, 'choose')
    assert.ok(['red', 'green'].includes(calls[0].input.colour))
  })
}

test('ai: responses that are stored are referred to by their items', async () => {
  const first = await generateText({ model: openai('tiny'), ...asked })
  const messages = [{ role: 'user', content: asked.prompt }, ...(first.responseMessages ?? first.response.messages), { role: 'user', content: 'Why?' }]
  const second = await generateText({ model: openai('tiny'), messages, temperature: 0, maxOutputTokens: 8, maxRetries: 0 })

  assert.ok(second.usage.inputTokens > first.usage.inputTokens)
})

test('langchain: chats, streams and names a tool once', async () => {
  const settings = { temperature: 0, maxTokens: 64, apiKey, configuration: { baseURL }, maxRetries: 0 }
  const answer = await new ChatOpenAI({ ...settings, model: 'tiny' }).invoke('Name three colours')
  const caller = new ChatOpenAI({ ...settings, model: 'tools' }).bindTools(
    [{ type: 'function', function: { name: 'choose', parameters: { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'] } } }],
    { tool_choice: 'required' })
  let whole
  for await (const piece of await caller.stream('Choose')) whole = whole ? whole.concat(piece) : piece

  assert.ok(answer.content.length > 0)
  assert.equal(whole.tool_calls[0].name, 'choose')
  assert.ok(['red', 'green'].includes(whole.tool_calls[0].args.colour))
})
