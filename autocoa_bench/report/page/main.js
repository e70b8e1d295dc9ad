// The address decides what is shown: #TABLE, #trajectories?FILTERS or #RUN/TASK/QUESTION/SAMPLE.
const addressParts = (hash) => {
  try {
    return hash.split("/").map(decodeURIComponent);
  } catch {
    return []; // a malformed escape matches no trajectory
  }
};

const show = (reader) => {
  const hash = location.hash.slice(1);
  const isList = /^trajectories(\?|$)/.test(hash);
  const reading = isList || hash.includes("/");
  document.getElementById("report").hidden = reading;
  document.getElementById("reader").hidden = !reading;
  for (const link of document.querySelectorAll("header nav a")) {
    setCurrent(link, reading ? link.hash === "#trajectories" : link.hash === location.hash);
  }
  if (isList) reader.list(Object.fromEntries(new URLSearchParams(hash.split("?")[1] ?? "")));
  else if (reading) reader.read(addressParts(hash));
  else if (hash) document.getElementById(hash)?.scrollIntoView();
};

for (const table of document.querySelectorAll("table[data-sortable]")) makeSortable(table);

const failedReader = (error) => {
  document.querySelector(".count").textContent = `The trajectories cannot be opened: ${error}.`;
  return { list: () => {}, read: () => {} };
};

const reader = await openIndex().then(makeReader).catch(failedReader);
window.addEventListener("hashchange", () => show(reader));
show(reader);
