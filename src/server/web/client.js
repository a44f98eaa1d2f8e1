/* The page's end of /v1/realtime: one WebSocket that comes back by itself, and the conversation as the events tell it.
 *
 * A turn: {id, role, text, stable (bytes, while it may still be revised), final, pictures: [data URL], audio: [Int16Array], marks,
 * units, status, heard (ms of the answer that were played when it was interrupted; null: all), facts}.
 *
 * SPDX-License-Identifier: Apache-2.0 */
import {RATE, fromBase64, join, toBase64} from './audio.js';
import {talkName} from './history.js';

const KEPT_EVENTS = 500, KEPT_PIECES = 60 * 50 /* 60 s of microphone */, MOST_BUFFERED = 1 << 20;

export const bytesOf = s => new TextEncoder().encode(s).length;
export const newId = () => 'item_' + [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, '0')).join('');

export class Client {
  /* on: {link(state), turn(turn), turns(), notice(text), event(direction, event), play(turn, pcm), cut(turn)} */
  constructor(on) {
    this.on = on;
    this.turns = [];
    this.talk = talkName(); /* the conversation's name, where it is kept */
    this.options = {mode: 'free', pause: 500, aloud: true, instructions: ''};
    this.key = '';
    this.state = 'closed';
    this.tries = 0;
    this.answering = null; /* the assistant's turn that is being made */
    this.response = null;
    this.hearing = false;  /* the server says that the user speaks */
    this.sent = [];        /* microphone pieces, newest last */
    this.sentBefore = 0;   /* samples sent before sent[0] */
    this.ended = 0;        /* performance.now() at the end of the user's turn */
    this.waiting = [];     /* events for when the line is open */
  }

  /* ---- the line */

  connect() {
    clearTimeout(this.timer);
    if (this.socket) { this.socket.onclose = this.socket.onmessage = null; this.socket.close(); }
    this.link(this.tries ? 'lost' : 'connecting');
    const protocols = ['realtime'];
    if (this.key) protocols.push('openai-insecure-api-key.' + this.key);
    const url = new URL('v1/realtime', document.baseURI);
    url.protocol = url.protocol.replace('http', 'ws');
    this.socket = new WebSocket(url, protocols);
    this.socket.onmessage = e => this.take(JSON.parse(e.data));
    this.socket.onclose = () => this.lost();
  }
  lost() {
    this.socket = null;
    this.hearing = false;
    this.endAnswer('incomplete');
    for (const turn of this.turns) turn.final = true; /* nothing more comes of what was under way */
    this.tries++;
    this.link('lost');
    this.timer = setTimeout(() => this.connect(), Math.min(10000, 250 * 2 ** Math.min(6, this.tries)) * (0.75 + Math.random() / 2));
  }
  /* The server's side begins anew and is told this.turns. */
  restart() {
    this.tries = 0;
    this.endAnswer('incomplete');
    this.connect();
  }
  link(state) { this.state = state; this.on.link(state); }
  send(event) {
    if (!this.socket || this.socket.readyState !== 1 || this.state !== 'open') { this.waiting.push(event); return; }
    this.raw(event);
  }
  raw(event) {
    this.on.event('up', event);
    this.socket.send(JSON.stringify(event));
  }

  session() {
    const detection = this.options.mode === 'free'
      ? {type: 'server_vad', silence_duration_ms: this.options.pause, create_response: true, interrupt_response: true} : null;
    return {type: 'realtime', output_modalities: [this.options.aloud ? 'audio' : 'text'], instructions: this.options.instructions,
            audio: {input: {format: {type: 'audio/pcm', rate: RATE}, transcription: {model: 'default'}, turn_detection: detection},
                    output: {format: {type: 'audio/pcm', rate: RATE}}},
            stream_omni: {input_transcript: true, marks: true, units: true}};
  }
  configure() { if (this.state === 'open') this.raw({type: 'session.update', session: this.session()}); }

  opened() {
    this.tries = 0;
    this.raw({type: 'session.update', session: this.session()});
    for (const turn of this.turns) for (const item of this.items(turn)) this.raw({type: 'conversation.item.create', item});
    this.link('open');
    for (const event of this.waiting.splice(0)) this.raw(event);
  }
  /* A turn as the server is told of it. */
  items(turn) {
    if (turn.role === 'assistant') {
      const text = this.heardText(turn);
      return text ? [{id: turn.id, type: 'message', role: 'assistant', content: [{type: 'output_text', text}]}] : [];
    }
    const content = turn.pictures.map(image_url => ({type: 'input_image', image_url}));
    if (turn.audio.length && !turn.edited) content.push({type: 'input_audio', audio: toBase64(join(turn.audio)), transcript: turn.text});
    else if (turn.text) content.push({type: 'input_text', text: turn.text});
    return content.length ? [{id: turn.id, type: 'message', role: 'user', content}] : [];
  }

  /* ---- what the user does */

  /* A written turn, or pictures alone, which wait for the question. */
  say(text, pictures, answer) {
    const turn = this.add({id: newId(), role: 'user', text, pictures, final: true});
    for (const item of this.items(turn)) this.send({type: 'conversation.item.create', item});
    if (answer) this.ask();
    return turn;
  }
  ask() {
    this.ended = performance.now();
    this.send({type: 'response.create'});
  }
  piece(pcm) {
    if (this.state !== 'open' || this.socket.bufferedAmount > MOST_BUFFERED) return;
    this.sent.push(pcm);
    while (this.sent.length > KEPT_PIECES) this.sentBefore += this.sent.shift().length;
    this.raw({type: 'input_audio_buffer.append', audio: toBase64(pcm)});
  }
  clearAudio() { this.send({type: 'input_audio_buffer.clear'}); this.turnFrom = this.sentBefore + this.sent.reduce((n, p) => n + p.length, 0); }
  commit() {
    this.send({type: 'input_audio_buffer.commit'});
    this.ask();
  }
  /* Ends the answer; `played` ms of it were heard. */
  interrupt(played) {
    const turn = this.answering || this.turns.findLast(x => x.role === 'assistant');
    if (this.response) this.send({type: 'response.cancel'});
    if (turn) this.truncate(turn, played);
  }
  truncate(turn, played) {
    if (!turn.audio.length || turn.heard !== null) return;
    turn.heard = Math.min(played, turn.ms);
    this.send({type: 'conversation.item.truncate', item_id: turn.id, content_index: 0, audio_end_ms: Math.floor(turn.heard)});
    this.on.turn(turn);
  }
  /* Turn `at` anew with other words; what stood there stays as another version. */
  edit(at, text) {
    const old = this.turns.slice(at), versions = old[0].versions || {list: [old], at: 0};
    versions.list[versions.at] = old;
    old.talk = this.talk;
    this.talk = talkName(); /* what was kept stays as it was: this is another conversation with the same beginning */
    const turn = {...this.blank(), id: newId(), role: 'user', text, pictures: old[0].pictures, final: true, edited: true, versions};
    versions.at = versions.list.push([turn]) - 1;
    versions.list[versions.at].talk = this.talk;
    old[0].versions = versions;
    this.turns = [...this.turns.slice(0, at), turn];
    this.on.turns();
    this.restart();
    this.ask();
  }
  otherVersion(at) {
    const versions = this.turns[at].versions;
    versions.list[versions.at] = this.turns.slice(at);
    versions.list[versions.at].talk = this.talk;
    versions.at = (versions.at + 1) % versions.list.length;
    this.talk = versions.list[versions.at].talk || this.talk;
    this.turns = [...this.turns.slice(0, at), ...versions.list[versions.at]];
    this.on.turns();
    this.restart();
  }
  clear() { this.load(talkName(), []); }
  /* Goes on with a conversation: turns that were kept under the name `talk`. */
  load(talk, turns) {
    this.talk = talk;
    this.turns = turns.map(turn => ({...this.blank(), ...turn}));
    this.on.turns();
    this.restart();
  }

  /* ---- what the server tells */

  blank() {
    return {made: Date.now(), text: '', stable: null, final: false, pictures: [], audio: [], marks: [], units: [], ms: 0, status: 'in_progress', heard: null, facts: {}};
  }
  add(fields) {
    const turn = {...this.blank(), ...fields};
    this.turns.push(turn);
    this.on.turn(turn);
    return turn;
  }
  find(id) { return this.turns.find(x => x.id === id); }
  userTurn(id) { return this.find(id) || this.add({id, role: 'user', spoken: true}); }

  take(event) {
    this.on.event('down', event);
    const take = this['on ' + event.type];
    if (take) take.call(this, event);
  }
  'on session.created'() { this.opened(); }
  'on error'({error}) {
    this.toldError = true;
    if (['response_cancel_not_active', 'input_audio_buffer_commit_empty', 'nothing_heard'].includes(error.code)) return;
    this.on.notice(error.message);
  }
  'on input_audio_buffer.speech_started'({item_id, audio_start_ms}) {
    this.hearing = true;
    this.turnFrom = Math.round(audio_start_ms * RATE / 1000);
    this.on.cut();
    this.userTurn(item_id);
  }
  'on input_audio_buffer.speech_stopped'({item_id, audio_end_ms}) {
    this.hearing = false;
    this.ended = performance.now();
    this.keepAudio(this.userTurn(item_id), Math.round(audio_end_ms * RATE / 1000));
  }
  'on input_audio_buffer.committed'({item_id}) {
    const turn = this.userTurn(item_id);
    if (!turn.audio.length) this.keepAudio(turn, Infinity);
  }
  /* The microphone's samples from this.turnFrom to `end` belong to the turn. */
  keepAudio(turn, end) {
    let at = this.sentBefore;
    turn.audio = [];
    for (const p of this.sent) {
      const from = Math.max(0, (this.turnFrom || 0) - at), to = Math.min(p.length, end - at);
      if (to > from) turn.audio.push(p.subarray(from, to));
      at += p.length;
    }
    this.on.turn(turn);
  }
  'on stream_omni.input_transcript'({item_id, text, stable, final}) {
    const turn = this.userTurn(item_id);
    Object.assign(turn, {text, stable, live: true, final: !!final});
    this.on.turn(turn);
  }
  'on conversation.item.input_audio_transcription.delta'({item_id, delta}) {
    const turn = this.userTurn(item_id);
    if (turn.live || turn.final) return;
    turn.text += delta;
    this.on.turn(turn);
  }
  'on conversation.item.input_audio_transcription.completed'({item_id, transcript}) {
    const turn = this.userTurn(item_id);
    Object.assign(turn, {text: transcript, stable: null, final: true});
    this.on.turn(turn);
  }
  'on conversation.item.deleted'({item_id}) {
    this.turns = this.turns.filter(x => x.id !== item_id);
    this.on.turns();
  }
  'on response.created'({response}) {
    this.response = response.id;
    this.toldError = false;
  }
  'on response.output_item.added'({item}) {
    this.answering = this.add({id: item.id, role: 'assistant', asked: this.ended});
  }
  words({item_id, delta}) {
    const turn = this.find(item_id);
    if (!turn) return;
    if (!turn.text) turn.facts.text = performance.now() - turn.asked;
    turn.text += delta;
    this.on.turn(turn);
  }
  'on response.output_text.delta'(e) { this.words(e); }
  'on response.output_audio_transcript.delta'(e) { this.words(e); }
  'on response.output_audio.delta'({item_id, delta, stream_omni: mark}) {
    const turn = this.find(item_id);
    if (!turn || turn.heard !== null) return;
    const pcm = fromBase64(delta), end = turn.ms + pcm.length * 1000 / RATE, before = turn.marks.at(-1);
    turn.marks.push(mark || {begin_ms: turn.ms, end_ms: end, text_begin: before ? before.text_end : 0, text_end: bytesOf(turn.text)});
    turn.audio.push(pcm);
    turn.ms = end;
    this.on.play(turn, pcm);
  }
  'on response.done'({response}) {
    if (response.status === 'failed' && !this.toldError) this.on.notice(response.status_details?.error?.message || 'failed');
    this.endAnswer(response.status);
  }
  endAnswer(status) {
    const turn = this.answering;
    this.answering = this.response = null;
    if (!turn) return;
    turn.status = status;
    turn.final = true;
    this.on.turn(turn);
  }
  'on stream_omni.units'({item_id, units}) { this.find(item_id)?.units.push(...units); }
  'on stream_omni.timing'(e) {
    const turn = this.turns.findLast(x => x.role === 'assistant');
    if (turn) { Object.assign(turn.facts, {queue: e.queue_ms, rtf: e.audio_ms ? e.total_ms / e.audio_ms : 0}); this.on.turn(turn); }
  }

  /* ---- sound and words */

  /* Bytes of the answer's text that were spoken after `ms`. */
  bytesAt(turn, ms) {
    let bytes = 0;
    for (const m of turn.marks) {
      if (ms >= m.end_ms) { bytes = Math.max(bytes, m.text_end); continue; }
      if (ms > m.begin_ms) bytes = Math.max(bytes, m.text_begin + (m.text_end - m.text_begin) * (ms - m.begin_ms) / (m.end_ms - m.begin_ms));
      break;
    }
    return bytes;
  }
  heardText(turn) {
    if (turn.heard === null) return turn.text;
    const bytes = new TextEncoder().encode(turn.text).subarray(0, Math.floor(this.bytesAt(turn, turn.heard)));
    return new TextDecoder().decode(bytes).replace(/\ufffd+$/, '').replace(/\S+$/, '').trim();
  }

  export() {
    return {made: new Date().toISOString(), turns: this.turns.map(x => ({role: x.role, text: x.text, heard_ms: x.heard, pictures: x.pictures,
      audio: x.audio.length ? {rate: RATE, pcm16: toBase64(join(x.audio))} : null, marks: x.marks, units: x.units, facts: x.facts}))};
  }
}

export const KEPT = KEPT_EVENTS;
