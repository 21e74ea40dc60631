/* The page on which a caller of the server logs in to an API with an account of their own, and out. Its address carries
   the ticket of a call behind `#`, which is sent to the server only together with the caller's own token. */

const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main"), said = document.querySelector("#said");
const accounts = element("section", { hidden: true });
const ticket = () => location.hash.slice(1);
const tell = (error) => (said.textContent = error.message);
const post = async (path, value) =>
  (await postJson(path, JSON.stringify(value), { credentials: "same-origin" })).json(); // keeps the cookie of a login

function button(words, className, act) {
  const made = element("button", { type: "button", className }, words);
  made.addEventListener("click", () => act().catch(tell));
  return made;
}

/** Show what a call asked for, and where the caller is logged in. */
async function show() {
  const { caller, asked, logins } = await post("connect/accounts", { ticket: ticket() });
  const parts = [element("p", {}, "To this server you are ", element("strong", {}, caller), ".")];
  if (asked) {
    const go = async () => location.assign((await post("connect/begin", { ticket: ticket() })).url);
    parts.push(
      element("h2", {}, `Log in to ${asked.api}`),
      element("p", {}, `A tool that you called needs an account at ${asked.host}. From then on, each tool of `,
        element("strong", {}, asked.api), " that ", element("strong", {}, caller), " calls uses that account. ",
        "If you did not call one, close this page."),
      button(`Continue to ${asked.host}`, "send", go),
    );
  } else if (ticket()) {
    said.textContent = "This address has been used, or it is too old. Call the tool again, which gives you another one.";
  }
  const rows = logins.map(({ name, api, who }) => element("li", {}, `${api}${who && `, as ${who}`} `,
    button("Log out", "small", () => leave(name, api))));
  parts.push(element("h2", {}, "Logged in"), rows.length ? element("ul", {}, ...rows) : element("p", {}, "Nowhere yet."));
  accounts.replaceChildren(...parts);
  accounts.hidden = false;
}

async function leave(name, api) {
  const { remark } = await post("connect/forget", { name });
  await show();
  said.textContent = `Logged out of ${api}. ${remark}`;
}

/** Ask who the visitor is: by a login at this server, if it has one, or by a token. */
function enter() {
  const input = element("input", { type: "password", autocomplete: "off", spellcheck: false });
  const own = button("Log in to this server", "send login", async () => logIn(await ownLogin()));
  own.hidden = true;
  const form = element("form", { id: "access" }, element("h2", {}, "Who are you?"),
    element("p", { className: "quiet" }, "This server has to know that you are the one who called. Enter the token that "
      + "your client sends to it. It stays in the memory of this page."),
    own, element("label", {}, "Bearer token", input), element("button", { className: "send" }, "Continue"));
  const shown = async () => {
    await show();
    form.hidden = true;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    said.textContent = "";
    token = input.value.trim();
    shown().catch(tell);
  });
  main.append(form, accounts);
  input.focus();
  returned().then((found) => (token = found) && shown()).catch(tell);
  ownLogin().then((server) => (own.hidden = !server)).catch(() => {}); // which not every server has
}

history.replaceState(null, "", data.ended ? "../connect" : location.href); // without the answer of a login
if (data.ended) main.append(element("p", {}, element("a", { href: "connect" }, "Your accounts")));
else enter();
