// Uses a server over HTTP with the TypeScript SDK of MCP, and prints what was seen as JSON; then a call is cancelled by
// a line on stdin. Arguments: the modules of the SDK, comma-separated; the era; the URL; the token.
import { once } from 'node:events';

const [modules, era, url, token] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = Object.assign({}, ...(await Promise.all(modules.split(',').map((each) => import(each)))));
const mode = era === 'legacy' ? era : { pin: era };
const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
const requestInit = { headers: { authorization: `Bearer ${token}` } };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
// The second parameter was a schema until version 2 of the SDK.
const call = (name, options = {}) =>
  client.callTool({ name, arguments: {} }, ...(modules.includes(',') ? [undefined, options] : [options]));
const { tools } = await client.listTools();
const progress = [];
const [ok, refused] = [await call('ok'), await call('unauthorized')];
await call('lines', { onprogress: (each) => progress.push(each.progress) });
console.log(
  JSON.stringify({
    tools: tools.map((tool) => tool.name),
    ok: [ok.isError ?? false, ok.content[0].text],
    refused: [refused.isError, refused.content[0].text],
    progress,
  }),
);
const cancelling = new AbortController();
const waiting = call('waiting', { signal: cancelling.signal }).catch((error) => error);
await once(process.stdin, 'data');
cancelling.abort();
await waiting;
await once(process.stdin, 'end');
await client.close();
