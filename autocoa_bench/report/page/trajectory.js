// One trajectory in full.
const SIGNS = { correct: "✓", wrong: "✗", unscored: "?", fault: "!" };
const TAGS = /<\/?[a-z_]+>|\\boxed|^(?:Thought|Action|Observation|Final Answer):/gm;

const badge = (outcome) =>
  element("span", { class: `badge ${outcome}` }, `${SIGNS[outcome]} ${outcome}`);

const address = (line) =>
  "#" + [line.by.name, line.asked.task, line.asked.id, line.sample].map(encodeURIComponent).join("/");

const foreign = (name, attributes, ...children) =>
  element(name, { dir: "auto", ...attributes }, ...children);

const goldPattern = (golds) => {
  const words = golds.filter((gold) => gold && !/^(yes|no)$/i.test(gold.trim())).map(escaped);
  if (!words.length) return null;
  return new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.join("|")})(?![\\p{L}\\p{N}])`, "giu");
};

const withGolds = (text, golds) =>
  marked(text, goldPattern(golds), (found) => element("mark", {}, found));

const told = (pairs) =>
  element(
    "dl",
    { class: "told" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => element("div", {}, element("dt", {}, name), foreign("dd", {}, value))),
  );

const whenShown = (at) => (at ? `shown by search ${at}` : "never shown");

// The gold chain where the question has one; else its gold pages, or its answer in words.
const evidenceOf = (question, view) => {
  if (!view.evidence?.length) return null;
  const shown = new Map(view.evidence);
  const hops = question.hops ?? [];
  const rows = hops.some((hop) => hop.passage_id)
    ? hops.map((hop) => [`${hop.question} → ${hop.answer}`, hop.passage_id, shown.get(hop.passage_id)])
    : view.evidence.map(([name, at]) => [name, "", at]);
  return element(
    "section",
    { class: "evidence" },
    element("h3", {}, "Evidence"),
    element(
      "ol",
      {},
      rows.map(([what, passage, at]) =>
        element(
          "li",
          {},
          foreign("span", {}, what),
          " ",
          element("span", { class: at ? "found" : "missed" }, `${at ? "✓" : "✗"} ${whenShown(at)}`),
          passage ? foreign("code", {}, passage) : null,
        ),
      ),
    ),
  );
};

const passageOf = (passages, golds, [number, score, mark], rank) => {
  const { id, title, text: content } = passages[number];
  const marks = { "gold passage": "gold", "gold page": "gold", "answer words": "words" };
  return element(
    "details",
    { class: `passage ${marks[mark] ?? ""}`, open: mark !== null },
    element(
      "summary",
      {},
      element("span", { class: "rank" }, String(rank)),
      foreign("span", { class: "title" }, title || "untitled"),
      mark ? element("span", { class: "why" }, mark === "answer words" ? "has the answer's words" : mark) : null,
      element("span", { class: "score" }, score === null ? "" : score.toFixed(2)),
    ),
    foreign("p", {}, ...withGolds(content, golds)),
    foreign("p", { class: "id" }, id),
  );
};

const costOf = (step) => {
  const [prompt, completion] = step.tokens ?? [];
  const seconds = (step.seconds ?? [0, 0])[0];
  const parts = [
    prompt ? `${prompt.toLocaleString("en")} prompt` : "",
    completion ? `${completion.toLocaleString("en")} sampled tokens` : "",
    seconds ? `${seconds.toFixed(1)} s` : "",
  ];
  return element("span", { class: "cost" }, parts.filter(Boolean).join(" · "));
};

const stepOf = (step, heading, passages, golds) => {
  const notes = [
    step.forced ? "forced by the budget" : "",
    step.problem ? `malformed: ${step.problem}` : "",
    step.dropped ? `${count(step.dropped, "passage")} dropped for want of room` : "",
  ].filter(Boolean);
  const shown = step.passages ?? [];
  return element(
    "li",
    { class: `step ${step.kind}` },
    element(
      "h4",
      {},
      element("span", { class: "kind" }, heading),
      step.argument ? foreign("span", { class: "argument" }, step.argument) : null,
      costOf(step),
    ),
    foreign("pre", { class: "said" }, ...marked(step.text.trim(), TAGS, (tag) => element("i", {}, tag))),
    notes.length ? element("p", { class: "problem" }, notes.join("; ")) : null,
    shown.length
      ? element(
          "div",
          { class: "observation" },
          shown.map((each, at) => passageOf(passages, golds, each, at + 1)),
        )
      : null,
    step.observation ? foreign("pre", { class: "observation" }, step.observation.trim()) : null,
  );
};

const stepsOf = (view, golds) => {
  let searches = 0;
  const heading = (step) => {
    if (step.kind === "search") return `Search ${(searches += 1)}`;
    return step.kind === "answer" ? "Answer" : "Malformed";
  };
  return element(
    "ol",
    { class: "steps" },
    (view.steps ?? []).map((step) => stepOf(step, heading(step), view.passages, golds)),
  );
};

const promptOf = (view) =>
  view.opening?.length
    ? element(
        "details",
        { class: "prompt" },
        element("summary", {}, "Prompt"),
        view.opening.map((message) => [
          element("h4", {}, message.role),
          foreign("pre", {}, message.content),
        ]),
        view.prefill ? [element("h4", {}, "prefilled"), foreign("pre", {}, view.prefill)] : null,
      )
    : null;

const othersOf = (index, line) => {
  const others = index.lines.filter(
    (other) => other !== line && other.asked.id === line.asked.id && other.asked.task === line.asked.task,
  );
  if (!others.length) return null;
  return element(
    "section",
    { class: "others" },
    element("h3", {}, "The same question"),
    element(
      "ul",
      {},
      others.map((other) =>
        element(
          "li",
          {},
          element("a", { href: address(other) }, other.by.name + (other.sample ? `, sample ${other.sample}` : "")),
          " ",
          badge(other.outcome),
          " ",
          foreign("span", {}, other.answer ?? ""),
        ),
      ),
    ),
  );
};

const drawTrajectory = (index, line, view) => {
  const { asked, by } = line;
  const scores = index.scorers
    .map((name, at) => `${name} ${line.scores[at] === null ? "–" : Number(line.scores[at].toFixed(2))}`)
    .join(", ");
  const pairs = [
    ["Gold", asked.golden_answers.join(" | ")],
    ["Answer", line.outcome === "fault" ? null : (line.answer ?? "none")],
    ["Scores", line.outcome === "fault" ? null : scores],
    ["Scorers say", view.reasons?.join("; ")],
    ["Cause", line.cause],
    ["Fault", view.fault],
    ["Actions", line.actions === undefined ? null : String(line.actions)],
    ["Ended", view.ending],
    ["Seconds", view.seconds ? view.seconds.toFixed(1) : null],
  ];
  return [
    element(
      "p",
      { class: "where" },
      [by.label, by.model, index.tasks[asked.task] ?? asked.task, asked.kind, asked.id]
        .concat(line.sample ? [`sample ${line.sample}`] : [])
        .filter(Boolean)
        .map((word) => foreign("span", {}, word)),
    ),
    foreign("h2", {}, asked.text),
    element("p", {}, badge(line.outcome)),
    told(pairs),
    evidenceOf(asked, view),
    stepsOf(view, asked.golden_answers),
    promptOf(view),
    othersOf(index, line),
  ].filter(Boolean);
};
