/** Binary messages: a JSON head, and arrays read where they lie (see pack.py). */

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
const decoder = new TextDecoder();

/** Return the head with `arrays`: name → typed array over the message's own memory. */
export const unpack = (buffer) => {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  const start = Math.ceil((4 + length) / 8) * 8;
  const arrays = {};
  for (const [name, dtype, shape, offset] of head.arrays) {
    const count = shape.reduce((product, side) => product * side, 1);
    arrays[name] = new TYPES[dtype](buffer, start + offset, count);
  }
  return { ...head, arrays };
};
