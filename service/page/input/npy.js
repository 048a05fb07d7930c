// The .npy format: numbers with their shape.

const READERS = {
  "<f4": Float32Array,
  "<f8": Float64Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "|i1": Int8Array,
  "|u1": Uint8Array,
  "|b1": Uint8Array,
};

export function parseNpy(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x934e554d) throw new Error("this is no .npy file");
  const wide = view.getUint8(6) > 1;
  const begin = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, begin, length));
  const kind = /'descr':\s*'([^']+)'/.exec(header)[1];
  const shape = [.../'shape':\s*\(([^)]*)\)/.exec(header)[1].matchAll(/\d+/g)].map(Number);
  const Reader = READERS[kind];
  if (!Reader || header.includes("'fortran_order': True"))
    throw new Error(`numbers of the kind ${kind} are not read here`);
  const data = new Reader(buffer.slice(begin + length));
  return { shape, data: Reader === BigInt64Array ? Float64Array.from(data, Number) : data };
}
