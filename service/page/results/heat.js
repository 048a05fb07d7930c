// From the numbers of an attribution to coloured pixels, on a scale that is symmetric about zero.

let tables = null;

export async function loadColours(answer) {
  tables = Object.fromEntries(
    Object.entries(await answer.json()).map(([name, hex]) => [
      name,
      Uint8Array.from(hex.match(/../g), (two) => parseInt(two, 16)),
    ]),
  );
}

// An attribution (..., H, W) as {width, height, values}: the sum over its leading axes.
export function planeOf({ shape, data }) {
  const [height, width] = shape.slice(-2);
  const values = new Float32Array(height * width);
  for (let i = 0; i < data.length; i++) values[i % values.length] += data[i];
  return { width, height, values };
}

const KEPT = {
  both: (value) => value,
  positive: (value) => Math.max(value, 0),
  negative: (value) => Math.min(value, 0),
  absolute: Math.abs,
};

// What is drawn of a plane: the values of a polarity and where their colours end, the 99.5th percentile of magnitudes; of
// bars the longest.
export function drawnOf(plane, polarity) {
  const values = plane.values.map(KEPT[polarity]);
  const sizes = values.map(Math.abs).sort();
  const place = (plane.names ? 1 : 0.995) * (sizes.length - 1);
  const low = sizes[Math.floor(place)];
  const limit = low + (sizes[Math.ceil(place)] - low) * (place % 1) || sizes[sizes.length - 1];
  return { ...plane, values, limit, signed: values.some((value) => value < 0) };
}

export const tableOf = (colours, signed) => tables[colours === "auto" ? (signed ? "blue_red" : "heat") : colours];

// The colour of a value from -1 to 1, as red, green and blue.
export function shadeOf(value, colours, signed) {
  const table = tableOf(colours, signed);
  const middle = (table.length / 3 - 1) / 2;
  const step = Math.round(middle + middle * Math.max(-1, Math.min(1, value))) * 3;
  return table.subarray(step, step + 3);
}

// The pixels as a canvas of their own size; `ground` are grey levels beneath, seen where `under` (0..1) lets them.
export function painted(drawn, colours, ground, under) {
  const canvas = new OffscreenCanvas(drawn.width, drawn.height);
  const image = new ImageData(drawn.width, drawn.height);
  const table = tableOf(colours, drawn.signed);
  const middle = (table.length / 3 - 1) / 2;
  for (let i = 0; i < drawn.values.length; i++) {
    const value = drawn.limit ? Math.max(-1, Math.min(1, drawn.values[i] / drawn.limit)) : 0;
    const strength = Math.sqrt(Math.abs(value));
    const weight = ground ? 1 - under * (1 - 0.85 * strength) : 1;
    const step = Math.round(middle + middle * value) * 3;
    const below = ground ? 64 + 0.75 * ground[i] : 0;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = weight * table[step + c] + (1 - weight) * below;
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// An image (H, W, 3) of bytes as a canvas, and as grey levels.
export function pictured({ shape, data }) {
  const [height, width] = shape;
  const image = new ImageData(width, height);
  const grays = new Float32Array(height * width);
  for (let i = 0; i < grays.length; i++) {
    const [r, g, b] = data.subarray(3 * i, 3 * i + 3);
    image.data.set([r, g, b, 255], 4 * i);
    grays[i] = 0.299 * r + 0.587 * g + 0.114 * b;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { width, height, canvas, grays, data };
}
