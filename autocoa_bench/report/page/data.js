// The index is decoded once; the trajectories are in pieces that are decoded when one is read.
const CACHED_PIECES = 16;

const decode = async (id) => {
  const letters = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
};

const openIndex = async () => {
  const index = JSON.parse(await decode("index"));
  for (const [number, line] of index.lines.entries()) {
    line.number = number;
    line.question = index.questions[line.question];
    line.run = index.runs[line.run];
  }
  return index;
};

// The number of the piece that holds a line, by binary search.
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

// The least recently used piece leaves the cache: a Map keeps the order of insertion.
const openPiece = (number) => {
  const piece = pieces.get(number) ?? decode(`piece-${number}`).then(JSON.parse);
  pieces.delete(number);
  pieces.set(number, piece);
  if (pieces.size > CACHED_PIECES) pieces.delete(pieces.keys().next().value);
  return piece;
};

const openTrajectory = async (index, number) => {
  const pieceNumber = pieceOf(index, number);
  const { passages, trajectories } = await openPiece(pieceNumber);
  return { passages, ...trajectories[number - index.starts[pieceNumber]] };
};

// The numbers of the lines of a piece whose steps or passages contain the words (in lower case).
const searchPiece = async (index, pieceNumber, words) => {
  const content = await decode(`piece-${pieceNumber}`);
  if (!content.toLowerCase().includes(JSON.stringify(words).slice(1, -1))) return [];
  const piece = JSON.parse(content);
  const contains = (...texts) => texts.some((text) => text?.toLowerCase().includes(words));
  const matches = piece.passages.map(({ title, text, id }) => contains(title, text, id));
  const stepMatches = (step) =>
    contains(step.text, step.observation) || (step.passages ?? []).some(([passage]) => matches[passage]);
  return piece.trajectories.flatMap((view, offset) =>
    contains(view.fault) || (view.steps ?? []).some(stepMatches)
      ? [index.starts[pieceNumber] + offset]
      : [],
  );
};
