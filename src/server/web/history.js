/* Conversations that are kept: by the server (/v1/history, where it does that) or by this browser (IndexedDB, if the user wants it).
 * Both places do the same: list, get, put, remove, clear. An item: {id, role, text, made_ms, heard_ms, blobs: [{type, data (base64)}]}.
 * A place says that something is kept only when it is. SPDX-License-Identifier: Apache-2.0 */
import {RATE, fromBase64, join, toBase64, wavBytes} from './audio.js';

/* ---- the server */

export class ServerHistory {
  constructor(key) { this.key = key; }
  async ask(method, path, body) {
    const headers = this.key() ? {Authorization: 'Bearer ' + this.key()} : {};
    if (body) headers['Content-Type'] = 'application/json';
    const r = await fetch('v1/history' + path, {method, headers, body: body && JSON.stringify(body)});
    const told = await r.json();
    if (!r.ok) throw new Error(told.error?.message || r.statusText);
    return told;
  }
  async list(words) {
    const {data} = await this.ask('GET', words ? '?q=' + encodeURIComponent(words) : '');
    return words ? data.map(x => ({id: x.conversation, title: x.title, changed_ms: x.made_ms, text: x.text})) : data;
  }
  get(id) { return this.ask('GET', `/${id}?whole=1`); }
  put(id, {id: item, ...fields}) { return this.ask('PUT', `/${id}/${item}`, fields); }
  remove(id) { return this.ask('DELETE', '/' + id); }
  clear() { return this.ask('DELETE', ''); }
}

/* ---- this browser */

const done = request => new Promise((yes, no) => { request.onsuccess = () => yes(request.result); request.onerror = () => no(request.error); });

export class BrowserHistory {
  open() {
    return this.opened ||= new Promise((yes, no) => {
      const request = indexedDB.open('stream-omni', 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('talks', {keyPath: 'id'});
        request.result.createObjectStore('items', {keyPath: ['talk', 'id']}).createIndex('by', ['talk', 'at']);
      };
      request.onsuccess = () => yes(request.result);
      request.onerror = () => { this.opened = null; no(request.error); };
    });
  }
  /* Runs `what` on both stores; resolves when all of it is on the disk. */
  async change(what) {
    const t = (await this.open()).transaction(['talks', 'items'], 'readwrite'), ended = new Promise((yes, no) => {
      t.oncomplete = yes;
      t.onabort = t.onerror = () => no(t.error);
    });
    await what(t.objectStore('talks'), t.objectStore('items'));
    await ended;
  }
  async all(store) { return done((await this.open()).transaction(store).objectStore(store).getAll()); }
  async list(words) {
    const talks = (await this.all('talks')).sort((a, b) => b.changed_ms - a.changed_ms);
    if (!words) return talks;
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean), title = new Map(talks.map(x => [x.id, x.title]));
    return (await this.all('items')).filter(x => wanted.every(w => x.text.toLowerCase().includes(w))).sort((a, b) => b.made_ms - a.made_ms)
      .map(x => ({id: x.talk, title: title.get(x.talk), changed_ms: x.made_ms, text: x.text}));
  }
  async get(id) {
    const db = await this.open(), talk = await done(db.transaction('talks').objectStore('talks').get(id));
    if (!talk) throw new Error('no such conversation');
    return {...talk, items: await done(db.transaction('items').objectStore('items').index('by').getAll(this.range(id)))};
  }
  range(id) { return IDBKeyRange.bound([id, 0], [id, Infinity]); }
  put(id, item) {
    return this.change(async (talks, items) => {
      const talk = await done(talks.get(id)) || {id, title: '', made_ms: item.made_ms, items: 0}, old = await done(items.get([id, item.id]));
      const {blobs, ...rest} = item;
      items.put({...old, ...rest, talk: id, at: old ? old.at : ++talk.items, blobs: blobs || old?.blobs || []});
      if (item.role === 'user') talk.title ||= item.text.slice(0, 80);
      talk.changed_ms = Math.max(talk.changed_ms || 0, item.made_ms);
      talks.put(talk);
    });
  }
  remove(id) {
    return this.change(async (talks, items) => {
      talks.delete(id);
      for (const key of await done(items.index('by').getAllKeys(this.range(id)))) items.delete(key);
    });
  }
  clear() { return this.change((talks, items) => { talks.clear(); items.clear(); }); }
}

/* ---- turns and items */

export const talkName = () => 'talk_' + [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, '0')).join('');

const encode = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const decode = text => new TextDecoder().decode(Uint8Array.from(atob(text), c => c.charCodeAt(0)));

/* The turn as an item; with its sound, pictures and alignment if `whole`. */
export function itemOf(turn, whole) {
  const item = {id: turn.id, role: turn.role, text: turn.text, made_ms: turn.made, heard_ms: turn.heard === null ? -1 : Math.round(turn.heard)};
  if (!whole) return item;
  item.blobs = turn.pictures.map(url => ({type: url.slice(5, url.indexOf(';')), data: url.slice(url.indexOf(',') + 1)}));
  if (turn.audio.length) {
    item.blobs.push({type: 'audio/wav', data: toBase64(wavBytes(join(turn.audio)))});
    item.blobs.push({type: 'application/json', data: encode(JSON.stringify({marks: turn.marks, units: turn.units}))});
  }
  return item;
}

/* The fields of a turn. */
export function turnOf(item) {
  const turn = {id: item.id, role: item.role, text: item.text, made: item.made_ms, final: true, status: 'completed', pictures: [], audio: [],
                marks: [], units: [], heard: item.heard_ms < 0 ? null : item.heard_ms, announced: true};
  for (const {type, data} of item.blobs || []) {
    if (type.startsWith('image/')) turn.pictures.push(`data:${type};base64,${data}`);
    else if (type === 'audio/wav') turn.audio = [fromBase64(data).subarray(22)]; /* behind the head of wavBytes */
    else if (type === 'application/json') Object.assign(turn, JSON.parse(decode(data)));
  }
  turn.spoken = turn.audio.length > 0;
  turn.ms = turn.spoken ? turn.audio[0].length * 1000 / RATE : 0;
  return turn;
}

/* Keeps a client's turns, in their order, at its place; what could not be kept is tried again with the next. */
export class Keeper {
  constructor(client, failed) { Object.assign(this, {client, failed, place: null, busy: false}); }
  async note() {
    if (this.busy || !this.place) return;
    this.busy = true;
    try {
      for (let next; this.place && (next = this.next());) {
        const {turn, talk, said, shown} = next, before = (turn.kept ||= {})[talk];
        await this.place.put(talk, itemOf(turn, before?.shown !== shown));
        turn.kept[talk] = {said, shown};
      }
    } catch (e) {
      this.failed(e.message);
    }
    this.busy = false;
  }
  /* The first turn of which something is not kept, up to the first that is not complete. */
  next() {
    const talk = this.client.talk;
    for (const turn of this.client.turns) {
      if (!turn.final) return null;
      const said = turn.text + '|' + turn.heard, shown = [turn.audio.length, turn.pictures.length, turn.units.length].join(), kept = turn.kept?.[talk];
      const something = turn.text || turn.audio.length || turn.pictures.length;
      if (something && (kept?.said !== said || kept?.shown !== shown)) return {turn, talk, said, shown};
    }
    return null;
  }
}
