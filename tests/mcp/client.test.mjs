// The official MCP clients of both eras against a real device: MCP_URL and MCP_TOKEN say where.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {Client as LegacyClient} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as LegacyTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const url = new URL(process.env.MCP_URL);
const options = {requestInit: {headers: {authorization: `Bearer ${process.env.MCP_TOKEN}`}}};
const identity = {name: 'plexus-test', version: '1.0.0'};

async function usesTheTools(client) {
  const {tools} = await client.listTools();
  assert.deepEqual(tools.map(tool => tool.name), ['ask', 'mesh.devices', 'models.list']);

  const models = await client.callTool({name: 'models.list', arguments: {}});
  assert.equal(models.structuredContent.models[0].id, 'tiny');
  const devices = await client.callTool({name: 'mesh.devices', arguments: {}});
  assert.equal(devices.structuredContent.devices[0].name, 'solo');

  const answer = await client.callTool({name: 'ask', arguments: {prompt: 'Name a colour', max_tokens: 12, temperature: 0}});
  assert.equal(answer.isError, false);
  assert.ok(answer.content[0].text.length > 2);
  assert.equal(answer.structuredContent.model, 'tiny');

  const wrong = await client.callTool({name: 'ask', arguments: {prompt: 'x', model: 'none'}});
  assert.equal(wrong.isError, true);
  assert.match(wrong.content[0].text, /does not exist/);
  await client.close();
}

test('a client of the revision 2026-07-28', async () => {
  const client = new Client(identity, {versionNegotiation: {mode: 'auto'}});
  await client.connect(new StreamableHTTPClientTransport(url, options));
  assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
  await usesTheTools(client);
});

test('a client of the revision 2025-11-25', async () => {
  const client = new LegacyClient(identity);
  await client.connect(new LegacyTransport(url, options));
  assert.equal(client.getServerVersion().name, 'plexus-mesh');
  await usesTheTools(client);
});

test('a client without the token is let in to nothing', async () => {
  const client = new LegacyClient(identity);
  await assert.rejects(client.connect(new LegacyTransport(url)));
});
