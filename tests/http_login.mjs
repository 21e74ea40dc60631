// Logs in to a server over HTTP with the TypeScript SDK of MCP, as a client that knows the URL alone, then calls a tool
// that needs another login, and prints its outcome. Each address that a person would open is a line of JSON with the
// token that the client has by then, and is answered by a line on stdin. Arguments: the module of the SDK, the era, the URL, the tool.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const [module, era, url, tool] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await import(module);
const lines = createInterface({ input: process.stdin });
const answers = lines[Symbol.asyncIterator]();
const say = (value) => console.log(JSON.stringify(value));
const kept = {};
const open = (address) => (say({ open: { address, token: kept.tokens?.access_token } }), answers.next());

const listener = createServer().listen(0, '127.0.0.1');
await once(listener, 'listening');
const redirectUrl = `http://127.0.0.1:${listener.address().port}/callback`;
const returned = once(listener, 'request').then(([request, response]) => {
  response.end('done');
  return new URL(request.url, redirectUrl).searchParams;
});
const authProvider = {
  redirectUrl,
  clientMetadata: { client_name: 'test', redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none' },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => (kept.tokens = tokens),
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  redirectToAuthorization: (address) => void open(address),
};
const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider });
const capabilities = { elicitation: { url: {} } };
const make = () => {
  const client = new Client({ name: 'test', version: '1' }, { capabilities, versionNegotiation: { mode: era === 'legacy' ? era : { pin: era } } });
  client.setRequestHandler('elicitation/create', async ({ params }) => {
    await open(params.url);
    return { action: 'accept' };
  });
  return client;
};
const first = transport();
try {
  await make().connect(first);
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
  await first.finishAuth(await returned);
}
const client = make();
await client.connect(transport());
const call = () => client.callTool({ name: tool, arguments: {} });
const result = await call().catch(async (error) => {
  if (error.code !== -32042) throw error;
  for (const each of error.data.elicitations) await open(each.url);
  return call();
});
say({});
say({ subject: JSON.parse(result.content[0].text).subject, isError: result.isError ?? false });
await client.close();
listener.close();
lines.close();
