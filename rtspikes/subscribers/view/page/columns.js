/** What the raster holds: spikes per column and row, in a ring over the newest columns. */

export class Columns {
  constructor(rows, keep) {
    this.rows = rows;
    this.keep = Math.max(1, keep);
    this.counts = new Uint8Array(this.rows * this.keep);
    this.rates = new Uint32Array(this.keep);
    this.clear();
  }

  clear() {
    this.first = 0;
    this.end = 0; // one behind the newest column
    this.changed = 0; // oldest column that was written since the bitmap was
    this.counts.fill(0);
    this.rates.fill(0);
  }

  /** Put k columns from an absolute index on; those that were skipped are empty. Return how many spikes are new. */
  put(from, counts, rates) {
    const k = rates.length;
    if (!k) return 0;
    if (this.end === 0 || from + k <= this.first) {
      this.clear();
      this.first = this.end = from;
    }
    for (let c = Math.max(this.end, from - this.keep); c < from; c += 1) this.#write(c, null, 0);
    let added = 0;
    for (let i = 0; i < k; i += 1) {
      const known = from + i >= this.first && from + i < this.end ? this.rates[(from + i) % this.keep] : 0;
      added += rates[i] - known;
      this.#write(from + i, counts.subarray(i * this.rows, (i + 1) * this.rows), rates[i]);
    }
    this.end = Math.max(this.end, from + k);
    this.first = Math.max(Math.min(this.first, from), this.end - this.keep);
    this.changed = Math.min(this.changed, from);
    return added;
  }

  #write(column, counts, rate) {
    const slot = column % this.keep;
    const at = slot * this.rows;
    if (counts) this.counts.set(counts, at);
    else this.counts.fill(0, at, at + this.rows);
    this.rates[slot] = rate;
  }

  /** Return spikes of all channels in columns [from, to), as far as they are kept. */
  sum(from, to) {
    let total = 0;
    for (let c = Math.max(from, this.first); c < Math.min(to, this.end); c += 1) total += this.rates[c % this.keep];
    return total;
  }
}
