"use strict";

/** Make an element. Text is set as text: nothing in a document can become markup. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
