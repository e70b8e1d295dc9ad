// The address says what is shown: #TABLE, #trajectories?FILTERS or #RUN/TASK/QUESTION/SAMPLE.
const parts = (hash) => {
  try {
    return hash.split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
};

const show = (reader) => {
  const hash = location.hash.slice(1);
  const reading = hash.includes("/") || /^trajectories(\?|$)/.test(hash);
  document.getElementById("report").hidden = reading;
  document.getElementById("reader").hidden = !reading;
  for (const link of document.querySelectorAll("header nav a")) {
    const current = reading ? link.hash === "#trajectories" : link.hash === location.hash;
    if (current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (!reading) {
    if (hash) document.getElementById(hash)?.scrollIntoView();
    return;
  }
  if (hash.includes("/") && !hash.startsWith("trajectories?")) reader.read(parts(hash));
  else reader.list(Object.fromEntries(new URLSearchParams(hash.split("?")[1] ?? "")));
};

for (const table of document.querySelectorAll("table[data-sortable]")) makeSortable(table);

const broken = (error) => {
  document.querySelector(".count").textContent = `The trajectories cannot be opened: ${error}.`;
  return { list: () => {}, read: () => {} };
};

const reader = await openIndex().then(makeReader).catch(broken);
window.addEventListener("hashchange", () => show(reader));
show(reader);
