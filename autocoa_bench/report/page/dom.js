// All elements are made here: text becomes text nodes, never markup.
const element = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(key, value === true ? "" : value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
};

const digits = (number) => number.toLocaleString("en");

const count = (number, noun) => `${digits(number)} ${number === 1 ? noun : noun + "s"}`;

// The parts of a text; each match of the pattern is replaced by the element that `wrap` returns.
const marked = (text, pattern, wrap) => {
  const parts = [];
  let end = 0;
  for (const match of pattern ? text.matchAll(pattern) : []) {
    if (!match[0]) continue;
    parts.push(text.slice(end, match.index), wrap(match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)].filter((part) => part !== "");
};

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const setCurrent = (link, current) => {
  if (current) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
};
