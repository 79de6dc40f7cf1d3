/** The raster as a bitmap that is written once per pixel column and then only moved. */

import { pixel, rgb } from "./palette.js";

const TICK_CSS_PX = 2;
const USUAL_HZ = 10;
const SPARSE = 1;

/**
 * Spikes stand where their column begins, and are a tick wide where there is room.
 * Pixel column p covers samples [p·spp, (p+1)·spp) and lies at x = p mod width of the bitmap:
 *
 *      bitmap    [ newer │ older ]          shown    [ older │ newer ]
 *                        ^ (end mod width)
 */
export class Bitmap {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.ctx = this.canvas.getContext("2d");
    this.key = "";
    this.end = 0; // one behind the last pixel column that was written
  }

  /** Prepare for a size (device pixels), samples per pixel and colour; forget the picture if one has changed. */
  shape(width, height, spp, facts, colour, dpr) {
    const key = [width, height, spp, facts.session, facts.rows, facts.column_samples, colour, dpr].join("|");
    if (key === this.key) return;
    this.key = key;
    this.canvas.width = this.width = Math.max(1, width);
    this.canvas.height = this.height = Math.max(1, height);
    this.spp = spp;
    this.perColumn = facts.column_samples;
    this.tick = Math.max(1, Math.round(TICK_CSS_PX * dpr));
    this.end = 0;
    this.#rows(facts.rows);
    const channels = (facts.n / Math.max(1, facts.rows)) * Math.max(1, facts.rows / this.height);
    const usual = channels * Math.max(spp, this.perColumn) * (USUAL_HZ / facts.rate_hz);
    this.wider = usual < SPARSE || spp < this.perColumn ? this.tick - 1 : 0;
    this.#shades(rgb(colour), usual);
    this.sums = new Uint32Array(this.height);
  }

  /** Which pixels a row fills: with a hair between rows where there is room. */
  #rows(rows) {
    this.top = new Uint16Array(rows);
    this.bottom = new Uint16Array(rows);
    const each = this.height / Math.max(1, rows);
    const between = each >= 4 ? Math.max(1, Math.round(each * 0.22)) : 0;
    for (let r = 0; r < rows; r += 1) {
      this.top[r] = Math.min(this.height - 1, Math.floor(r * each + between / 2));
      this.bottom[r] = Math.max(this.top[r] + 1, Math.min(this.height, Math.floor((r + 1) * each - between / 2)));
    }
  }

  /** One spike is well visible; more are stronger, up to what a cell holds at a usual rate. */
  #shades(colour, usual) {
    const full = Math.max(2, usual);
    const one = Math.max(0.22, 0.9 - 0.12 * usual);
    this.shades = new Uint32Array(256);
    for (let n = 1; n < 256; n += 1) {
      const strength = Math.min(1, one + (1 - one) * Math.sqrt((n - 1) / full));
      this.shades[n] = pixel(colour, Math.round(255 * strength));
    }
  }

  /** Write the pixel columns up to a sample that are not written, or have changed. */
  paint(columns, now) {
    const target = Math.floor(now / this.spp);
    const changed = Math.floor((columns.changed * this.perColumn) / this.spp);
    columns.changed = Infinity;
    const whole = target < this.end || this.end === 0 || changed <= 0;
    if (whole) this.ctx.clearRect(0, 0, this.width, this.height);
    const from = Math.max(0, target - this.width, whole ? 0 : Math.min(this.end, changed));
    for (let p = from; p < target;) {
      const x = p % this.width;
      const n = Math.min(target - p, this.width - x);
      this.#write(columns, p, n, x);
      p += n;
    }
    this.end = target;
  }

  #write(columns, from, n, x) {
    const image = this.ctx.createImageData(n, this.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let k = 0; k < n; k += 1) this.#column(columns, from + k, pixels, k, n);
    this.ctx.putImageData(image, x, 0);
  }

  #column(columns, p, pixels, k, stride) {
    const { rows, counts, keep, first, end } = columns;
    const { sums, top, bottom, shades } = this;
    let low = Math.ceil(((p - this.wider) * this.spp) / this.perColumn);
    let high = Math.ceil(((p + 1) * this.spp) / this.perColumn);
    low = Math.max(low, first);
    high = Math.min(high, end);
    if (low >= high) return;
    sums.fill(0);
    let any = 0;
    for (let c = low; c < high; c += 1) {
      const at = (c % keep) * rows;
      for (let r = 0; r < rows; r += 1) {
        const value = counts[at + r];
        if (value) {
          sums[top[r]] += value;
          any = 1;
        }
      }
    }
    if (!any) return;
    for (let r = 0; r < rows; r += 1) {
      const sum = sums[top[r]];
      if (!sum) continue;
      const shade = shades[sum > 255 ? 255 : sum];
      for (let y = top[r]; y < bottom[r]; y += 1) pixels[y * stride + k] = shade;
    }
  }

  /** Draw the bitmap, its last column at the right edge. Device pixels. */
  blit(ctx, x, y) {
    const split = this.end % this.width;
    const left = this.width - split;
    if (left) ctx.drawImage(this.canvas, split, 0, left, this.height, x, y, left, this.height);
    if (split) ctx.drawImage(this.canvas, 0, 0, split, this.height, x + left, y, split, this.height);
  }
}
