// Sorting: greatest first, then least first, then as it was. Sorted rows lie in one body, since
// the headings of sections say nothing then.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  if (column === 0) return cell.textContent;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
};

const compare = (one, other) => {
  if (one === null || other === null) return (one === null) - (other === null);
  return typeof one === "string" ? one.localeCompare(other) : one - other;
};

const sorted = (rows, column, direction) =>
  [...rows].sort((a, b) => {
    const [one, other] = [valueOf(a, column), valueOf(b, column)];
    const missing = one === null || other === null;
    return missing || direction === "ascending" ? compare(one, other) : compare(other, one);
  });

const makeSortable = (table) => {
  const bodies = [...table.tBodies];
  const places = bodies.map((body) => [...body.rows]);
  const rows = places.flat().filter((row) => !row.classList.contains("section"));
  const all = element("tbody");
  const headings = [...table.tHead.rows].at(-1).cells;

  const sort = (heading, column) => {
    const next = { none: "descending", descending: "ascending", ascending: "none" };
    const direction = next[heading.getAttribute("aria-sort")];
    for (const each of headings) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction);
    if (direction === "none") {
      bodies.forEach((body, at) => body.replaceChildren(...places[at]));
      all.replaceWith(...bodies);
      return;
    }
    if (!all.isConnected) {
      bodies[0].before(all);
      for (const body of bodies) body.remove();
    }
    all.replaceChildren(...sorted(rows, column, direction));
  };

  [...headings].forEach((heading, column) => {
    heading.setAttribute("aria-sort", "none");
    const button = element(
      "button",
      { type: "button", on: { click: () => sort(heading, column) } },
      ...heading.childNodes,
    );
    heading.replaceChildren(button);
  });
};
