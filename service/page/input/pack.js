// Many inputs as one file that the API takes as a dataset: a zip of images, or an .npz, which is a zip of arrays.

import { tableOf } from "./table.js";

const ARCHIVE = /\.(zip|npz|tar|tgz|tar\.gz)$/i;
const IMAGE = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;

// Whether a file by itself is many inputs.
export const isMany = (file) => ARCHIVE.test(file.name) || /\.csv$/i.test(file.name);

// Throws Error, in words, for what is none of these.
export async function packed(files, model) {
  const [first] = files;
  if (files.length === 1 && ARCHIVE.test(first.name)) return first;
  if (files.length === 1 && /\.npy$/i.test(first.name)) return zip([["inputs.npy", await bytesOf(first)]]);
  if (files.length === 1 && /\.csv$/i.test(first.name)) return zip(rows(await first.text(), model));
  const images = files.filter((file) => IMAGE.test(file.name) && !pathOf(file).split("/").some((part) => part.startsWith(".")));
  if (!images.length) throw new Error("These are no images: take images, a folder of them, or one .zip, .tar, .npz, .npy or .csv.");
  const paths = images.map(pathOf);
  const flat = new Set(paths.map((path) => path.split("/").length)).size > 1 || paths[0].split("/").length > 2;
  const names = flat ? flattened(paths) : paths;
  const named = images.map((file, i) => [names[i], file]);
  named.sort(([a], [b]) => (a < b ? -1 : 1));
  return zip(await Promise.all(named.map(async ([name, file]) => [name, await bytesOf(file)])));
}

// A name without folders for each path, and for none the name of another: a/b-c and a-b/c are a-b-c and a-b-c-2.
function flattened(paths) {
  const found = new Set();
  for (const path of paths) {
    const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(path.replaceAll("/", "-"));
    let [name, count] = [stem + suffix, 1];
    while (found.has(name)) name = `${stem}-${(count += 1)}${suffix}`;
    found.add(name);
  }
  return [...found];
}

// Below the folder that was chosen.
const pathOf = (file) => file.webkitRelativePath.split("/").slice(1).join("/") || file.name;
const bytesOf = async (file) => new Uint8Array(await file.arrayBuffer());

function rows(text, model) {
  const { values, labels, shape } = tableOf(text, model);
  const told = labels ? [["labels.npy", npy("<i8", [labels.length], labels)]] : [];
  return [["inputs.npy", npy("<f4", shape, values)], ...told];
}

function npy(kind, shape, values) {
  const told = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const head = told.padEnd(Math.ceil((told.length + 11) / 64) * 64 - 11) + "\n";
  const made = new Uint8Array(10 + head.length + values.byteLength);
  made.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length & 255, head.length >> 8]);
  made.set(new TextEncoder().encode(head), 10);
  made.set(new Uint8Array(values.buffer), 10 + head.length);
  return made;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let bit = 0; bit < 8; bit++) i = i & 1 ? (i >>> 1) ^ 0xedb88320 : i >>> 1;
  return i;
});

function crc32(bytes) {
  let found = ~0;
  for (const byte of bytes) found = TABLE[(found ^ byte) & 255] ^ (found >>> 8);
  return ~found >>> 0;
}

// Files [name, bytes] as they are, uncompressed: images are compressed already.
export function zip(files) {
  const parts = [];
  const index = [];
  let at = 0;
  for (const [name, bytes] of files) {
    const told = new TextEncoder().encode(name);
    const about = [0x0800, 0, 0, 0x21, crc32(bytes), bytes.length, bytes.length, told.length, 0];
    const local = record([[4, 0x04034b50], [2, 20], ...fields(about)]);
    index.push(record([[4, 0x02014b50], [2, 20], [2, 20], ...fields(about), [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), told);
    parts.push(local, told, bytes);
    at += local.length + told.length + bytes.length;
  }
  const size = index.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  if (at + size > 0xffffffff || count > 0xffff) throw new Error("This is more than one file may hold: send it as a .tar, from the command line.");
  const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, at], [2, 0]]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}

const fields = (about) => about.map((value, i) => [i >= 4 && i <= 6 ? 4 : 2, value]);

function record(parts) {
  const made = new DataView(new ArrayBuffer(parts.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of parts) {
    if (size === 2) made.setUint16(at, value, true);
    else made.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(made.buffer);
}
