// Elements are made here and nowhere else: text becomes text nodes, never markup.
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
};

const count = (number, word) => `${number.toLocaleString("en")} ${number === 1 ? word : word + "s"}`;

// A text in pieces: what `pattern` finds is wrapped by `wrap`.
const marked = (text, pattern, wrap) => {
  const parts = [];
  let at = 0;
  for (const found of pattern ? text.matchAll(pattern) : []) {
    if (!found[0]) continue;
    parts.push(text.slice(at, found.index), wrap(found[0]));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
};

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
