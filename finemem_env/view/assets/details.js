// One step, or one question, in words.

function head(text) {
  return el("div", "head", text);
}

function number(value) {
  return value === null || value === undefined ? "-" : String(Math.round(value * 1000) / 1000);
}

/** A link to a step, as a button. */
function stepButton(t, go) {
  return button(String(t), () => go({ step: t, detail: "step" }));
}

function row(name, ...cells) {
  return el("tr", "", el("th", "", name), el("td", "", ...cells));
}

/** Items that were shown for a question, with the step that wrote each. */
function shownItems(episode, asked, go) {
  if (!asked.shown.length) return el("p", "soft", "nothing was shown to the reader");
  return many(
    asked.shown.map((entry, rank) => [...entry, rank]),
    ([id, place, used, rank]) => {
      const item = place === null ? null : episode.items[place];
      const line = el(
        "div",
        "head",
        `${rank + 1}. item ${id}${used ? ", cited" : ""}, written at `,
      );
      if (item) item[6].forEach((t) => line.append(stepButton(t, go), " "));
      return el(
        "div",
        "one",
        line,
        item ? block(item[1]) : el("p", "soft", "its text is not known"),
        ...(item ? pictures(episode, item[7]) : []),
      );
    },
  );
}

function answerRows(asked) {
  const said = asked.failed ? "(reader failed)" : asked.said || "(nothing)";
  return [
    row("question", block(asked.question)),
    row("gold", ...asked.golds.map((gold) => block(gold))),
    row("answer", block(said)),
    row("score", number(asked.score)),
  ];
}

function questionDetail(episode, n, go) {
  const question = episode.questions[n];
  const good = question.outcome === "answered";
  const verdict = [question.outcome, question.text].filter(Boolean).join(": ");
  const evidence = question.evidence.map(([chunk, sentence, text]) =>
    el(
      "div",
      "one",
      el("div", "head", "chunk ", stepButton(chunk, go), text ? ` ${text}` : ""),
      ...(sentence === null ? [] : [block(sentence)]),
    ),
  );
  const credit = question.credit.map(([t, part]) =>
    el("span", "", stepButton(t, go), ` ${number(part)} `),
  );
  return [
    el("h3", "", "question ", inline(question.id, 60)),
    el(
      "table",
      "",
      el(
        "tbody",
        "",
        row("result", el("span", good ? "fine" : "bad", inline(verdict))),
        ...answerRows(question),
        row("asked", `after step ${question.at}`),
        row(
          "kind",
          inline([question.type, question.metric].filter(Boolean).join(", ") || "not recorded"),
        ),
        row("evidence", ...(evidence.length ? evidence : ["none recorded"])),
        row("credit", ...(credit.length ? credit : ["none"])),
      ),
    ),
    el("h3", "", "shown to the reader, best first"),
    shownItems(episode, question, go),
  ];
}

function operations(step) {
  return many(step.ops, ([name, reason, id, content]) => {
    const of = id === null ? "" : ` item ${id}`;
    const what = el(
      "div",
      reason === null ? "head" : "head bad",
      inline(name || "(no operation)"),
      of,
    );
    if (reason !== null) what.append(` rejected: ${reason}`);
    return el("div", "one", what, ...(content === null ? [] : [block(content)]));
  });
}

/** What a step changed: items gone, new and rewritten. */
function difference(episode, t) {
  const gone = new Map(
    episode.ends[t].map((place) => [episode.items[place][0], episode.items[place]]),
  );
  const fresh = episode.starts[t].map((place) => episode.items[place]);
  const kept = new Set(fresh.map((item) => item[0]));
  const entries = [
    ...fresh.map((item) => [gone.get(item[0]), item]),
    ...[...gone.values()].filter((item) => !kept.has(item[0])).map((item) => [item, undefined]),
  ];
  if (!entries.length) return el("p", "soft", "nothing changed");
  return many(entries, ([before, after]) => {
    const sign = before && after ? "±" : after ? "+" : "−";
    const item = after || before;
    const body = before && after ? changed(before[1], after[1]) : block(item[1]);
    const store = item[5] ? `, ${item[5]}` : "";
    return el(
      "div",
      sign === "+" ? "one add" : sign === "−" ? "one sub" : "one",
      head(`${sign} item ${item[0]}${store}`),
      body,
      ...pictures(episode, item[7]),
    );
  });
}

/** The memory before a step, which the manager saw. */
function before(episode, t) {
  const items = episode.items.filter((item) => item[2] < t && (item[3] === null || item[3] >= t));
  const box = el("details", "", el("summary", "", `memory before: ${items.length} items`));
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1)
      box.append(
        many(items, (item) =>
          el("div", "one", head(`item ${item[0]}, step ${item[2]}`), block(item[1])),
        ),
      );
  });
  return box;
}

function stepDetail(episode, t, go, parts) {
  const step = episode.steps[t];
  const rewards = parts.map((name, n) => `${name} ${number(step.parts[n])}`).join(", ");
  const asked = step.asked.length
    ? [el("h3", "", "chunk questions"), many(step.asked, (one) => chunkQuestion(episode, one, go))]
    : [];
  return [
    el("h3", "", `step ${t}`, step.time ? el("span", "soft", " ", inline(step.time, 80)) : ""),
    el(
      "p",
      "soft",
      `reward ${number(step.reward)}: ${rewards}; evidence credit N ${number(step.credit)}; memory ${number(step.tokens)} tokens`,
    ),
    el("h3", "", "what was read"),
    step.chunk === null ? el("p", "soft", "the trace does not hold the chunk") : block(step.chunk),
    ...pictures(episode, step.media),
    before(episode, t),
    el("h3", "", "raw reply"),
    block(step.action),
    el("h3", "", "operations"),
    operations(step),
    el("h3", "", "memory after, against before"),
    difference(episode, t),
    ...asked,
  ];
}

function chunkQuestion(episode, one, go) {
  const box = el("details", "one");
  const name = el("summary", "", `${number(one.score)} `, inline(one.question, 120));
  box.append(name);
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1)
      box.append(
        el("table", "", el("tbody", "", ...answerRows(one))),
        shownItems(episode, one, go),
      );
  });
  return box;
}
