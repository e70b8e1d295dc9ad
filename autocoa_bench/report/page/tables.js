// A click on a heading sorts in descending, then in ascending, then in the original order. Sorted
// rows form a single body without the headings of sections, which mean nothing then.
const NEXT_ORDER = { none: "descending", descending: "ascending", ascending: "none" };

const cellValue = (row, column) => {
  const cell = row.cells[column];
  if (column === 0) return cell.textContent;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
};

// Rows without a value come last in both orders.
const sorted = (rows, column, order) =>
  [...rows].sort((a, b) => {
    const [first, second] = [cellValue(a, column), cellValue(b, column)];
    if (first === null || second === null) return (first === null) - (second === null);
    const ascending = typeof first === "string" ? first.localeCompare(second) : first - second;
    return order === "ascending" ? ascending : -ascending;
  });

const makeSortable = (table) => {
  const bodies = [...table.tBodies];
  const rowsOfBodies = bodies.map((body) => [...body.rows]);
  const rows = rowsOfBodies.flat().filter((row) => !row.classList.contains("section"));
  const sortedBody = element("tbody");
  const headings = [...[...table.tHead.rows].at(-1).cells];

  const sort = (heading, column) => {
    const order = NEXT_ORDER[heading.getAttribute("aria-sort")];
    for (const cell of headings) cell.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", order);
    if (order === "none") {
      bodies.forEach((body, number) => body.replaceChildren(...rowsOfBodies[number]));
      sortedBody.replaceWith(...bodies);
      return;
    }
    if (!sortedBody.isConnected) {
      bodies[0].before(sortedBody);
      for (const body of bodies) body.remove();
    }
    sortedBody.replaceChildren(...sorted(rows, column, order));
  };

  for (const [column, heading] of headings.entries()) {
    heading.setAttribute("aria-sort", "none");
    const click = () => sort(heading, column);
    const button = element("button", { type: "button", on: { click } }, ...heading.childNodes);
    heading.replaceChildren(button);
  }
};
