const [search, count, nothing, main, nav] =
  ["#search", "#count", "#nothing", "main", "nav"].map((selector) => document.querySelector(selector));

/** Make an element that opens, and create its content when it is first opened. */
function opening(className, line, build) {
  const details = element("details", { className }, element("summary", {}, ...line));
  details.addEventListener("toggle", () => build && details.open && (build(details), (build = null)));
  return details;
}

/** Prefix of a subschema, by its keyword. */
const LABELS = {
  properties: (name) => name,
  patternProperties: (name) => `names that match ${name}`,
  additionalProperties: () => "any other name",
  propertyNames: () => "each name",
  items: () => "each item",
  prefixItems: (name) => `item ${name}`,
  contains: () => "some item",
  anyOf: (name) => `either ${Number(name) + 1}`,
  allOf: (name) => `and ${Number(name) + 1}`,
  not: () => "not",
};

function schemaRow(label, number, required, nodes) {
  const node = nodes[number];
  const told = [node.text, ...(node.facts ?? [])].filter(Boolean).join(" · ");
  const line = [
    element("code", {}, label), " ", element("span", { className: "type" }, node.type),
    ...(required ? [" ", element("span", { className: "required" }, "required")] : []),
    ...(told ? [element("span", { className: "told" }, told)] : []),
  ];
  if (!node.children) return element("div", { className: "leaf" }, ...line);
  return opening("schema", line, (details) => details.append(tree(node.children, nodes)));
}

/** Make the tree of some subschemas: each has a keyword, a name, the number of its node, and whether it is required. */
function tree(children, nodes) {
  return element("div", { className: "tree" }, ...children.map(([keyword, name, number, required]) =>
    schemaRow((LABELS[keyword] ?? ((each) => `${keyword} ${each}`))(name), number, required, nodes)));
}

/** Make the body of a tool that is only read about. */
function toolBody(tool, { nodes }) {
  const body = element("div", { className: "body" }, element("p", {}, tool.text));
  if (tool.env.length) body.append(element("p", { className: "quiet" }, "Environment: ", ...tool.env.flatMap((name, at) =>
    [at ? ", " : "", element("code", {}, name)])));
  body.append(tool.arguments.length
    ? tree(tool.arguments.map(([name, at, required]) => ["properties", name, at, required]), nodes)
    : element("p", { className: "quiet" }, "No arguments."));
  return body;
}

function toolEntry(tool, makeBody) {
  const method = element("span", { className: `method ${tool.method}` }, tool.method);
  const line = [method, " ", element("b", {}, tool.name), " ", element("span", { className: "quiet title" }, tool.title),
    element("span", { className: "path" }, tool.path)];
  const details = opening("tool", line, (opened) => opened.append(makeBody(tool)));
  details.id = `tool/${tool.name}`; // a prefix of its own: a tool may be called "search"
  const text = [tool.name, tool.title, tool.method, tool.path, tool.tag, tool.text, ...tool.names, ...tool.env];
  return { details, tag: tool.tag, words: text.join("\n").toLowerCase() };
}

/** What is shown: an entry for each tool, and the tools of each tag under a heading, hidden if none of them is shown. */
let entries = [];
let sections = [];
let chosenTag = null;

function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const entry of entries) {
    const fits = (chosenTag === null || entry.tag === chosenTag) && wanted.every((word) => entry.words.includes(word));
    if (entry.details.hidden === fits) entry.details.hidden = !fits;
    shown += fits;
  }
  for (const section of sections) section.hidden = !section.querySelector(".tool:not([hidden])");
  count.value = `${shown} of ${entries.length} tools`;
  nothing.hidden = shown > 0 || !entries.length;
}

function chooseTag(tag) {
  chosenTag = tag;
  for (const button of nav.children) button.setAttribute("aria-pressed", String(button.dataset.tag === tag));
  filter();
}

function tagButton([tag, number]) {
  const button = element("button", { type: "button" }, tag, element("span", {}, String(number)));
  button.dataset.tag = tag;
  button.addEventListener("click", () => chooseTag(chosenTag === tag ? null : tag));
  return button;
}

function showEverything() {
  search.value = "";
  chooseTag(null);
  search.focus();
}

/** The lines that the arrow keys reach: those outside closed and hidden elements. */
function lines() {
  return [...main.querySelectorAll("summary")].filter((line) =>
    !line.closest("[hidden], .work") && !line.parentElement.parentElement.closest("details:not([open])"));
}

function move(step) {
  const reachable = lines();
  const at = reachable.indexOf(document.activeElement);
  if (at + step < 0) return search.focus();
  reachable[Math.min(at + step, reachable.length - 1)]?.focus();
}

function open(line) {
  line.focus();
  line.parentElement.open = true;
}

function close(line) {
  if (line.parentElement.open) line.parentElement.open = false;
  else line.parentElement.parentElement.closest("details")?.querySelector("summary").focus();
}

const inLine = (act) => () => document.activeElement?.matches("main summary") && (act(document.activeElement), true);

/** The action of a key; false keeps the default action. */
const KEYS = {
  "/": () => document.activeElement !== search && (search.focus(), search.select(), true),
  Escape: () => (showEverything(), true),
  ArrowDown: () => (move(1), true),
  ArrowUp: () => document.activeElement !== search && (move(-1), true),
  ArrowRight: inLine(open),
  ArrowLeft: inLine(close),
  Enter: () => document.activeElement === search && lines().length > 0 && (open(lines()[0]), true),
};

function openNamed() {
  const entry = entries.find(({ details }) => details.id === decodeURIComponent(location.hash.slice(1)));
  if (!entry) return;
  if (entry.details.hidden) showEverything();
  entry.details.open = true;
  entry.details.scrollIntoView();
}

/** Show the tools of a catalogue. `makeBody` makes what a tool shows when it is opened. */
function show(catalogue, makeBody) {
  entries = catalogue.tools.map((tool) => toolEntry(tool, makeBody));
  sections = catalogue.tags.map(([tag]) => element("section", {}, element("h2", {}, tag),
    ...entries.filter((entry) => entry.tag === tag).map(({ details }) => details)));
  document.title = `${catalogue.title} tools`;
  document.getElementById("title").replaceChildren(catalogue.title, " ", element("small", {}, catalogue.version));
  nav.replaceChildren(...catalogue.tags.map(tagButton));
  main.querySelectorAll("section").forEach((section) => section.remove());
  main.append(...sections);
  if (!catalogue.tags.some(([tag]) => tag === chosenTag)) chosenTag = null;
  chooseTag(chosenTag);
  openNamed();
}

/** Whether a key is typed into something of its own, such as a field of a form. */
const isTyped = ({ target }) => target !== search && target.closest(".work, form, dialog, input, select") !== null;

main.addEventListener("toggle", ({ target }) =>
  target.matches(".tool[open]") && history.replaceState(null, "", `#${target.id}`), true);
search.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyped(event)) return;
  if (KEYS[event.key]?.()) event.preventDefault();
});
addEventListener("hashchange", openNamed);

const data = JSON.parse(document.getElementById("data").textContent);
if (data.tools) show(data, (tool) => toolBody(tool, data));
