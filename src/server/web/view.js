/* Turns as elements. Text goes in as text only: what a model writes is never markup.
 * SPDX-License-Identifier: Apache-2.0 */
import {join} from './audio.js';
import {bytesOf} from './client.js';
import {getLanguage, t} from './strings.js';

export function make(tag, fields = {}, ...inside) {
  const {dataset, ariaLabel, ...rest} = fields, e = Object.assign(document.createElement(tag), rest);
  Object.assign(e.dataset, dataset);
  if (ariaLabel) e.setAttribute('aria-label', ariaLabel); /* not every browser reflects it */
  e.append(...inside);
  return e;
}

/* Words with the byte at which each ends; graphemes where a language has no spaces. */
function segments(text) {
  const list = [], encode = s => bytesOf(s);
  let at = 0;
  const parts = 'Segmenter' in Intl ? [...new Intl.Segmenter(getLanguage(), {granularity: 'word'}).segment(text)].map(x => x.segment)
                                    : text.split(/(\s+)/).filter(Boolean);
  for (const part of parts) {
    at += encode(part);
    list.push({part, end: at});
  }
  return list;
}

export class TurnView {
  /* act(name, turn): replay, edit, save, alignment, version */
  constructor(turn, act) {
    this.turn = turn;
    this.act = act;
    this.text = make('p', {dir: 'auto'});
    this.card = make('div', {className: 'card'});
    this.who = make('span', {className: 'who'});
    this.facts = make('span', {className: 'facts'});
    this.tools = make('div', {className: 'tools'});
    this.root = make('div', {className: 'turn ' + turn.role}, this.who, this.card, this.facts, this.tools);
    this.card.append(this.text);
    this.shown = null;
    this.lit = 0;
  }

  update() {
    const turn = this.turn, user = turn.role === 'user';
    this.who.textContent = t(user ? 'you' : 'it');
    this.pictures();
    if (user) this.userText();
    else this.answerText();
    this.factLine();
    this.toolRow();
  }
  pictures() {
    const have = this.card.querySelectorAll('img').length;
    for (const src of this.turn.pictures.slice(have)) this.card.insertBefore(make('img', {src, alt: t('alt')}), this.text);
  }
  userText() {
    const turn = this.turn;
    if (turn.final || turn.stable === null) {
      this.text.textContent = turn.text || (turn.final && turn.spoken ? t('nothing') : '');
      return;
    }
    const bytes = new TextEncoder().encode(turn.text), decode = b => new TextDecoder().decode(b);
    this.text.replaceChildren(decode(bytes.subarray(0, turn.stable)),
                              make('span', {className: 'unsure', textContent: decode(bytes.subarray(turn.stable))}));
  }
  answerText() {
    const turn = this.turn;
    if (this.shown !== turn.text) {
      this.shown = turn.text;
      this.words = segments(turn.text);
      this.text.replaceChildren(...this.words.map(w => w.span = make('span', {textContent: w.part})));
      const lit = this.lit;
      this.lit = 0;
      this.light(lit);
    }
    if (turn.heard !== null) this.strike();
  }
  /* Words up to byte `bytes` are spoken. */
  light(bytes) {
    this.lit = Math.max(this.lit, bytes);
    for (const w of this.words || []) if (w.end <= this.lit + 0.5) w.span.classList.add('said');
  }
  strike() {
    const heard = this.turn.heardBytes ?? 0;
    for (const w of this.words || []) w.span.classList.toggle('unheard', w.end > heard + 0.5);
    if (!this.until) this.root.insertBefore(this.until = make('span', {className: 'facts', textContent: t('heard')}), this.facts);
  }
  factLine() {
    const f = this.turn.facts, ms = x => Math.round(x), line = [];
    if (f.text !== undefined && f.sound !== undefined) line.push(t('facts', ms(f.text), ms(f.sound)));
    if (f.queue) line.push(t('queue', ms(f.queue)));
    if (f.rtf) line.push(t('rtf', f.rtf.toFixed(2)));
    if (f.underruns) line.push(t('dropped', f.underruns));
    this.facts.textContent = line.join(' · ');
  }
  toolRow() {
    const turn = this.turn, names = [];
    if (turn.final && turn.audio.length) names.push('replay', 'save');
    if (turn.final && turn.role === 'assistant' && turn.audio.length) names.push('alignment');
    if (turn.final && turn.role === 'user' && turn.text) names.push('edit');
    const key = names.join() + (turn.versions ? turn.versions.at + '/' + turn.versions.list.length : '') + getLanguage();
    if (this.toolKey === key) return;
    this.toolKey = key;
    const buttons = names.map(name => make('button', {type: 'button', textContent: t(name), onclick: () => this.act(name, turn)}));
    if (turn.versions) buttons.push(make('button', {type: 'button', title: t('other'), textContent: t('branch', turn.versions.at + 1, turn.versions.list.length),
                                                     onclick: () => this.act('version', turn)}));
    this.tools.replaceChildren(...buttons);
  }

  /* The answer's waveform, which words it speaks where, and its units, on demand. */
  alignment() {
    if (this.canvas) { this.canvas.remove(); this.canvas = null; return; }
    const turn = this.turn;
    this.canvas = make('canvas', {width: 1400, height: 300});
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', `${t('alignment')}: ${turn.text} (${t('seconds', (turn.ms / 1000).toFixed(1))}, ${turn.units.length} ${t('units')})`);
    this.card.append(this.canvas);
    drawAlignment(this.canvas, turn);
  }
}

function drawAlignment(canvas, turn) {
  const g = canvas.getContext('2d'), style = getComputedStyle(document.documentElement), colour = n => style.getPropertyValue(n).trim();
  const pcm = join(turn.audio), w = canvas.width, x = ms => ms / turn.ms * w, bytes = new TextEncoder().encode(turn.text);
  g.fillStyle = colour('--main');
  for (let i = 0; i < w; i++) {
    let most = 0;
    for (let k = Math.floor(i * pcm.length / w); k < (i + 1) * pcm.length / w; k += 4) most = Math.max(most, Math.abs(pcm[k]));
    const h = most / 32768 * 80;
    g.fillRect(i, 90 - h, 1, 2 * h + 1);
  }
  g.strokeStyle = colour('--line');
  g.fillStyle = colour('--fg');
  g.font = '22px system-ui';
  let shown = 0, line = 0;
  for (const m of turn.marks) {
    if (m.text_end <= shown) continue;
    const word = new TextDecoder().decode(bytes.subarray(shown, m.text_end)).trim();
    g.beginPath(); g.moveTo(x(m.begin_ms), 0); g.lineTo(x(m.begin_ms), 240); g.stroke();
    g.fillText(word, x(m.begin_ms) + 3, 200 + 26 * (line++ % 2), Math.max(40, 2 * (x(m.end_ms) - x(m.begin_ms))));
    shown = m.text_end;
  }
  const n = turn.units.length;
  for (let i = 0; i < n; i++) {
    g.fillStyle = `hsl(${turn.units[i] * 137 % 360} 60% 50%)`;
    g.fillRect(i * w / n, 262, Math.max(1, w / n - 1), 30);
  }
}
