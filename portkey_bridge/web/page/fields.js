/* Fields of a form, made from the nodes of schemas. Each control has an element and `read`, which returns the JSON text of
   its value, or undefined if there is none: so numbers reach the API as they are typed. A group also has `mark`, which takes
   what is wrong as pairs of a JSON pointer and words, and returns the pairs that are about none of its fields. */

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** Optional fields that are shown at once; more of them are behind a line that opens. */
const FEW = 6;

let fieldNumber = 0;

/** Put a violation into words: the place of a value, with items counted from 1 as in the form, and what is wrong. */
function worded([pointer, problem]) {
  const named = (part) => (/^\d+$/.test(part) ? Number(part) + 1 : part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return [pointer.split("/").slice(1).map(named).join(" › "), problem].filter(Boolean).join(": ");
}

function input(name, properties, read) {
  const made = element(name, { autocomplete: "off", spellcheck: false, ...properties });
  return { element: made, read: () => (made.value === "" ? undefined : read(made.value, made)) };
}

function area(properties, read) {
  const control = input("textarea", { rows: 1, ...properties }, read);
  control.element.addEventListener("keydown", (event) => {
    const sends = properties.className === "json" ? event.ctrlKey || event.metaKey : !event.shiftKey;
    if (event.key !== "Enter" || event.isComposing || !sends) return;
    event.preventDefault();
    control.element.form.requestSubmit();
  });
  return control;
}

function jsonOf(text, at) {
  try {
    JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`This is not JSON: ${error.message}`), { at });
  }
  return text;
}

function choice(choices) {
  const options = choices.map((text) => new Option(text.startsWith('"') ? JSON.parse(text) : text, text));
  const select = element("select", {}, new Option("not set", ""), ...options);
  return { element: select, read: () => select.value || undefined };
}

function file() {
  let read = undefined;
  const made = element("input", { type: "file" });
  made.addEventListener("change", () => {
    read = undefined;
    if (!made.files.length) return;
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      read = reader.result.replace(/^data:;/, "data:application/octet-stream;");
      made.dispatchEvent(new Event("input", { bubbles: true }));
    });
    reader.readAsDataURL(made.files[0]);
  });
  return { element: made, read: () => read && JSON.stringify(read) };
}

/** The nodes whose fields are being made: one inside of itself waits until it is wanted. */
const within = [];

/** Make the fields of a node, or return undefined if it is inside of itself. */
function once(node, make) {
  if (within.includes(node)) return undefined;
  within.push(node);
  const made = make();
  within.pop();
  return made;
}

/** Mark each row with what is wrong in it; `rowOf` returns the row of a part of a pointer. Return what is in no row. */
function markRows(wrong, rows, rowOf) {
  const inside = new Map(rows.map((row) => [row, []])), rest = [];
  for (const [pointer, problem] of wrong) {
    const [, part, ...further] = pointer.split("/");
    const row = part === undefined ? undefined : rowOf(part.replaceAll("~1", "/").replaceAll("~0", "~"));
    if (row) inside.get(row).push([further.map((each) => `/${each}`).join(""), problem]);
    else rest.push([pointer, problem]);
  }
  for (const [row, own] of inside) row.mark(own);
  return rest;
}

function list(node, nodes, label, required) {
  const items = [];
  const rows = element("div", { className: "items" });
  const add = element("button", { type: "button", className: "small" }, `Add to ${label}`);
  const append = () => {
    const row = field(`${label} ${items.length + 1}`, node.form.items, true, nodes);
    const remove = element("button", { type: "button", className: "small remove" }, "Remove");
    remove.setAttribute("aria-label", `Remove ${label} ${items.length + 1}`);
    const item = { row, whole: element("div", { className: "item" }, row.element, remove) };
    remove.addEventListener("click", () => {
      items.splice(items.indexOf(item), 1);
      item.whole.remove();
      add.focus();
      rows.dispatchEvent(new Event("input", { bubbles: true }));
    });
    items.push(item);
    rows.append(item.whole);
    return item.whole;
  };
  add.addEventListener("click", () => append().querySelector("input, textarea, select, button, summary")?.focus());
  if (required) once(node, append);
  const read = () => {
    const values = items.map(({ row }) => row.read()).filter((value) => value !== undefined);
    return values.length || required ? `[${values.join(",")}]` : undefined;
  };
  const mark = (wrong) => {
    const sent = items.map(({ row }) => row).filter((row) => row.read() !== undefined);
    return markRows(wrong, items.map(({ row }) => row), (part) => sent[part]);
  };
  return { element: element("div", {}, rows, add), read, mark, isGroup: true };
}

/** Make the fields of an object: the required ones and a few others at once, the rest when they are wanted. */
function fields(entries, nodes, { required, isInner = true }) {
  const rows = [];
  const make = ([name, at, isRequired]) => {
    const row = field(name, at, isRequired, nodes);
    const { choices } = nodes[at].form;
    if ((isInner || isRequired) && choices?.length === 1) row.control.value = choices[0];
    rows.push({ name, ...row });
    return row.element;
  };
  const optional = entries.filter(([, , isRequired]) => !isRequired);
  const isLong = optional.length > FEW;
  const whole = element("div", { className: "fields" },
    ...entries.filter((entry) => !isLong || entry[2]).map(make),
    ...(isLong ? [opening("more", [`${optional.length} optional fields`], (details) => 
      details.append(element("div", { className: "fields" }, ...optional.map(make))))] : []));
  const read = () => {
    const values = rows.map(({ name, read: value }) => [name, value()]).filter(([, value]) => value !== undefined);
    const members = values.map(([name, value]) => `${JSON.stringify(name)}:${value}`);
    return members.length || required ? `{${members.join(",")}}` : undefined;
  };
  const mark = (wrong) => markRows(wrong, rows, (part) => rows.find(({ name }) => name === part));
  return { element: whole, read, mark, isGroup: true };
}

function object(node, nodes, label, required) {
  const whole = required && once(node, () => fields(node.form.fields, nodes, { required: true }));
  if (whole) return whole;
  let made = null;
  const details = opening("more", [`Fill in ${label}`], (opened) => {
    made = fields(node.form.fields, nodes, { required: false });
    opened.append(made.element);
  });
  return { element: details, read: () => made?.read(), mark: (wrong) => made?.mark(wrong) ?? wrong, isGroup: true };
}

/** Name one of several kinds of value: an object by the property that tells it from the others. */
function nameOf({ title, type, form }, nodes) {
  const [name, at] = form.fields?.find(([, each]) => nodes[each].form.choices?.length === 1) ?? [];
  if (name) return `${name} ${JSON.parse(nodes[at].form.choices[0])}`;
  return title ?? (form.choices?.length > 1 && type !== "boolean" ? "one of a list" : type);
}

function either(node, nodes, label, required) {
  const { branches } = node.form;
  if (branches.length === 1) return control(branches[0], nodes, label, required);
  const names = branches.map((branch) => nameOf(nodes[branch], nodes));
  const select = element("select", { ariaLabel: `Kind of ${label}` },
    ...names.map((name, at) => new Option(names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${at + 1})`, at)));
  const place = element("div", {}), whole = element("div", { className: "either" }, select, place);
  let made;
  const put = () => {
    made = control(branches[select.value], nodes, label, required);
    if (!made.isGroup) made.element.ariaLabel = label;
    whole.classList.toggle("tall", Boolean(made.isGroup));
    place.replaceChildren(made.element);
  };
  select.addEventListener("change", put);
  put();
  const mark = (wrong) => made.mark?.(wrong) ?? wrong;
  return { element: whole, read: () => made.read(), mark, single: () => (made.isGroup ? made.single?.() : made.element), isGroup: true };
}

function anyJson(node, nodes) {
  const { element: made, read } = area({ className: "json", placeholder: "JSON" }, jsonOf);
  if (!node.children) return { element: made, read };
  return { element: made, read, help: opening("more", ["What it may contain"], (details) => details.append(tree(node.children, nodes))) };
}

/** The control of each kind of value. */
const CONTROLS = {
  text: () => area({}, (text) => JSON.stringify(text)),
  secret: () => input("input", { type: "password" }, (text) => JSON.stringify(text)),
  number: () => input("input", { inputMode: "decimal" }, (text) => (NUMBER.test(text.trim()) ? text.trim() : JSON.stringify(text))),
  choice: ({ form }) => choice(form.choices),
  file, list, object, either, json: anyJson,
};

const control = (at, nodes, label, required) => CONTROLS[nodes[at].form.input](nodes[at], nodes, label, required);

/** Make a field: its label, what is said about it, its control, and room for what is wrong with it. */
function field(name, at, required, nodes) {
  const node = nodes[at], id = `field-${++fieldNumber}`;
  const made = control(at, nodes, name, required);
  const facts = (node.facts ?? []).filter((fact) => node.form.input !== "choice" || !fact.startsWith("one of "));
  const told = [node.text, ...facts].filter(Boolean).join(" · ");
  const title = [element("code", {}, name), " ", element("span", { className: "type" }, node.type),
    ...(required ? [" ", element("span", { className: "required" }, "required")] : [])];
  const help = told ? [element("span", { className: "told", id: `${id}-told` }, told)] : [];
  const wrong = element("span", { className: "wrong", id: `${id}-wrong`, hidden: true });
  const described = [...(told ? [`${id}-told`] : []), `${id}-wrong`].join(" ");
  const mark = (all) => {
    const own = made.isGroup ? made.mark(all) : all, target = made.isGroup ? made.single?.() ?? whole : made.element;
    wrong.textContent = own.map(worded).join("\n");
    wrong.hidden = !own.length;
    if (!own.length) return target.removeAttribute("aria-invalid");
    target.setAttribute("aria-invalid", "true");
    target.setAttribute("aria-describedby", described);
    for (let at = whole.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
  };
  if (!made.isGroup) {
    made.element.id = id;
    made.element.setAttribute("aria-required", String(required));
  }
  const label = made.isGroup ? element("legend", {}, ...title) : element("label", { htmlFor: id }, ...title);
  const whole = element(made.isGroup ? "fieldset" : "div", { className: "field" },
    label, ...help, made.element, ...(made.help ? [made.help] : []), wrong);
  (made.isGroup ? whole : made.element).setAttribute("aria-describedby", described);
  return { element: whole, control: made.element, read: made.read, mark };
}
