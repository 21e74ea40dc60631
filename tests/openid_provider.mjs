// An OpenID provider with an API at /items that accepts its tokens; the library is certified by the OpenID Foundation.
// Arguments: the library, the port, and the public key of a client as a JWK.
const [library, port, jwk] = process.argv.slice(2);
const { default: Provider } = await import(library);
const issuer = `http://127.0.0.1:${port}`;
const scopes = 'openid offline_access read write';
const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: 'read write' };
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'machine', client_secret: 'machine-S3CRET', ...machine },
    { client_id: 'posting', client_secret: 'posting-S3CRET', token_endpoint_auth_method: 'client_secret_post', ...machine },
    { client_id: 'signing', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [JSON.parse(jwk)] }, ...machine },
    {
      client_id: 'bridge',
      client_secret: 'bridge-S3CRET',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/auth/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: scopes,
    },
    {
      client_id: 'person',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      scope: scopes,
    },
    {
      client_id: 'team',
      client_secret: 'team-S3CRET-1',
      application_type: 'native', // any port of loopback
      redirect_uris: ['http://127.0.0.1/connect/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: scopes,
    },
  ],
  scopes: scopes.split(' '),
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  ttl: { ClientCredentials: 600 },
});
provider.use(async (ctx, next) => {
  if (ctx.path !== '/items') return next();
  const value = (ctx.get('authorization') || '').replace('Bearer ', '');
  const token = (await provider.AccessToken.find(value)) || (await provider.ClientCredentials.find(value));
  ctx.status = token ? 200 : 401;
  ctx.body = token ? { client: token.clientId, scope: token.scope, subject: token.accountId ?? null } : { error: 'no' };
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
