/* Asks the server as the visitor. What a visitor enters stays in the memory of the page. */

let token = "", credential = "";

/** What the server refuses; `status` is that of HTTP. */
class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const NO_TOKEN = "This server needs a token, and this is not one that it accepts.";

/** Ask the server as the visitor. Raises Refused for every answer that says no. */
async function ask(path, { headers = {}, ...options } = {}) {
  const access = {
    ...(token && { authorization: `Bearer ${token}` }),
    ...(credential && { [data.access.header]: data.access.header === "authorization" ? `Bearer ${credential}` : credential }),
  };
  const response = await fetch(path, {
    cache: "no-store", credentials: "omit", redirect: "error", ...options, headers: { ...headers, ...access },
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached. Is it still running?");
  });
  if (response.ok || response.status === 304) return response;
  const text = (await response.text()).trim();
  const words = response.status === 401 ? NO_TOKEN : text || `The server answered ${response.status}.`;
  throw new Refused(words, response.status);
}

const postJson = (path, body, options = {}) =>
  ask(path, { method: "POST", body, ...options, headers: { "content-type": "application/json", ...options.headers } });
