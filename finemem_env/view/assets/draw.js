// The drawing of an episode: memory, operations, questions against chunks, rewards.

const HIGH = { fill: 54, ops: 26, axis: 14, bars: 96 };
const GRID = "questions against chunks";

/** Sizes: columns are steps (those that are shown), rows are questions. */
function layout(episode, view, width) {
  const columns = episode.steps
    .map((step, t) => t)
    .filter((t) => !view.rejected || episode.steps[t].ops.some((op) => op[1] !== null));
  const rows = episode.questions
    .map((question, n) => n)
    .filter((n) => !view.wrong || episode.questions[n].outcome !== "answered");
  const wide = Math.max(6, Math.min(26, Math.floor(width / Math.max(1, columns.length))));
  const high = rows.length > 40 ? 13 : 17;
  return { columns, rows, wide, high, width: Math.max(1, columns.length * wide) };
}

function canvas(size, height, label) {
  const made = shape("svg", { width: size.width, height, role: "img", "aria-label": label });
  if (label === GRID)
    for (let row = 1; row < size.rows.length; row += 2)
      made.append(
        shape("rect", { class: "band", y: row * size.high, width: size.width, height: size.high }),
      );
  made.append(shape("rect", { class: "cursor", width: size.wide, height, x: -99, y: 0 }));
  return made;
}

/** The numbers of the steps, as many as there is room for. */
function drawAxis(size) {
  const made = canvas(size, HIGH.axis, "numbers of the steps");
  const every = Math.ceil(28 / size.wide);
  size.columns.forEach((t, n) => {
    if (n % every === 0)
      made.append(shape("text", { x: n * size.wide + 1, y: HIGH.axis - 3 }, String(t)));
  });
  return made;
}

/** Tokens in the memory after each step, against its budget. */
function drawFill(episode, size) {
  const made = canvas(size, HIGH.fill, "memory tokens after each step");
  const known = episode.steps.filter((step) => step.tokens !== null);
  const top = Math.max(1, episode.limit || 0, ...known.map((step) => step.tokens));
  const y = (tokens) => HIGH.fill - (tokens / top) * (HIGH.fill - 4);
  size.columns.forEach((t, n) => {
    const tokens = episode.steps[t].tokens;
    if (tokens === null) return;
    const at = {
      x: n * size.wide,
      y: y(tokens),
      width: size.wide - 1,
      height: HIGH.fill - y(tokens),
    };
    made.append(shape("rect", { class: "area", ...at }));
  });
  if (episode.limit !== null) {
    const height = y(episode.limit);
    made.append(shape("line", { class: "limit", x1: 0, x2: size.width, y1: height, y2: height }));
  }
  return made;
}

const KINDS = ["INSERT", "UPDATE", "DELETE", "REJECTED"];

function kindOf(op) {
  return op[1] !== null ? "REJECTED" : op[0];
}

/** How many operations of which kind a step has, stacked. */
function drawOps(episode, size) {
  const made = canvas(size, HIGH.ops, "operations of each step");
  const counts = size.columns.map((t) => {
    const found = { INSERT: 0, UPDATE: 0, DELETE: 0, REJECTED: 0 };
    for (const op of episode.steps[t].ops) if (kindOf(op) in found) found[kindOf(op)]++;
    return found;
  });
  const total = (found) => KINDS.reduce((sum, kind) => sum + found[kind], 0);
  const top = Math.max(1, ...counts.map(total));
  counts.forEach((found, n) => {
    let y = HIGH.ops;
    for (const kind of KINDS) {
      if (!found[kind]) continue;
      const height = Math.max(2, (found[kind] / top) * (HIGH.ops - 2));
      y -= height;
      made.append(
        shape("rect", { class: kind, x: n * size.wide, y, width: size.wide - 1, height }),
      );
    }
  });
  return made;
}

/** Where a question was lost, as a mark in the cell of a step. */
function lossMark(where, x, y, side) {
  const [left, right, top, bottom] = [x + 2, x + side - 2, y + 2, y + side - 2];
  const middle = { cx: x + side / 2, cy: y + side / 2 };
  const drawn = {
    deleted: `M${left} ${top}L${right} ${bottom}M${right} ${top}L${left} ${bottom}`,
    overwritten: `M${right} ${top}L${left} ${bottom}`,
    refused: `M${left} ${middle.cy}H${right}`,
    "not retrieved": `M${left} ${bottom}L${middle.cx} ${top}L${right} ${bottom}`,
    misread: `M${left} ${top}L${middle.cx} ${bottom}L${right} ${top}`,
  }[where];
  if (drawn) return shape("path", { class: "mark", d: drawn });
  return shape("circle", { class: "mark", r: Math.max(1.5, side / 2 - 3), ...middle });
}

/** Questions against chunks: evidence, credit, and where each was lost. */
function drawGrid(episode, size) {
  const height = Math.max(1, size.rows.length * size.high);
  const made = canvas(size, height, GRID);
  made.append(
    shape("rect", { class: "cursor row", width: size.width, height: size.high, x: 0, y: -99 }),
  );
  const place = new Map(size.columns.map((t, n) => [t, n * size.wide]));
  const top = Math.max(
    1e-12,
    ...episode.questions.flatMap((one) => one.credit.map((pair) => pair[1])),
  );
  const side = Math.max(11, Math.min(size.wide, size.high) - 1);
  const aside = (size.wide - 1 - side) / 2;
  size.rows.forEach((n, row) => {
    const question = episode.questions[n];
    const y = row * size.high;
    const cell = { y: y + 1, width: size.wide - 1, height: size.high - 2 };
    for (const [t, part] of question.credit)
      if (place.has(t))
        made.append(
          shape("rect", {
            class: "credit",
            x: place.get(t),
            ...cell,
            "fill-opacity": 0.25 + (0.75 * part) / top,
          }),
        );
    for (const [t] of question.evidence)
      if (place.has(t))
        made.append(
          shape("rect", {
            class: "evidence",
            x: place.get(t) + 0.5,
            ...cell,
            width: size.wide - 2,
          }),
        );
    if (question.outcome === "answered" || question.outcome === "failed") return;
    const at = lossPlace(question);
    if (place.has(at))
      made.append(
        lossMark(question.where, place.get(at) + aside, y + (size.high - side) / 2, side),
      );
  });
  return made;
}

/** The step of a question's loss: where it happened, else where it was read or asked. */
function lossPlace(question) {
  if (question.lost !== null) return question.lost;
  const asked = question.where === "misread" || question.where === "not retrieved";
  const first = question.evidence.map((piece) => piece[0]);
  return asked || !first.length ? question.at : Math.min(...first);
}

/** The attributed reward of each step, stacked by its parts; what costs hangs below the line. */
function drawBars(episode, size) {
  const made = canvas(size, HIGH.bars, "reward of each step by its parts");
  const sums = size.columns.map((t) => {
    const parts = episode.steps[t].parts;
    const sum = (sign) => parts.reduce((total, part) => total + Math.max(0, sign * part), 0);
    return [sum(1), sum(-1)];
  });
  const up = Math.max(1e-9, ...sums.map((pair) => pair[0]));
  const down = Math.max(0, ...sums.map((pair) => pair[1]));
  const scale = (HIGH.bars - 4) / (up + down);
  const zero = 2 + up * scale;
  size.columns.forEach((t, n) => {
    let [above, below] = [zero, zero];
    episode.steps[t].parts.forEach((part, kind) => {
      const height = Math.abs(part) * scale;
      if (height < 0.05) return;
      const y = part > 0 ? (above -= height) : below;
      if (part < 0) below += height;
      made.append(
        shape("rect", { class: `p${kind}`, x: n * size.wide, y, width: size.wide - 1, height }),
      );
    });
  });
  made.append(shape("line", { class: "zero", x1: 0, x2: size.width, y1: zero, y2: zero }));
  return made;
}
