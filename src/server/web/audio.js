/* One AudioContext, made inside a click and kept; microphone in, voice out, both through worklets (worklet.js).
 * SPDX-License-Identifier: Apache-2.0 */

export const RATE = 24000;

/* Whether this page may ask for a microphone at all: browsers give it to https and localhost only. */
export const mayListen = () => isSecureContext && !!navigator.mediaDevices && typeof AudioWorkletNode === 'function';

export class Sound {
  /* onpiece({pcm, level}) every 20 ms of microphone; onplay({key, played, queued, underruns, flushed}); onstate(text). */
  constructor({onpiece, onplay, onstate}) {
    Object.assign(this, {onpiece, onplay, onstate});
    this.context = null;
    this.stream = null;
    this.muted = false;
    this.speaking = false;
    this.underruns = 0;
    this.early = []; /* messages to the player while it is still being loaded */
    this.done = new Set(); /* keys of answers that are complete: running dry behind them is no underrun */
  }

  /* To be called synchronously in a click, before anything is awaited: phones allow sound only then. */
  wake() {
    if (!this.context) {
      this.context = new AudioContext({latencyHint: 'interactive'});
      this.context.onstatechange = () => this.onstate(this.context.state);
      const again = () => { if (this.context.state !== 'running') this.context.resume().catch(() => {}); };
      document.addEventListener('visibilitychange', again);
      document.addEventListener('pointerdown', again);
      const silence = this.context.createBufferSource();
      silence.buffer = this.context.createBuffer(1, 128, this.context.sampleRate);
      silence.connect(this.context.destination);
      silence.start();
      this.loaded = this.context.audioWorklet ? this.load() : Promise.reject(new Error('AudioWorklet'));
      this.loaded.catch(() => {});
    }
    this.context.resume().catch(() => {});
    return this.loaded;
  }

  async load() {
    await this.context.audioWorklet.addModule('worklet.js');
    this.player = new AudioWorkletNode(this.context, 'play', {numberOfInputs: 0, outputChannelCount: [1]});
    this.player.port.onmessage = e => this.played(e.data);
    this.player.connect(this.context.destination);
    for (const m of this.early.splice(0)) this.player.port.postMessage(m);
  }
  post(m) {
    if (this.player) this.player.port.postMessage(m);
    else this.early.push(m);
  }

  played(m) {
    if (m.dry) {
      this.speaking = false;
      if (!this.done.has(m.key)) this.underruns++;
      this.onplay({key: m.key, dry: true, ended: this.done.has(m.key), underruns: this.underruns});
      return;
    }
    this.speaking = !m.flushed && m.queued > 0;
    this.onplay({...m, underruns: this.underruns});
  }

  async listen(device) {
    await this.wake();
    /* No noise suppression: it is made for people's ears, and the model loses words by it that it hears without. */
    const audio = {echoCancellation: true, noiseSuppression: false, autoGainControl: true, channelCount: 1};
    if (device) audio.deviceId = {exact: device};
    const stream = await navigator.mediaDevices.getUserMedia({audio});
    this.hush();
    this.stream = stream;
    this.source = this.context.createMediaStreamSource(stream);
    this.capture = new AudioWorkletNode(this.context, 'capture', {numberOfOutputs: 0});
    this.capture.port.onmessage = e => { if (!this.muted) this.onpiece(e.data); };
    this.source.connect(this.capture);
    stream.getAudioTracks()[0].onended = () => this.onstate('unplugged');
  }

  hush() {
    if (!this.stream) return;
    for (const track of this.stream.getTracks()) { track.onended = null; track.stop(); }
    this.source.disconnect();
    this.capture.port.onmessage = null;
    this.stream = this.source = this.capture = null;
  }

  get listening() { return !!this.stream; }
  begin(key) { this.post({begin: key}); }
  play(pcm) { this.post(pcm); this.speaking = true; }
  finish(key) { this.done.add(key); }
  flush() { this.early = []; this.post('flush'); this.speaking = false; }
}

/* ---- bytes */

export function toBase64(pcm) {
  const bytes = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  let s = '';
  for (let i = 0; i < bytes.length; i += 0x8000) s += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(s);
}

export function fromBase64(text) {
  const s = atob(text), bytes = new Uint8Array(s.length & ~1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = s.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}

export function join(pieces) {
  const all = new Int16Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of pieces) { all.set(p, at); at += p.length; }
  return all;
}

/* 16-bit mono WAV: as a file, and as the 16-bit words of one. */
export const wav = pcm => new Blob([wavBytes(pcm)], {type: 'audio/wav'});
export function wavBytes(pcm, rate = RATE) {
  const head = new DataView(new ArrayBuffer(44)), text = (at, s) => [...s].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, 'RIFF'); head.setUint32(4, 36 + pcm.byteLength, true); text(8, 'WAVEfmt ');
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  text(36, 'data'); head.setUint32(40, pcm.byteLength, true);
  const all = new Int16Array(22 + pcm.length);
  all.set(new Int16Array(head.buffer));
  all.set(pcm, 22);
  return all;
}
