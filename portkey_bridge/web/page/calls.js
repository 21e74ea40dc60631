/* What the page of a server has besides the catalogue: access, forms, requests and calls. A call is one of the Model
   Context Protocol. What a visitor enters stays in the memory of this page. */

const VERSION = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": VERSION,
  "io.modelcontextprotocol/clientInfo": { name: "portkey-bridge-page", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {}, url: {} } },
};

/** Milliseconds of quiet before a request is written again, and between two looks for another catalogue. */
const QUIET = 350, LOOK = 60_000;

let shownTag = "", requestId = 0;

// The exact request of what is filled in.

function copying(read) {
  const button = element("button", { type: "button", className: "small", hidden: !navigator.clipboard }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(read());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

function requestPanel(tool) {
  const text = element("pre", { tabIndex: 0, ariaLabel: "The exact request" });
  let written = {}, form = "http", asked = 0;
  const buttons = Object.entries({ http: "HTTP", curl: "curl" }).map(([name, label]) => {
    const button = element("button", { type: "button", className: "small" }, label);
    button.addEventListener("click", () => ((form = name), draw()));
    return [name, button];
  });
  const draw = () => {
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === form));
    text.classList.toggle("quiet", "refused" in written);
    text.textContent = written.violations?.length
      ? ["It is shown once these are right:", ...written.violations.map((each) => `- ${worded(each)}`)].join("\n")
      : written.refused ?? [written[form], written.signed].filter(Boolean).join("\n\n");
  };
  const bar = element("div", { className: "bar" }, element("h3", {}, "Request"), ...buttons.map(([, button]) => button),
    copying(() => text.textContent));
  /** Write the request of some arguments again, and return what the server says about them. */
  const write = async (values) => {
    const mine = ++asked;
    const result = await postJson("page/request", `{"name":${JSON.stringify(tool.name)},"arguments":${values}}`)
      .then((response) => response.json(), (error) => ({ refused: error.message }));
    if (mine === asked) (written = result), draw();
    return result;
  };
  draw();
  return { element: element("section", { className: "panel", ariaLabel: "Request" }, bar, text), write };
}

// A real call.

/** Indent JSON. Every number and text stays as it is written. */
function indented(text) {
  try {
    if (typeof JSON.parse(text) !== "object") return text;
  } catch {
    return text;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const written = {
    "{": (part) => (depth++, part + line()), "[": (part) => (depth++, part + line()),
    "}": (part) => (depth--, line() + part), "]": (part) => (depth--, line() + part),
    ",": (part) => part + line(), ":": () => ": ",
  };
  return text.replace(/"(?:[^"\\]|\\.)*"|[[{]\s*[\]}]|[[{\]},:]|\s+/g, (part) =>
    written[part]?.(part) ?? (/^\s/.test(part) ? "" : part));
}

const source = ({ mimeType, data: bytes }) => `data:${mimeType};base64,${bytes}`;

/** The element of each kind of content (Model Context Protocol, "Tool Result"). */
const CONTENTS = {
  text: ({ text }) => element("pre", { tabIndex: 0, ariaLabel: "Text of the answer" }, indented(text)),
  image: (block) => element("img", { src: source(block), alt: "Picture in the answer" }),
  audio: (block) => element("audio", { controls: true, src: source(block), ariaLabel: "Sound in the answer" }),
  resource: ({ resource }) => resource.text === undefined
    ? element("a", { href: source({ mimeType: "application/octet-stream", data: resource.blob }), download: "answer",
      className: "download" }, `Save the answer (${resource.mimeType ?? "bytes"})`)
    : CONTENTS.text(resource),
};

function contents(blocks) {
  return blocks.map((block) => (CONTENTS[block.type] ?? ((each) => CONTENTS.text({ text: JSON.stringify(each) })))(block));
}

/** Show a question, and return whether the visitor agrees with the element `yes`. */
function agreed(heading, question, yes) {
  const no = element("button", { value: "no", autofocus: true }, "Do not");
  const text = element("p", { id: "question" }, question);
  const dialog = element("dialog", {}, element("form", { method: "dialog" }, element("h2", {}, heading), text,
    element("div", { className: "actions" }, yes, no)));
  dialog.setAttribute("aria-describedby", "question");
  dialog.ariaLabel = heading;
  yes.addEventListener("click", () => dialog.close("yes"));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(dialog.returnValue === "yes");
  }));
}

/** Ask the visitor what a call wants to know, by the mode of the question (Model Context Protocol, "Elicitation"). */
const ASKED = {
  form: async ({ message }) => (await agreed("Confirm this call", message,
    element("button", { type: "button", className: "send" }, "Carry it out")))
    ? { action: "accept", content: { confirmed: true } } : { action: "decline" },
  url: async ({ message, url }) => (await agreed("Log in first", message,
    element("a", { href: url, target: "_blank", rel: "noopener", className: "send" }, "Open the page in a new tab")))
    ? { action: "accept" } : { action: "decline" },
};

/** Call a tool, and return its result. The server may want the visitor to confirm it first. */
async function call(tool, values, signal, decision = {}) {
  const further = Object.entries({ _meta: META, ...decision })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `,"${name}":${JSON.stringify(value)}`);
  const params = `{"name":${JSON.stringify(tool.name)},"arguments":${values}${further.join("")}}`;
  const headers = {
    accept: "application/json, text/event-stream", "mcp-protocol-version": VERSION, "mcp-method": "tools/call",
    "mcp-name": tool.name,
  };
  const response = await postJson("mcp", `{"jsonrpc":"2.0","id":${++requestId},"method":"tools/call","params":${params}}`, { headers, signal });
  const { result, error } = await response.json();
  if (error) throw new Refused(error.message);
  if (result.resultType !== "input_required") return result;
  const answers = {};
  for (const [name, { params }] of Object.entries(result.inputRequests)) answers[name] = await ASKED[params.mode ?? "form"](params);
  return call(tool, values, signal, { inputResponses: answers, requestState: result.requestState });
}

/** What an answer says of the whole one, which the server keeps, and of the next page. */
const KEPT = /\bresultId:? ([\w-]+)/, NEXT = /\bnext: true\b/;

/** Make a form that reads more of an answer: a part, whose pointer its view names, or the next page. */
function moreForm(id, hasNext) {
  const pointer = element("input", { autocomplete: "off", spellcheck: false, placeholder: "/items#0:50" });
  const parts = element("div", {});
  const form = element("form", { className: "part" },
    element("label", {}, "Read a part: the pointer of a stub", pointer), element("button", { className: "small" }, "Read"));
  const next = element("button", { type: "button", className: "small", hidden: !hasNext }, "Next page");
  const read = async (wanted) => {
    const { content } = await call({ name: "expandResult" }, JSON.stringify({ resultId: id, ...wanted }))
      .catch(({ message }) => ({ content: [{ type: "text", text: message }] }));
    if (wanted.next) next.hidden = !content.some(({ text }) => NEXT.test(text));
    parts.prepend(...contents(content));
    parts.firstElementChild?.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read({ jsonPointers: [pointer.value.trim()] });
  });
  next.addEventListener("click", () => read({ next: true }));
  form.append(next);
  return element("div", {}, form, parts);
}

function answerPanel() {
  const status = element("span", { className: "status" });
  status.setAttribute("role", "status");
  const place = element("div", {});
  let raw = "";
  const bar = element("div", { className: "bar", hidden: true }, element("h3", {}, "Answer"), status, copying(() => raw));
  const whole = element("section", { className: "panel", ariaLabel: "Answer" }, bar, place);
  const tell = (text, kind = "") => {
    bar.hidden = false;
    status.className = `status ${kind}`;
    status.textContent = text;
  };
  const draw = (blocks) => {
    raw = blocks.map(({ text }) => text ?? "").join("\n");
    const [, id] = raw.match(KEPT) ?? [];
    place.replaceChildren(...contents(blocks), ...(id ? [moreForm(id, NEXT.test(raw))] : []));
  };
  return { element: whole, tell, draw };
}

const WARNINGS = { destroys: "This call may delete or overwrite something.", changes: "This call may change something.", reads: "" };

/** Make the form of a tool with its request and its answer. */
function toolForm(tool, { arguments: entries, nodes }) {
  const top = fields(entries, nodes, { required: true, isInner: false }), request = requestPanel(tool), answer = answerPanel();
  const json = element("textarea", { className: "json", rows: 4, spellcheck: false, ariaLabel: "Arguments as JSON" });
  const aside = element("p", { className: "quiet", hidden: true }, "The fields above are set aside. ");
  const back = element("button", { type: "button", className: "small" }, "Use the fields");
  const send = element("button", { className: `send ${tool.effect}` }, "Send request");
  const alert = element("p", { className: "wrong" });
  alert.setAttribute("role", "alert");
  aside.append(back);
  const whole = element("details", { className: "more" }, element("summary", {}, "Arguments as JSON"), json, aside);
  const form = element("form", { className: "call", noValidate: true },
    entries.length ? top.element : element("p", { className: "quiet" }, "No arguments."), ...(entries.length ? [whole] : []),
    element("div", { className: "actions" }, send, element("span", { className: "quiet" }, WARNINGS[tool.effect])), alert);
  let running = null, waiting = 0;
  const values = () => (aside.hidden ? top.read() : jsonOf(json.value, json));
  /** Mark what is wrong where it is, and go to the first of it; return what is wrong elsewhere. */
  const markAll = (violations) => {
    const rest = top.mark(violations), first = top.element.querySelector("[aria-invalid=true]");
    (first?.matches("fieldset") ? first.querySelector("input, textarea, select, button, summary") : first)?.focus();
    return rest;
  };
  /** Write the request of what is filled in; undefined if that is not JSON. */
  const write = async () => {
    try {
      const read = values();
      alert.textContent = "";
      if (aside.hidden) json.value = indented(read);
      return { read, ...(await request.write(read)) };
    } catch (error) {
      alert.textContent = error.message;
      return undefined;
    }
  };
  const run = async () => {
    const written = await write();
    if (!written) return;
    const unmarked = markAll(written.violations ?? []);
    if (written.violations?.length) {
      alert.textContent = unmarked.length ? written.refused : "Nothing was sent. Correct what is marked.";
      return;
    }
    const began = performance.now();
    running = new AbortController();
    send.textContent = "Cancel";
    answer.tell("Waiting …");
    answer.draw([]);
    try {
      const { content, isError } = await call(tool, written.read, running.signal);
      answer.draw(content);
      answer.tell(`${isError ? "Failed" : "Answered"} after ${((performance.now() - began) / 1000).toFixed(2)} s`, isError ? "failed" : "done");
    } catch (error) {
      answer.tell(error.name === "AbortError" ? "Cancelled" : "Not called", "failed");
      if (error.name !== "AbortError") answer.draw([{ type: "text", text: error.message }]);
    } finally {
      running = null;
      send.textContent = "Send request";
      answer.element.scrollIntoView({ block: "nearest" });
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else run();
  });
  form.addEventListener("input", ({ target }) => {
    form.classList.add("touched");
    if (target === json) aside.hidden = false;
    clearTimeout(waiting);
    waiting = setTimeout(write, QUIET);
  });
  back.addEventListener("click", () => {
    aside.hidden = true;
    write();
    json.focus();
  });
  write();
  return element("div", { className: "work" }, form, element("div", { className: "outcome" }, request.element, answer.element));
}

function callBody(tool) {
  const place = element("div", { className: "quiet", ariaBusy: "true" }, "Loading the form …");
  ask(`page/form?name=${encodeURIComponent(tool.name)}`)
    .then((response) => response.json())
    .then((form) => place.replaceWith(toolForm(tool, form)))
    .catch((error) => place.replaceChildren(element("p", { className: "wrong" }, error.message)));
  return element("div", { className: "body live" }, element("p", {}, tool.text), place);
}

// Who visits, and what they may see.

const notice = element("div", { id: "notice", hidden: true });
notice.setAttribute("role", "status");

function tellAll(...words) {
  notice.replaceChildren(...words);
  notice.hidden = false;
}

async function load() {
  const response = await ask("page/catalogue", { headers: shownTag ? { "if-none-match": shownTag } : {} });
  if (response.status === 304) return;
  const isFirst = !shownTag, catalogue = await response.json();
  shownTag = response.headers.get("etag");
  const draw = () => {
    notice.hidden = true;
    show(catalogue, callBody);
    if (!catalogue.tools.length) tellAll("There is no tool that you may use.");
  };
  if (isFirst || !main.querySelector("form.touched")) return draw();
  const button = element("button", { type: "button", className: "small" }, "Show the new version");
  button.addEventListener("click", draw);
  tellAll("The tools have changed. ", button);
}

function accessForm() {
  const { token: needsToken, header } = data.access;
  const secret = (label) => {
    const made = element("input", { type: "password", autocomplete: "off", spellcheck: false });
    return [made, element("label", {}, label, made)];
  };
  const [tokenInput, tokenLabel] = secret("Bearer token");
  const [headerInput, headerLabel] = secret(`Your credential for the API (header ${header})`);
  const wrong = element("p", { className: "wrong" });
  wrong.setAttribute("role", "alert");
  const leave = element("button", { type: "button", id: "leave", className: "small", hidden: true }, "Forget the token");
  const heading = element("h2", {}, needsToken ? "This server answers callers with a token" : "Your own credential");
  const carried = "Each call carries it to the API. It stays in the memory of this page, and is gone when you close it.";
  const words = element("p", { className: "quiet" }, needsToken
    ? "Whoever runs the server gives you one. It stays in the memory of this page, and is gone when you close it."
    : carried);
  const login = element("button", { type: "button", className: "send login", hidden: true }, "Log in");
  const form = element("form", { id: "access" }, heading, words, login, ...(needsToken ? [tokenLabel] : []),
    ...(header ? [headerLabel] : []), ...(needsToken ? [element("button", { className: "send" }, "Show the tools")] : []), wrong);
  headerInput.addEventListener("input", () => (credential = headerInput.value.trim()));
  /** Try to show the tools; without success, ask for a token. */
  const enter = async () => {
    try {
      await load();
      wrong.textContent = "";
      form.hidden = !header;
      leave.hidden = !token;
      tokenLabel.hidden = Boolean(token);
      form.classList.add("inside");
      words.textContent = carried;
    } catch (error) {
      form.hidden = !needsToken && !header;
      wrong.textContent = error.status === 401 && !token ? "" : error.message;
      if (form.hidden) tellAll(error.message);
      tokenInput.focus();
      if (error.status === 401) await offerLogin().catch(() => {}); // which not every server has
    }
  };
  const tell = (error) => (wrong.textContent = error.message);
  const offerLogin = async () => {
    const server = await ownLogin();
    login.hidden = !server;
    login.onclick = () => logIn(server).catch(tell);
    if (server) words.textContent = "Log in, or enter a token that you have. It stays in the memory of this page.";
    if (server && !wrong.textContent) login.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!needsToken || form.classList.contains("inside")) return;
    token = tokenInput.value.trim();
    enter();
  });
  leave.addEventListener("click", () => location.reload()); // which forgets everything
  document.querySelector("header").append(leave);
  main.prepend(notice, form);
  form.hidden = !header;
  return async () => {
    try {
      token = await returned();
      await enter();
    } catch (error) {
      await enter();
      tell(error);
    }
  };
}

const look = () => document.visibilityState === "visible" && shownTag && load().catch(() => {});
accessForm()();
setInterval(look, LOOK);
document.addEventListener("visibilitychange", look);
