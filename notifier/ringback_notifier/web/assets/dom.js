// Elements from data.  Text is only ever set as text: every name, id and answer comes from strangers.

export const byId = (id) => document.getElementById(id);

// el("td", {class: "c-run", on: {click: …}}, "text", otherElement, null)
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name.startsWith("aria-") && value !== null && value !== undefined) {
      element.setAttribute(name, String(value)); // "false" says something, too
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

export function show(element, visible) {
  element.hidden = !visible;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

// Says something to those who do not see the page; nothing is said twice in a row.
export function say(text) {
  const said = byId("said");
  if (said.textContent !== text) said.textContent = text;
}
