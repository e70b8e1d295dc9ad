// The index is opened once; the trajectories lie in pieces that are opened when one is read.
const KEPT = 16;

const text = async (id) => {
  const letters = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
};

const openIndex = async () => {
  const index = JSON.parse(await text("index"));
  index.lines.forEach((line, number) => {
    line.number = number;
    line.asked = index.questions[line.question];
    line.by = index.runs[line.run];
  });
  return index;
};

const pieceOf = (index, number) => {
  let [low, high] = [0, index.starts.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (index.starts[middle] <= number) low = middle;
    else high = middle - 1;
  }
  return low;
};

const pieces = new Map();

const openPiece = (number) => {
  const found = pieces.get(number) ?? text(`piece-${number}`).then(JSON.parse);
  pieces.delete(number);
  pieces.set(number, found);
  if (pieces.size > KEPT) pieces.delete(pieces.keys().next().value);
  return found;
};

const openTrajectory = async (index, number) => {
  const at = pieceOf(index, number);
  const piece = await openPiece(at);
  return { passages: piece.passages, ...piece.trajectories[number - index.starts[at]] };
};

// The lines of a piece in whose steps and passages the words stand (lower case).
const searchPiece = async (index, at, words) => {
  const content = await text(`piece-${at}`);
  if (!content.toLowerCase().includes(JSON.stringify(words).slice(1, -1))) return [];
  const piece = JSON.parse(content);
  const has = (...texts) => texts.some((one) => one && one.toLowerCase().includes(words));
  const holding = new Set();
  piece.passages.forEach((each, number) => {
    if (has(each.title, each.text, each.id)) holding.add(number);
  });
  const inStep = (step) =>
    has(step.text, step.observation) || (step.passages ?? []).some(([passage]) => holding.has(passage));
  return piece.trajectories.flatMap((view, offset) =>
    has(view.fault) || (view.steps ?? []).some(inStep) ? [index.starts[at] + offset] : [],
  );
};
