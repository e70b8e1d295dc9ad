// The list of trajectories beside the one that is read.
const PAGE = 50;

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
        foreign("span", { class: "question" }, line.asked.text),
        element(
          "span",
          { class: "about" },
          badge(line.outcome),
          foreign("span", {}, line.by.name),
          element("span", {}, index.tasks[line.asked.task] ?? line.asked.task),
          line.actions === undefined ? null : element("span", {}, count(line.actions, "action")),
          line.cause ? element("span", {}, line.cause) : null,
        ),
      ),
    );

  const turn = (by) => {
    state.page += by;
    drawList();
    list.scrollTop = 0;
    list.querySelector("a")?.focus();
  };

  const drawList = () => {
    const last = Math.max(0, Math.ceil(state.lines.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    const start = state.page * PAGE;
    list.replaceChildren(...state.lines.slice(start, start + PAGE).map(item));
    const button = (label, by, off) =>
      element("button", { type: "button", disabled: off, on: { click: () => turn(by) } }, label);
    pager.hidden = last === 0;
    pager.replaceChildren(
      button("‹ Earlier", -1, state.page === 0),
      element("span", {}, `${(state.page + 1).toLocaleString("en")} of ${(last + 1).toLocaleString("en")}`),
      button("Later ›", 1, state.page === last),
    );
  };

  const find = (chosen) => {
    const search = (state.search += 1);
    state.page = 0;
    return findLines(index, chosen, (lines, done) => {
      if (search !== state.search) return false;
      state.lines = lines;
      const looked = done < 1 ? `, ${Math.floor(100 * done)} % looked through` : "";
      status.textContent = `${lines.length.toLocaleString("en")} of ${count(index.lines.length, "record")}${looked}`;
      drawList();
      return true;
    });
  };

  const neighbour = (by) => state.lines[state.lines.indexOf(state.line) + by];

  const steer = () => {
    const link = (label, line, relation) =>
      line ? element("a", { href: address(line), rel: relation }, label) : null;
    const known = state.lines.includes(state.line);
    return element(
      "nav",
      { class: "steer", "aria-label": "Trajectories" },
      element("a", { href: listAddress(), class: "back" }, "‹ List"),
      known ? link("‹ Previous", neighbour(-1), "prev") : null,
      known ? link("Next ›", neighbour(1), "next") : null,
    );
  };

  const listAddress = () => {
    const chosen = new URLSearchParams(readFilters(form)).toString();
    return "#trajectories" + (chosen ? `?${chosen}` : "");
  };

  const read = async (line) => {
    state.line = line;
    for (const link of list.querySelectorAll("a")) {
      if (link.hash === address(line)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const view = await openTrajectory(index, line.number);
    if (state.line !== line) return;
    article.replaceChildren(steer(), ...drawTrajectory(index, line, view));
    article.scrollTop = 0;
    article.focus({ preventScroll: true });
  };

  const refuse = (sentence) => {
    state.line = null;
    article.replaceChildren(element("p", { class: "empty" }, sentence));
  };

  let later = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(later);
    const typed = event.target.name === "words";
    later = setTimeout(() => history.replaceState(null, "", listAddress()) || find(readFilters(form)), typed ? 200 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    location.hash = "#trajectories";
    setTimeout(() => find({}));
  });

  fillFilters(form, index);
  find({});
  return {
    list: (chosen) => {
      reader.dataset.reading = "list";
      if (!state.line) refuse("Choose a trajectory to read it.");
      if (JSON.stringify(chosen) === JSON.stringify(readFilters(form))) return;
      writeFilters(form, chosen);
      find(readFilters(form));
    },
    read: ([run, task, question, sample]) => {
      reader.dataset.reading = "one";
      const line = index.lines.find(
        (each) =>
          each.asked.id === question &&
          each.by.name === run &&
          each.asked.task === task &&
          String(each.sample) === sample,
      );
      return line ? read(line) : refuse("This page has no such trajectory.");
    },
  };
};
