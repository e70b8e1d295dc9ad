// The list of trajectories, and the trajectory that is read beside it.
const PAGE_SIZE = 50;

const makeReader = (index) => {
  const reader = document.getElementById("reader");
  const [form, status, list, pager, article] = [".filters", ".count", ".list", ".pager", ".trajectory"].map(
    (selector) => reader.querySelector(selector),
  );
  const state = { lines: index.lines, page: 0, line: null, search: 0 };

  const item = (line) =>
    element(
      "li",
      {},
      element(
        "a",
        { href: address(line), "aria-current": line === state.line ? "true" : null },
        foreign("span", { class: "question" }, line.question.text),
        element(
          "span",
          { class: "about" },
          badge(line.outcome),
          foreign("span", {}, line.run.name),
          element("span", {}, index.tasks[line.question.task] ?? line.question.task),
          line.actions === undefined ? null : element("span", {}, count(line.actions, "action")),
          line.cause ? element("span", {}, line.cause) : null,
        ),
      ),
    );

  const turnPage = (step) => {
    state.page += step;
    drawList();
    list.scrollTop = 0;
    list.querySelector("a")?.focus();
  };

  const drawList = () => {
    const last = Math.max(0, Math.ceil(state.lines.length / PAGE_SIZE) - 1);
    state.page = Math.min(state.page, last);
    const start = state.page * PAGE_SIZE;
    list.replaceChildren(...state.lines.slice(start, start + PAGE_SIZE).map(item));
    const button = (label, step, disabled) =>
      element("button", { type: "button", disabled, on: { click: () => turnPage(step) } }, label);
    pager.hidden = last === 0;
    pager.replaceChildren(
      button("‹ Previous", -1, state.page === 0),
      element("span", {}, `${digits(state.page + 1)} of ${digits(last + 1)}`),
      button("Next ›", 1, state.page === last),
    );
  };

  // A later search supersedes this one: its number no longer matches then.
  const search = (filters) => {
    const number = (state.search += 1);
    state.page = 0;
    return findLines(index, filters, (lines, share) => {
      if (number !== state.search) return false;
      state.lines = lines;
      const progress = share < 1 ? `, ${Math.floor(100 * share)} % searched` : "";
      status.textContent = `${digits(lines.length)} of ${count(index.lines.length, "record")}${progress}`;
      drawList();
      return true;
    });
  };

  const navigation = () => {
    const at = state.lines.indexOf(state.line);
    const link = (label, line, rel) => (line ? element("a", { href: address(line), rel }, label) : null);
    return element(
      "nav",
      { class: "steer", "aria-label": "Trajectories" },
      element("a", { href: listAddress(), class: "back" }, "‹ List"),
      at < 0 ? null : link("‹ Previous", state.lines[at - 1], "prev"),
      at < 0 ? null : link("Next ›", state.lines[at + 1], "next"),
    );
  };

  const listAddress = () => {
    const filters = new URLSearchParams(readFilters(form)).toString();
    return "#trajectories" + (filters ? `?${filters}` : "");
  };

  const read = async (line) => {
    state.line = line;
    for (const link of list.querySelectorAll("a")) setCurrent(link, link.hash === address(line));
    const view = await openTrajectory(index, line.number);
    if (state.line !== line) return; // another one was chosen meanwhile
    article.replaceChildren(navigation(), ...drawTrajectory(index, line, view));
    article.scrollTop = 0;
    article.focus({ preventScroll: true });
  };

  const showMessage = (sentence) => {
    state.line = null;
    article.replaceChildren(element("p", { class: "empty" }, sentence));
  };

  let timer = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    const apply = () => {
      history.replaceState(null, "", listAddress());
      search(readFilters(form));
    };
    timer = setTimeout(apply, event.target.name === "words" ? 200 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    location.hash = "#trajectories";
    setTimeout(() => search({})); // the fields are reset after this event
  });

  fillFilters(form, index);
  search({});
  return {
    list: (filters) => {
      reader.dataset.reading = "list";
      if (!state.line) showMessage("Choose a trajectory to read it.");
      if (JSON.stringify(filters) === JSON.stringify(readFilters(form))) return;
      writeFilters(form, filters);
      search(readFilters(form));
    },
    read: ([run, task, id, sample]) => {
      reader.dataset.reading = "trajectory";
      const line = index.lines.find(
        (candidate) =>
          candidate.question.id === id &&
          candidate.question.task === task &&
          candidate.run.name === run &&
          String(candidate.sample) === sample,
      );
      return line ? read(line) : showMessage("This page has no such trajectory.");
    },
  };
};
