// Rows of a .csv as arrays: the columns by the model's names, in any order and with others among them.

const LABEL = "label";
const SEPARATORS = [",", ";", "\t"];

// {values: Float32Array, labels: BigInt64Array | null, shape}. Throws Error, in words.
export function tableOf(text, model) {
  const { names, categories = {}, shape } = model.input;
  const separator = SEPARATORS.map((one) => [text.split("\n", 1)[0].split(one).length, one]).sort((a, b) => b[0] - a[0])[0][1];
  const lines = linesOf(text, separator);
  if (!lines.length) throw new Error("The table is empty.");
  const size = shape.reduce((product, length) => product * length, 1);
  const read = (cell) => numberOf(cell, separator === ";");
  const named = lines[0].some((cell) => names.includes(cell));
  const head = named || lines[0].some((cell) => Number.isNaN(read(cell))) ? lines.shift() : null;
  if (!lines.length) throw new Error("The table has a head and no lines below it.");
  const width = (head ?? lines[0]).length;
  const label = names.includes(LABEL) ? -1 : (head?.indexOf(LABEL) ?? -1);
  const taken = named ? names.map((name) => placeOf(head, name, names)) : lines[0].map((_, at) => at).filter((at) => at !== label);
  if (taken.length !== size) throw new Error(`The table has ${taken.length} columns; the model takes ${size} numbers.`);
  const words = taken.map((_, i) => (categories[names[i]] ?? []).map(String));
  const values = new Float32Array(lines.length * size);
  const labels = label < 0 ? null : new BigInt64Array(lines.length);
  lines.forEach((line, row) => {
    if (line.length !== width)
      throw new Error(`Row ${row + 1} of the table: it has ${line.length} cells, where the first line has ${width}.`);
    taken.forEach((at, i) => {
      const known = words[i].indexOf(line[at]);
      const value = known >= 0 ? known : read(line[at]);
      const called = head?.[at] ?? names[i] ?? `number ${i + 1}`;
      if (!Number.isFinite(value)) throw new Error(`Row ${row + 1} of the table: ${called} is no number (${line[at] || "it is empty"}).`);
      values[row * size + i] = value;
    });
    if (labels) labels[row] = BigInt(classOf(line[label], model.classes, row));
  });
  return { values, labels, shape: [lines.length, ...shape] };
}

function placeOf(head, name, names) {
  const found = head.filter((cell) => cell === name).length;
  if (found !== 1)
    throw new Error(`The table has ${found ? "more than one" : "no"} column ${name}; the model takes ${names.join(", ")}.`);
  return head.indexOf(name);
}

function classOf(cell, classes, row) {
  const at = classes.indexOf(cell);
  if (at < 0 && !/^\d+$/.test(cell ?? "")) throw new Error(`Row ${row + 1} of the table: the label ${cell} is no class, nor a number.`);
  return at < 0 ? cell : at;
}

const numberOf = (cell, comma) => (cell ? Number(comma ? cell.replace(",", ".") : cell) : NaN);

// A quoted cell may hold separators, line ends and doubled quotes; lines of nothing are left out.
function linesOf(text, separator) {
  const lines = [[]];
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^"${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, "gy");
  for (let found; cell.lastIndex < text.length && (found = cell.exec(text)); ) {
    const [, quoted, plain, end] = found;
    lines.at(-1).push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
    if (end !== separator) lines.push([]);
  }
  if (cell.lastIndex < text.length) throw new Error(`Line ${lines.length} of the table has a quote that does not end.`);
  return lines.filter((line) => line.some(Boolean));
}
