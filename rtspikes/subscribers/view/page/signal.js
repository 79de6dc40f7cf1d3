/** Traces and spikes of the selected electrodes, for as long as a trace is wide. */

const KEPT_S = 6;

const LIST = () => ({ runs: [], spikes: [] });

export class Signals {
  constructor(rate_hz) {
    this.rate_hz = rate_hz;
    this.by = new Map();
    this.end = 0; // one behind the newest sample that is known of any electrode
  }

  /** Forget what is not selected any more. */
  keep(channels) {
    for (const channel of this.by.keys()) if (!channels.includes(channel)) this.by.delete(channel);
    for (const channel of channels) if (!this.by.has(channel)) this.by.set(channel, LIST());
  }

  forget() {
    for (const channel of this.by.keys()) this.by.set(channel, LIST());
    this.end = 0;
  }

  of(channel) {
    return this.by.get(channel) ?? LIST();
  }

  /** Return these signals as they are at this moment, for a picture that stands still. */
  still() {
    const copy = new Signals(this.rate_hz);
    copy.end = this.end;
    for (const [channel, list] of this.by) copy.by.set(channel, { runs: [...list.runs], spikes: [...list.spikes] });
    return copy;
  }

  /** Take a `detail` message; arrays are copied, since they would keep the whole message alive. */
  take(message, before) {
    const { low, high, spike_channel, spike_sample, spike_amplitude, spike_waveform } = message.arrays;
    for (const run of message.runs ?? []) {
      const list = this.by.get(run.channel);
      if (!list || !run.n) continue;
      list.runs.push({
        sample: run.sample,
        bin: run.bin,
        n: run.n,
        low: low.slice(run.at, run.at + run.n),
        high: high.slice(run.at, run.at + run.n),
      });
      this.end = Math.max(this.end, run.sample + run.n * run.bin);
    }
    const m = spike_channel?.length ?? 0;
    const width = m ? spike_waveform.length / m : 0;
    for (let i = 0; i < m; i += 1) {
      const list = this.by.get(spike_channel[i]);
      if (!list) continue;
      list.spikes.push({
        sample: spike_sample[i],
        from: spike_sample[i] - before,
        amplitude: spike_amplitude[i],
        wave: spike_waveform.slice(i * width, (i + 1) * width),
      });
    }
    this.trim();
  }

  trim() {
    for (const list of this.by.values()) {
      const { runs, spikes } = list;
      const newest = Math.max(this.end, spikes.at(-1)?.sample ?? 0);
      const oldest = newest - KEPT_S * this.rate_hz;
      let r = 0;
      while (r < runs.length && runs[r].sample + runs[r].n * runs[r].bin < oldest) r += 1;
      if (r) runs.splice(0, r);
      let s = 0;
      while (s < spikes.length && spikes[s].sample < oldest) s += 1;
      if (s) spikes.splice(0, s);
    }
  }
}
