/* Sound in and out of the page: the microphone at 24 kHz in pieces of 20 ms, and a ring that plays 24 kHz.
 *
 * Both resample between 24 kHz and the context's own rate with a windowed sinc (TAPS taps, PHASES phases, linear between
 * phases), so that any rate is right. Nothing is allocated while sound runs except the pieces that are handed over.
 *
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

const RATE = 24000, TAPS = 48, PHASES = 64;

/* rows[p][t]: weight of tap t when the wanted instant lies p / PHASES behind the middle. `cut` is the pass band, in parts of
 * the source's band. */
function sincRows(cut) {
  const rows = [];
  for (let p = 0; p <= PHASES; p++) {
    const row = new Float32Array(TAPS);
    let sum = 0;
    for (let t = 0; t < TAPS; t++) {
      const x = t - TAPS / 2 + 1 - p / PHASES, w = Math.abs(x) < TAPS / 2 ? 0.5 + 0.5 * Math.cos(2 * Math.PI * x / TAPS) : 0;
      row[t] = (x === 0 ? cut : Math.sin(Math.PI * cut * x) / (Math.PI * x)) * w;
      sum += row[t];
    }
    for (let t = 0; t < TAPS; t++) row[t] /= sum;
    rows.push(row);
  }
  return rows;
}

/* Samples at `from` Hz in, samples at `to` Hz out, one at a time. */
class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.rows = sincRows(Math.min(1, to / from) * 0.94);
    this.line = new Float32Array(2 * TAPS); /* the last TAPS samples, written twice so that they always lie in a row */
    this.at = 0;
    this.due = 0; /* source samples until the next output */
  }
  push(v) {
    this.line[this.at] = this.line[this.at + TAPS] = v;
    this.at = (this.at + 1) % TAPS;
    this.due -= 1;
  }
  get ready() { return this.due <= 0; }
  pull() {
    const back = -this.due, p = Math.min(PHASES, (1 - Math.min(1, back)) * PHASES), i = Math.floor(p), f = p - i;
    const a = this.rows[i], b = this.rows[Math.min(PHASES, i + 1)], line = this.line, o = this.at;
    let y = 0;
    for (let t = 0; t < TAPS; t++) y += line[o + t] * (a[t] + (b[t] - a[t]) * f);
    this.due += this.step;
    return y;
  }
}

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.piece = new Int16Array(RATE / 50);
    this.n = 0;
    this.square = 0;
  }
  process(inputs) {
    const x = inputs[0] && inputs[0][0];
    if (!x) return true;
    for (let i = 0; i < x.length; i++) {
      this.resampler.push(x[i]);
      while (this.resampler.ready) this.put(this.resampler.pull());
    }
    return true;
  }
  put(v) {
    const y = Math.max(-1, Math.min(1, v));
    this.square += y * y;
    this.piece[this.n++] = y * 32767;
    if (this.n < this.piece.length) return;
    this.port.postMessage({pcm: this.piece, level: Math.sqrt(this.square / this.n)});
    this.piece = new Int16Array(this.piece.length);
    this.n = this.square = 0;
  }
}

/* Messages in: Int16Array to play; {begin: key} the samples that follow belong to key; 'flush' throws away what is not played;
 * {gain: g}. Out: {key, played (samples of key), queued, underruns} every 20 ms while something plays or changes. */
class Play extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(RATE * 120);
    this.w = this.r = 0;
    this.resampler = new Resampler(RATE, sampleRate);
    this.marks = []; /* {key, at}: key begins at sample `at` */
    this.key = null;
    this.from = 0;
    this.running = false;
    this.lead = 0.06; /* seconds in hand before the first sound; grows with every underrun */
    this.underruns = 0;
    this.fade = 0; /* output samples left of a fade-out */
    this.fadeAll = Math.round(sampleRate * 0.005);
    this.gain = this.wanted = 1;
    this.told = 0;
    this.waited = 0;
    this.energy = 0;
    this.port.onmessage = e => this.take(e.data);
  }
  take(m) {
    if (m === 'flush') {
      this.fade = this.running ? this.fadeAll : 0;
      if (!this.fade) this.drop();
    } else if (m instanceof Int16Array) {
      const room = this.ring.length - (this.w - this.r);
      for (let i = 0; i < Math.min(room, m.length); i++) this.ring[this.w++ % this.ring.length] = m[i] / 32768;
    } else if (m.begin !== undefined) {
      this.marks.push({key: m.begin, at: this.w});
    } else if (m.gain !== undefined) {
      this.wanted = m.gain;
    }
  }
  drop() {
    this.tell(true);
    this.r = this.w;
    this.marks = [];
    this.running = false;
    this.waited = 0;
  }
  pass() {
    while (this.marks.length && this.marks[0].at <= this.r) {
      const m = this.marks.shift();
      this.key = m.key;
      this.from = m.at;
    }
  }
  tell(flushed) {
    this.pass();
    this.port.postMessage({key: this.key, played: this.r - this.from, queued: this.w - this.r, underruns: this.underruns,
                           energy: this.energy, flushed: !!flushed});
    this.told = currentTime;
  }
  next() {
    while (!this.resampler.ready && this.r < this.w) this.resampler.push(this.ring[this.r++ % this.ring.length]);
    return this.resampler.ready ? this.resampler.pull() : null;
  }
  process(_, outputs) {
    const y = outputs[0][0], have = this.w - this.r;
    if (!this.running && have > 0) {
      /* A short answer never fills the lead: it starts when nothing more has come for that long. */
      this.waited += y.length / sampleRate;
      if (have >= this.lead * RATE || this.waited > this.lead) this.running = true;
    }
    for (let i = 0; i < y.length; i++) {
      let v = this.running ? this.next() : 0;
      if (v === null) {
        this.running = false;
        this.waited = 0;
        v = 0;
        this.port.postMessage({key: this.key, dry: true});
      }
      this.gain += (this.wanted - this.gain) * 0.002;
      v *= this.gain;
      if (this.fade) {
        v *= this.fade / this.fadeAll;
        if (--this.fade === 0) this.drop();
      }
      y[i] = v;
      this.energy += v * v;
    }
    if (this.running && currentTime - this.told > 0.02) this.tell(false);
    return true;
  }
}

registerProcessor('capture', Capture);
registerProcessor('play', Play);
