// A trajectory in full.
const SIGNS = { correct: "✓", wrong: "✗", unscored: "?", fault: "!" };
const TAGS = /<\/?[a-z_]+>|\\boxed|^(?:Thought|Action|Observation|Final Answer):/gm;
const MARK_CLASSES = { "gold passage": "gold", "gold page": "gold", "answer words": "words" };

const badge = (outcome) =>
  element("span", { class: `badge ${outcome}` }, `${SIGNS[outcome]} ${outcome}`);

const address = ({ run, question, sample }) =>
  "#" + [run.name, question.task, question.id, sample].map(encodeURIComponent).join("/");

// An element with foreign text, which may run from right to left.
const foreign = (name, attributes, ...children) =>
  element(name, { dir: "auto", ...attributes }, ...children);

// Gold answers as whole words; yes and no stand in too many passages to be marked.
const goldPattern = (golds) => {
  const words = golds.filter((gold) => gold && !/^(yes|no)$/i.test(gold.trim())).map(escaped);
  if (!words.length) return null;
  return new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.join("|")})(?![\\p{L}\\p{N}])`, "giu");
};

const markGolds = (text, golds) =>
  marked(text, goldPattern(golds), (gold) => element("mark", {}, gold));

const drawFacts = (facts) =>
  element(
    "dl",
    { class: "facts" },
    facts
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => element("div", {}, element("dt", {}, name), foreign("dd", {}, value))),
  );

const drawEvidenceItem = ([text, passage, search]) =>
  element(
    "li",
    {},
    foreign("span", {}, text),
    " ",
    search
      ? element("span", { class: "shown" }, `✓ shown by search ${search}`)
      : element("span", { class: "missed" }, "✗ never shown"),
    passage ? foreign("code", {}, passage) : null,
  );

// The gold chain if the question has one; otherwise its gold pages, or its answer in words.
const drawEvidence = (question, view) => {
  if (!view.evidence?.length) return null;
  const searches = new Map(view.evidence);
  const hops = question.hops ?? [];
  const items = hops.some((hop) => hop.passage_id)
    ? hops.map((hop) => [`${hop.question} → ${hop.answer}`, hop.passage_id, searches.get(hop.passage_id)])
    : view.evidence.map(([name, search]) => [name, "", search]);
  return element(
    "section",
    { class: "evidence" },
    element("h3", {}, "Evidence"),
    element("ol", {}, items.map(drawEvidenceItem)),
  );
};

const drawPassage = (passages, golds, [number, score, mark], rank) => {
  const { id, title, text } = passages[number];
  return element(
    "details",
    { class: `passage ${MARK_CLASSES[mark] ?? ""}`, open: mark !== null },
    element(
      "summary",
      {},
      element("span", { class: "rank" }, String(rank)),
      foreign("span", { class: "title" }, title || "untitled"),
      mark ? element("span", { class: "why" }, mark === "answer words" ? "has the answer's words" : mark) : null,
      element("span", { class: "score" }, score === null ? "" : score.toFixed(2)),
    ),
    foreign("p", {}, ...markGolds(text, golds)),
    foreign("p", { class: "id" }, id),
  );
};

const drawCost = (step) => {
  const [prompt, completion] = step.tokens ?? [];
  const seconds = (step.seconds ?? [0, 0])[0];
  const parts = [
    prompt ? `${digits(prompt)} prompt` : "",
    completion ? `${digits(completion)} sampled tokens` : "",
    seconds ? `${seconds.toFixed(1)} s` : "",
  ];
  return element("span", { class: "cost" }, parts.filter(Boolean).join(" · "));
};

const drawStep = (step, heading, passages, golds) => {
  const notes = [
    step.forced ? "forced by the budget" : "",
    step.problem ? `malformed: ${step.problem}` : "",
    step.dropped ? `${count(step.dropped, "passage")} dropped for lack of room` : "",
  ].filter(Boolean);
  const draw = (passage, at) => drawPassage(passages, golds, passage, at + 1);
  return element(
    "li",
    { class: `step ${step.kind}` },
    element(
      "h4",
      {},
      element("span", { class: "kind" }, heading),
      step.argument ? foreign("span", { class: "argument" }, step.argument) : null,
      drawCost(step),
    ),
    foreign("pre", { class: "sampled" }, ...marked(step.text.trim(), TAGS, (tag) => element("i", {}, tag))),
    notes.length ? element("p", { class: "problem" }, notes.join("; ")) : null,
    step.passages ? element("div", { class: "observation" }, step.passages.map(draw)) : null,
    step.observation ? foreign("pre", { class: "observation" }, step.observation.trim()) : null,
  );
};

const drawSteps = (view, golds) => {
  let searches = 0;
  const heading = (step) => {
    if (step.kind === "search") return `Search ${(searches += 1)}`;
    return { answer: "Answer", reading: "Reading" }[step.kind] ?? "Malformed";
  };
  const steps = view.steps ?? [];
  return element(
    "ol",
    { class: "steps" },
    steps.map((step) => drawStep(step, heading(step), view.passages, golds)),
  );
};

const drawPrompt = (view) => {
  if (!view.opening?.length) return null;
  const messages = [...view.opening];
  if (view.prefill) messages.push({ role: "prefilled", content: view.prefill });
  return element(
    "details",
    { class: "prompt" },
    element("summary", {}, "Prompt"),
    messages.map(({ role, content }) => [element("h4", {}, role), foreign("pre", {}, content)]),
  );
};

const drawSameQuestion = (index, line) => {
  const { id, task } = line.question;
  const lines = index.lines.filter(
    (other) => other !== line && other.question.id === id && other.question.task === task,
  );
  if (!lines.length) return null;
  const drawLine = (other) => {
    const label = other.run.name + (other.sample ? `, sample ${other.sample}` : "");
    const link = element("a", { href: address(other) }, label);
    return element("li", {}, link, " ", badge(other.outcome), " ", foreign("span", {}, other.answer ?? ""));
  };
  return element(
    "section",
    { class: "others" },
    element("h3", {}, "The same question"),
    element("ul", {}, lines.map(drawLine)),
  );
};

const drawTrajectory = (index, line, view) => {
  const { question, run } = line;
  const isFault = line.outcome === "fault";
  const score = (value) => (value === null ? "–" : Number(value.toFixed(2)));
  const labels = [run.label, run.model, index.tasks[question.task] ?? question.task, question.kind, question.id];
  if (line.sample) labels.push(`sample ${line.sample}`);
  return [
    element("p", { class: "where" }, labels.filter(Boolean).map((label) => foreign("span", {}, label))),
    foreign("h2", {}, question.text),
    element("p", {}, badge(line.outcome)),
    drawFacts([
      ["Gold", question.golden_answers.join(" | ")],
      ["Answer", isFault ? null : (line.answer ?? "none")],
      ["Scores", isFault ? null : index.scorers.map((name, at) => `${name} ${score(line.scores[at])}`).join(", ")],
      ["Scorers' reasons", view.reasons?.join("; ")],
      ["Cause", line.cause],
      ["Fault", view.fault],
      ["Actions", line.actions === undefined ? null : String(line.actions)],
      ["Ended", view.ending],
      ["Seconds", view.seconds ? view.seconds.toFixed(1) : null],
    ]),
    drawEvidence(question, view),
    drawSteps(view, question.golden_answers),
    drawPrompt(view),
    drawSameQuestion(index, line),
  ].filter(Boolean);
};
