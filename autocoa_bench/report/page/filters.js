// Which trajectories are listed. A filter's name is its field in the form and in the address.
const NAMES = ["words", "deep", "run", "task", "outcome", "actions", "cause"];
const OUTCOMES = ["correct", "wrong", "unscored", "fault"];

const FIELDS = {
  run: (line) => line.by.name,
  task: (line) => line.asked.task,
  outcome: (line) => line.outcome,
  actions: (line) => (line.actions === undefined ? "" : String(line.actions)),
  cause: (line) => line.cause ?? "",
};

const fillFilters = (form, index) => {
  const titles = { task: index.tasks };
  for (const [name, field] of Object.entries(FIELDS)) {
    const numbers = new Map();
    for (const line of index.lines) {
      const value = field(line);
      if (value !== "") numbers.set(value, (numbers.get(value) ?? 0) + 1);
    }
    const values = [...numbers.keys()];
    if (name === "actions") values.sort((one, other) => one - other);
    if (name === "outcome") values.sort((a, b) => OUTCOMES.indexOf(a) - OUTCOMES.indexOf(b));
    for (const value of values) {
      const label = `${titles[name]?.[value] ?? value} (${numbers.get(value).toLocaleString("en")})`;
      form.elements[name].append(element("option", { value }, label));
    }
  }
};

const readFilters = (form) => {
  const chosen = {};
  for (const name of NAMES) {
    const field = form.elements[name];
    const value = name === "deep" ? (field.checked ? "yes" : "") : field.value.trim();
    if (value) chosen[name] = value;
  }
  return chosen;
};

const writeFilters = (form, chosen) => {
  for (const name of NAMES) {
    const value = chosen[name] ?? "";
    if (name === "deep") form.elements[name].checked = value !== "";
    else form.elements[name].value = value;
  }
};

const hasWords = (line, words) => {
  const { text: question, id, golden_answers: golds } = line.asked;
  return [question, id, line.answer ?? "", ...golds].some((one) => one.toLowerCase().includes(words));
};

// Calls `found` with the lines that fit, while pieces are looked through a few times a second; stops
// when `found` says so.
const findLines = async (index, chosen, found) => {
  const words = (chosen.words ?? "").toLowerCase();
  const fields = Object.entries(FIELDS).filter(([name]) => chosen[name]);
  const fitting = index.lines.filter((line) =>
    fields.every(([name, field]) => field(line) === chosen[name]),
  );
  const near = new Set(words ? fitting.filter((line) => hasWords(line, words)) : fitting);
  if (!words || !chosen.deep) {
    found([...near], 1);
    return;
  }
  const wanted = new Set(fitting);
  const asked = [...new Set(fitting.map((line) => pieceOf(index, line.number)))];
  const listed = () => fitting.filter((line) => near.has(line));
  let said = -Infinity;
  for (const [done, at] of asked.entries()) {
    if (performance.now() - said > 300) {
      if (!found(listed(), done / asked.length)) return;
      said = performance.now();
    }
    for (const number of await searchPiece(index, at, words)) {
      if (wanted.has(index.lines[number])) near.add(index.lines[number]);
    }
  }
  found(listed(), 1);
};
