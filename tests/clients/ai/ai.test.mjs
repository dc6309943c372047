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
const asked = { prompt: 'Name three colours', temperature: 0, maxOutputTokens: 8, maxRetries: 0 }
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

test('ai: a tool is called in all ways', async () => {
  for (const model of [openai('caller'), openai.chat('caller'), compatible('caller')]) {
    const { toolCalls } = await generateText({
      model, ...asked, prompt: 'Choose red', maxOutputTokens: 96, tools: { choose }, toolChoice: 'required',
    })

    assert.deepEqual(toolCalls.map(call => call.toolName), ['choose'])
    assert.ok(['red', 'green'].includes(toolCalls[0].input.colour))
  }
})

test('ai: responses that are stored are referred to by their items', async () => {
  const first = await generateText({ model: openai('tiny'), ...asked })
  const messages = [{ role: 'user', content: asked.prompt }, ...(first.responseMessages ?? first.response.messages), { role: 'user', content: 'Why?' }]
  const second = await generateText({ model: openai('tiny'), messages, temperature: 0, maxOutputTokens: 8, maxRetries: 0 })

  assert.ok(second.usage.inputTokens > first.usage.inputTokens)
})

test('langchain: chats and streams', async () => {
  const model = new ChatOpenAI({ model: 'tiny', temperature: 0, maxTokens: 8, apiKey, configuration: { baseURL }, maxRetries: 0 })
  const answer = await model.invoke('Name three colours')
  let text = ''
  for await (const piece of await model.stream('Name three colours')) text += piece.content

  assert.ok(answer.content.length > 0)
  assert.equal(text, answer.content)
})

test('langchain: a tool is called', async () => {
  const model = new ChatOpenAI({ model: 'caller', temperature: 0, maxTokens: 96, apiKey, configuration: { baseURL }, maxRetries: 0 })
  const parameters = { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'] }
  const offered = { type: 'function', function: { name: 'choose', description: 'Chooses a colour', parameters } }
  const { tool_calls: calls } = await model.bindTools([offered], { tool_choice: 'choose' }).invoke('Choose red')

  assert.equal(calls[0].name, 'choose')
  assert.ok(['red', 'green'].includes(calls[0].args.colour))
})
