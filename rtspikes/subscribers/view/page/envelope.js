/** Lines with many samples per pixel, as the lowest and highest value of each pixel column. */

/** Columns of a plot: low and high are NaN where there is nothing. */
export class Envelope {
  constructor() {
    this.low = new Float32Array(0);
    this.high = new Float32Array(0);
  }

  reset(width) {
    if (this.low.length !== width) {
      this.low = new Float32Array(width);
      this.high = new Float32Array(width);
    }
    this.low.fill(NaN);
    this.high.fill(NaN);
  }

  add(x, low, high) {
    if (x < 0 || x >= this.low.length) return;
    if (!(this.low[x] <= low)) this.low[x] = low;
    if (!(this.high[x] >= high)) this.high[x] = high;
  }

  /** Add the straight line between two points, each with a low and a high edge. */
  #bridge(x0, low0, high0, x1, low1, high1) {
    const [a, b] = [Math.ceil(x0), Math.floor(x1)];
    const slope = 1 / (x1 - x0);
    for (let x = Math.max(0, a); x <= Math.min(b, this.low.length - 1); x += 1) {
      const at = (x - x0) * slope;
      this.add(x, low0 + (low1 - low0) * at, high0 + (high1 - high0) * at);
    }
  }

  /** Add values that follow each other, `step` pixels apart from `x` on. Ends at what is not a number. */
  addLine(x, step, low, high, n) {
    for (let i = 0; i < n; i += 1, x += step) {
      if (Number.isNaN(low[i])) continue;
      this.add(Math.floor(x), low[i], high[i]);
      if (step > 1 && i && !Number.isNaN(low[i - 1])) {
        this.#bridge(x - step, low[i - 1], high[i - 1], x, low[i], high[i]);
      }
    }
  }

  /** Return the largest size of a value. */
  most() {
    let most = 0;
    for (let x = 0; x < this.low.length; x += 1) {
      if (-this.low[x] > most) most = -this.low[x];
      if (this.high[x] > most) most = this.high[x];
    }
    return most;
  }

  /** Write into pixels: neighbours touch, each is at least one line thick. `y` of 0 µV, `scale` in pixels per µV. */
  write(pixels, height, y, scale, colour, thick) {
    const width = this.low.length;
    let [above, below] = [NaN, NaN];
    for (let x = 0; x < width; x += 1) {
      if (Number.isNaN(this.low[x])) {
        above = below = NaN;
        continue;
      }
      let top = y - this.high[x] * scale;
      let bottom = y - this.low[x] * scale;
      const [ownTop, ownBottom] = [top, bottom];
      if (above > bottom) bottom = above;
      if (below < top) top = below;
      above = ownTop;
      below = ownBottom;
      const y0 = Math.max(0, Math.round(top - thick / 2));
      const y1 = Math.min(height, Math.max(y0 + 1, Math.round(bottom + thick / 2)));
      for (let at = y0; at < y1; at += 1) pixels[at * width + x] = colour;
    }
  }
}
