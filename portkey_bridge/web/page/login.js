/* Login where this server itself issues tokens: OAuth 2.1 with PKCE, as a public client that registers itself. */

/** The key of what has to outlive the way to the login and back; it is removed on the return, and contains no token. */
const LOGIN = "portkey-bridge login";

const here = () => `${location.origin}${location.pathname}`;
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function json(url, options = {}) {
  const response = await fetch(url, { credentials: "omit", cache: "no-store", ...options });
  if (!response.ok) throw new Refused(`The login failed: ${url} answered ${response.status}.`, response.status);
  return response.json();
}

/** Return how to log in at this server, or undefined if it issues no tokens (RFC 9728, RFC 8414). */
async function ownLogin() {
  if (!isSecureContext) return undefined; // without one, there is no digest for PKCE
  const resource = await json(`/.well-known/oauth-protected-resource${new URL("mcp", here()).pathname}`);
  const issuer = resource.authorization_servers.map((each) => new URL(each)).find(({ origin }) => origin === location.origin);
  if (!issuer) return undefined;
  const path = issuer.pathname.replace(/\/$/, "");
  const server = await json(`/.well-known/oauth-authorization-server${path}`);
  return { ...server, resource: resource.resource, scope: (resource.scopes_supported ?? []).join(" ") };
}

/** Go to the login. */
async function logIn(server) {
  const client = {
    client_name: "Page of portkey-bridge", redirect_uris: [here()], token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
    ...(server.scope && { scope: server.scope }),
  };
  const { client_id } = await json(server.registration_endpoint, {
    method: "POST", body: JSON.stringify(client), headers: { "content-type": "application/json" },
  });
  const verifier = random(), state = random();
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const kept = { verifier, state, client_id, token: server.token_endpoint, resource: server.resource, hash: location.hash };
  sessionStorage.setItem(LOGIN, JSON.stringify(kept));
  const asked = new URLSearchParams({
    response_type: "code", client_id, redirect_uri: here(), state, code_challenge: base64url(digest),
    code_challenge_method: "S256", resource: server.resource, ...(server.scope && { scope: server.scope }),
  });
  location.assign(`${server.authorization_endpoint}?${asked}`);
}

/** Return the token of a login that this page has begun, if this is the way back from it. Raises Refused. */
async function returned() {
  const query = new URLSearchParams(location.search);
  const kept = JSON.parse(sessionStorage.getItem(LOGIN) ?? "null");
  sessionStorage.removeItem(LOGIN);
  if (!query.has("state")) return "";
  history.replaceState(null, "", `${location.pathname}${kept?.hash ?? ""}`);
  if (kept?.state !== query.get("state")) throw new Refused("This is not the answer to a login of this page. Log in again.");
  if (query.has("error")) throw new Refused(`The login failed: ${query.get("error_description") ?? query.get("error")}`);
  const answer = await json(kept.token, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code", code: query.get("code"), redirect_uri: here(), client_id: kept.client_id,
      code_verifier: kept.verifier, resource: kept.resource,
    }),
  });
  return answer.access_token;
}
