// Filters of the list. A filter has the same name in the form and in the address.
const NAMES = ["words", "deep", "run", "task", "outcome", "actions", "cause"];
const OUTCOMES = ["correct", "wrong", "unscored", "fault"];

const FIELDS = {
  run: (line) => line.run.name,
  task: (line) => line.question.task,
  outcome: (line) => line.outcome,
  actions: (line) => (line.actions === undefined ? "" : String(line.actions)),
  cause: (line) => line.cause ?? "",
};

const fillFilters = (form, index) => {
  const titles = { task: index.tasks };
  const orders = {
    actions: (a, b) => a - b,
    outcome: (a, b) => OUTCOMES.indexOf(a) - OUTCOMES.indexOf(b),
  };
  for (const [name, field] of Object.entries(FIELDS)) {
    const counts = new Map();
    for (const line of index.lines) {
      const value = field(line);
      if (value !== "") counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const values = [...counts.keys()];
    if (orders[name]) values.sort(orders[name]);
    for (const value of values) {
      const label = `${titles[name]?.[value] ?? value} (${digits(counts.get(value))})`;
      form.elements[name].append(element("option", { value }, label));
    }
  }
};

const readFilters = (form) => {
  const filters = {};
  for (const name of NAMES) {
    const field = form.elements[name];
    const value = name === "deep" ? (field.checked ? "yes" : "") : field.value.trim();
    if (value) filters[name] = value;
  }
  return filters;
};

const writeFilters = (form, filters) => {
  for (const name of NAMES) {
    const value = filters[name] ?? "";
    if (name === "deep") form.elements[name].checked = value !== "";
    else form.elements[name].value = value;
  }
};

const containsWords = (line, words) => {
  const { text, id, golden_answers: golds } = line.question;
  return [text, id, line.answer ?? "", ...golds].some((part) => part.toLowerCase().includes(words));
};

// Calls `report(lines, share)` with the lines that match and the share of the pieces searched: once
// at the end, and during a deep search a few times a second. A falsy result ends the search.
const findLines = async (index, filters, report) => {
  const words = (filters.words ?? "").toLowerCase();
  const fields = Object.entries(FIELDS).filter(([name]) => filters[name]);
  const candidates = index.lines.filter((line) =>
    fields.every(([name, field]) => field(line) === filters[name]),
  );
  const matches = new Set(words ? candidates.filter((line) => containsWords(line, words)) : candidates);
  const inOrder = () => candidates.filter((line) => matches.has(line));
  if (words && filters.deep) {
    const eligible = new Set(candidates);
    const numbers = [...new Set(candidates.map((line) => pieceOf(index, line.number)))];
    let lastReport = -Infinity;
    for (const [searched, number] of numbers.entries()) {
      if (performance.now() - lastReport > 300) {
        if (!report(inOrder(), searched / numbers.length)) return;
        lastReport = performance.now();
      }
      for (const match of await searchPiece(index, number, words)) {
        if (eligible.has(index.lines[match])) matches.add(index.lines[match]);
      }
    }
  }
  report(inOrder(), 1);
};
