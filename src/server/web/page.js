/* stream-omni's page: talk to a picture. Wires the microphone (audio.js), the line (client.js) and what is seen (view.js).
 * SPDX-License-Identifier: Apache-2.0 */
import {Sound, join, mayListen, wav} from './audio.js';
import {Client, KEPT} from './client.js';
import {BrowserHistory, Keeper, ServerHistory, turnOf} from './history.js';
import {TurnView, make} from './view.js';
import {getLanguage, setLanguage, t, translate} from './strings.js';

const $ = id => document.getElementById(id), MOST_SIDE = 2048, FRAMES_TO_CUT = 7;
const views = new Map(), pictures = [], log = [];
const stats = window.stats = {sent: 0, played: 0, energy: 0, underruns: 0, answers: 0, cuts: 0, early: 0, links: 0, level: 0};
let talking = false, pushing = false, loud = 0, floor = 0.01, playedOf = {}, welcomed = false, about = null;

/* ---- the conversation */

const client = new Client({
  link(state) {
    const e = $('link');
    e.dataset.state = state;
    e.textContent = t(state);
    stats.state = state;
    if (state === 'open') { stats.links++; keeper.note(); }
    if (state === 'lost') sound.flush();
    now();
  },
  turn(turn) {
    let view = views.get(turn.id);
    if (!view) {
      views.set(turn.id, view = new TurnView(turn, act));
      place();
    }
    view.turn = turn;
    if (client.hearing && turn.role === 'user' && turn.text && !turn.final) stats.early++;
    if (turn.heard !== null) turn.heardBytes = client.bytesAt(turn, turn.heard);
    const low = atBottom();
    view.update();
    if (low) toBottom();
    if (turn.final && !turn.announced && turn.text) {
      turn.announced = true;
      $('spoken').textContent = `${t(turn.role === 'user' ? 'you' : 'it')}: ${turn.text}`;
      if (turn.role === 'assistant') stats.answers++;
    }
    if (turn.final && turn.role === 'assistant') sound.finish(turn.id);
    keeper.note();
    now();
  },
  turns() {
    for (const [id, view] of views) if (!client.find(id)) { view.root.remove(); views.delete(id); }
    for (const turn of client.turns) {
      if (!views.has(turn.id)) views.set(turn.id, new TurnView(turn, act));
      views.get(turn.id).update();
    }
    place();
    keeper.note();
  },
  notice: text => notice(make('p', {textContent: t('failed', text)})),
  event: record,
  play(turn, pcm) {
    if (!client.options.aloud || client.options.silent) return;
    if (turn.audio.length === 1) {
      sound.wake();
      sound.begin(turn.id);
      turn.underrunsBefore = sound.underruns;
    }
    sound.play(pcm);
    now();
  },
  cut() { cut(); }
});

/* Elements stand in the order of the turns. */
function place() {
  const log = $('log');
  client.turns.forEach((turn, i) => {
    const e = views.get(turn.id)?.root;
    if (e && log.children[i] !== e) log.insertBefore(e, log.children[i] || null);
  });
  welcomed = welcomed || client.turns.length > 0;
  $('welcome').hidden = client.turns.length > 0;
}
const scroller = document.querySelector('main');
const atBottom = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
const toBottom = () => { scroller.scrollTop = scroller.scrollHeight; };

function act(name, turn) {
  const at = client.turns.indexOf(turn);
  if (name === 'replay') {
    cut();
    sound.wake().then(() => { sound.begin('replay ' + turn.id); sound.play(join(turn.audio)); sound.finish('replay ' + turn.id); });
  } else if (name === 'save') {
    download(wav(join(turn.audio)), turn.role + '.wav');
  } else if (name === 'alignment') {
    views.get(turn.id).alignment();
  } else if (name === 'version') {
    cut();
    client.otherVersion(at);
  } else if (name === 'edit') {
    $('text').value = turn.text;
    $('text').dataset.edit = turn.id;
    $('text').focus();
  }
}

function download(blob, name) {
  const a = make('a', {href: URL.createObjectURL(blob), download: name});
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

/* ---- what is kept */

const places = {server: new ServerHistory(() => client.key), browser: new BrowserHistory(), off: null};
const keeper = new Keeper(client, text => notice(make('p', {textContent: t('notkept', text)})));
/* Where: what was chosen; if nothing was, the server that offers it. A server that does not cannot. */
const keepAt = chosen => chosen === 'server' && !about?.history ? 'off' : chosen || (about?.history ? 'server' : 'off');

async function past() {
  const where = $('o-keep').value;
  $('pastwhere').textContent = t('past' + where);
  $('pastsearch').hidden = $('pastclear').hidden = !keeper.place;
  $('pastclear').textContent = t('clear');
  if (!$('past').open) $('past').showModal();
  try {
    const list = keeper.place ? await keeper.place.list($('pastsearch').value.trim()) : [];
    $('pastlist').replaceChildren(...list.map(pastEntry));
    if (!list.length && keeper.place) $('pastlist').append(make('li', {textContent: t('pastnone')}));
  } catch (e) {
    $('pastlist').replaceChildren(make('li', {textContent: t('failed', e.message)}));
  }
}
function pastEntry({id, title, text, changed_ms}) {
  const when = new Date(changed_ms).toLocaleString(getLanguage(), {dateStyle: 'medium', timeStyle: 'short'});
  const button = (name, act) => make('button', {type: 'button', className: 'plain', textContent: t(name), onclick: act});
  const remove = button('remove1', async () => {
    if (remove.textContent !== t('sure')) { remove.textContent = t('sure'); return; }
    await keeper.place.remove(id);
    if (client.talk === id) client.clear();
    past();
  });
  return make('li', {}, make('button', {type: 'button', className: 'entry', onclick: () => resume(id)},
    make('span', {dir: 'auto', textContent: text || title || t('untitled')}), make('span', {className: 'small', textContent: when})),
    make('span', {className: 'row'}, button('save', () => savePast(id, 'wav')), button('json', () => savePast(id, 'json')), remove));
}
async function resume(id) {
  cut();
  const turns = (await keeper.place.get(id)).items.map(turnOf);
  for (const turn of turns) turn.kept = {[id]: {said: turn.text + '|' + turn.heard, shown: [turn.audio.length, turn.pictures.length, turn.units.length].join()}};
  client.load(id, turns);
  $('past').close();
  toBottom();
}
async function savePast(id, kind) {
  const talk = await keeper.place.get(id);
  if (kind === 'json') download(new Blob([JSON.stringify(talk)], {type: 'application/json'}), 'conversation.json');
  else download(wav(join(talk.items.map(turnOf).flatMap(x => x.audio.length ? [...x.audio, new Int16Array(12000)] : []))), 'conversation.wav');
}

/* ---- sound */

const sound = new Sound({
  onpiece({pcm, level}) {
    stats.level = level;
    $('level').value = Math.min(1, level * 4);
    floor = level < floor ? floor * 0.9 + level * 0.1 : Math.min(0.05, floor * 1.002 + 1e-5);
    const speaks = sound.speaking;
    if (speaks && talking && client.options.mode === 'free') localCut(level);
    else loud = 0;
    if (speaks && client.options.half) return;
    if (talking || pushing) { client.piece(pcm); stats.sent += pcm.length; }
  },
  onplay(m) {
    stats.underruns = m.underruns;
    if (m.energy !== undefined) stats.energy = m.energy;
    if (m.played !== undefined) {
      playedOf[m.key] = m.played / 24;
      stats.played = Math.max(stats.played, m.played);
    }
    const turn = client.find(m.key);
    if (turn && m.played) {
      if (turn.facts.sound === undefined) { turn.facts.sound = performance.now() - turn.asked; views.get(turn.id).update(); }
      views.get(turn.id).light(client.bytesAt(turn, m.played / 24));
    }
    if (turn && m.dry && m.ended) {
      turn.facts.underruns = m.underruns - turn.underrunsBefore;
      views.get(turn.id).light(Infinity);
      views.get(turn.id).update();
    }
    now();
  },
  onstate(state) {
    if (state === 'unplugged') { notice(make('p', {textContent: t('unplugged')})); stopTalking(); }
  }
});

/* The user speaks over the answer: no waiting for the server. Louder than the room, and than what the echo canceller lets through. */
function localCut(level) {
  loud = level > Math.max(0.06, 5 * floor) ? loud + 1 : 0;
  if (loud >= FRAMES_TO_CUT) { loud = 0; cut(); }
}

/* Ends what is heard, and tells how far it came. */
function cut() {
  const turn = client.answering || client.turns.findLast(x => x.role === 'assistant');
  const sounding = sound.speaking || (client.response && turn?.audio.length);
  sound.flush();
  if (!turn || !sounding) { if (client.response && client.answering) client.interrupt(0); return; }
  stats.cuts++;
  client.interrupt(playedOf[turn.id] || 0);
  now();
}

async function startTalking() {
  if (!mayListen()) { withheld(); return; }
  const ready = sound.wake(); /* before anything is awaited */
  try {
    await ready;
    await sound.listen($('o-mic').value);
    talking = client.options.mode === 'free';
    keepAwake();
    devices();
  } catch (e) {
    notice(make('p', {textContent: t({NotAllowedError: 'denied', NotFoundError: 'absent', NotReadableError: 'busy'}[e.name] || 'denied')}));
  }
  now();
}
function stopTalking() {
  if (talking && client.hearing) client.commit();
  talking = pushing = false;
  sound.hush();
  $('level').value = 0;
  wake?.release().catch(() => {});
  now();
}
let wake = null;
function keepAwake() { navigator.wakeLock?.request('screen').then(x => { wake = x; }, () => {}); }

async function push() {
  if (pushing) return;
  pushing = true;
  cut();
  if (!sound.listening) await startTalking();
  if (!sound.listening || !pushing) { pushing = false; return; }
  client.clearAudio();
  now();
}
function release() {
  if (!pushing) return;
  pushing = false;
  client.commit();
  now();
}

async function devices() {
  const list = await navigator.mediaDevices.enumerateDevices(), select = $('o-mic'), chosen = select.value;
  select.replaceChildren(make('option', {value: '', textContent: t('usual')}), ...list.filter(d => d.kind === 'audioinput' && d.deviceId)
    .map(d => make('option', {value: d.deviceId, textContent: d.label || d.deviceId.slice(0, 8)})));
  select.value = chosen;
}
if (navigator.mediaDevices) navigator.mediaDevices.ondevicechange = () => { if (sound.listening) devices(); };

/* ---- pictures */

async function addPicture(blob) {
  try {
    const bitmap = await createImageBitmap(blob), scale = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = make('canvas', {width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale))});
    const g = canvas.getContext('2d');
    g.fillStyle = '#fff';
    g.fillRect(0, 0, canvas.width, canvas.height);
    g.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const small = canvas.width * canvas.height < 1 << 18;
    givePicture(canvas.toDataURL(small ? 'image/png' : 'image/jpeg', 0.92));
  } catch {
    notice(make('p', {textContent: t('badpicture')}));
  }
}
/* A picture waits beside the field for its words; when somebody talks instead, it goes ahead of them. */
function givePicture(url) {
  if (talking) { client.say('', [url], false); return; }
  pictures.push(url);
  showPictures();
}
function showPictures() {
  $('pictures').replaceChildren(...pictures.map((src, i) => make('span', {className: 'thumb'}, make('img', {src, alt: t('alt')}),
    make('button', {type: 'button', textContent: '×', ariaLabel: t('remove'), onclick: () => { pictures.splice(i, 1); showPictures(); }}))));
}
function sendPictures() {
  if (!pictures.length) return;
  client.say('', pictures.splice(0), false);
  showPictures();
}

async function openCamera() {
  if (!mayListen()) { withheld(); return; }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment', width: {ideal: 1280}}});
    $('video').srcObject = stream;
    await $('video').play();
    $('camerabox').showModal();
  } catch (e) {
    notice(make('p', {textContent: t({NotAllowedError: 'denied', NotFoundError: 'absent'}[e.name] || 'denied')}));
  }
}
function closeCamera() {
  $('video').srcObject?.getTracks().forEach(track => track.stop());
  $('video').srcObject = null;
  if ($('camerabox').open) $('camerabox').close();
}
function snap() {
  const v = $('video'), canvas = make('canvas', {width: v.videoWidth, height: v.videoHeight});
  canvas.getContext('2d').drawImage(v, 0, 0);
  closeCamera();
  canvas.toBlob(addPicture, 'image/png');
}

/* ---- what is said about it all */

function now() {
  const state = pushing ? 'holding' : client.hearing ? 'hearing' : sound.speaking ? 'speaking' : client.response ? 'thinking' : 'ready';
  $('now').textContent = t(sound.muted && state === 'ready' ? 'muted' : state === 'holding' ? 'hearing' : state);
  const free = client.options.mode === 'free';
  $('talktext').textContent = t(free ? (talking ? 'talking' : 'talk') : pushing ? 'holding' : 'hold');
  $('talk').setAttribute('aria-pressed', String(talking || pushing));
  $('mute').hidden = !sound.listening;
  $('mute').textContent = t(sound.muted ? 'unmute' : 'mute');
  $('mute').setAttribute('aria-pressed', String(sound.muted));
  $('stop').hidden = !(sound.speaking || client.response);
  stats.now = state;
}

function notice(...inside) {
  const close = make('button', {type: 'button', className: 'plain', textContent: t('close'), onclick: () => { $('notice').hidden = true; }});
  $('notice').replaceChildren(...inside, close);
  $('notice').hidden = false;
}
function withheld() {
  const secure = about?.https_url, list = [make('h2', {textContent: t('nomic')}), make('p', {textContent: t('nomic1')})];
  if (secure) list.push(make('p', {}, t('nomic2') + ' ', make('a', {href: secure, textContent: secure})));
  const port = location.port || '80';
  list.push(make('p', {}, t('nomic3') + ' ', make('code', {textContent: `ssh -L ${port}:127.0.0.1:${port} ${location.hostname}`}), ` → http://127.0.0.1:${port}/`));
  list.push(make('p', {textContent: t('nomic4')}));
  notice(...list);
}

function record(direction, event) {
  const short = JSON.stringify(event, (k, v) => typeof v === 'string' && v.length > 200 ? v.slice(0, 40) + `… (${v.length})` : v);
  log.push({at: performance.now(), direction, short});
  while (log.length > KEPT) log.shift();
  if (!$('drawer').hidden) showEvent(log.at(-1));
}
function showEvent({at, direction, short}) {
  const list = $('eventlist'), low = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(make('li', {className: direction, textContent: `${(at / 1000).toFixed(3)} ${direction === 'up' ? '→' : '←'} ${short}`}));
  while (list.children.length > KEPT) list.firstChild.remove();
  if (low) list.scrollTop = list.scrollHeight;
}
function drawer(open) {
  $('drawer').hidden = !open;
  $('events').setAttribute('aria-expanded', String(open));
  $('eventlist').replaceChildren();
  if (open) { log.forEach(showEvent); $('closeevents').focus(); }
  else $('events').focus();
}

/* ---- settings */

const SETTINGS = {keep: '', mode: 'free', half: false, pause: 500, aloud: true, instructions: '', language: '', theme: ''};
function stored() {
  try { return {...SETTINGS, ...JSON.parse(localStorage.getItem('stream-omni') || '{}')}; }
  catch { return {...SETTINGS}; }
}
function apply(s) {
  setLanguage(s.language || (navigator.language.startsWith('zh') ? 'zh' : 'en'));
  if (s.theme) document.documentElement.dataset.theme = s.theme;
  else delete document.documentElement.dataset.theme;
  Object.assign(client.options, {mode: s.mode, half: s.half, pause: s.pause, aloud: s.aloud, instructions: s.instructions});
  for (const name of ['mode', 'pause', 'instructions', 'theme']) $('o-' + name).value = s[name];
  $('o-keep').querySelector('[value=server]').disabled = !about?.history;
  $('o-keep').value = keepAt(s.keep);
  keeper.place = places[keepAt(s.keep)];
  keeper.note();
  $('o-half').checked = s.half;
  $('o-aloud').checked = s.aloud;
  $('o-language').value = getLanguage();
  translate();
  $('link').textContent = t(client.state);
  if (about) $('about').textContent = t('about', about.model || '', about.version || '', about.voice || '–');
  for (const view of views.values()) view.update();
  now();
}
function keep() {
  const chosen = $('o-keep').value, old = stored().keep;
  const s = {keep: chosen === keepAt(old) ? old : chosen, mode: $('o-mode').value, half: $('o-half').checked, pause: Math.min(3000, Math.max(200, +$('o-pause').value || 500)), aloud: $('o-aloud').checked,
             instructions: $('o-instructions').value, language: $('o-language').value, theme: $('o-theme').value};
  try { localStorage.setItem('stream-omni', JSON.stringify(s)); } catch { /* a private window */ }
  const key = $('o-key').value, newKey = key !== client.key, newMode = s.mode !== client.options.mode;
  try { sessionStorage.setItem('stream-omni-key', key); } catch { /* likewise */ }
  client.key = key;
  if (newMode) stopTalking();
  apply(s);
  if (newKey) client.restart();
  else client.configure();
}

/* ---- wires */

$('talk').onclick = () => {
  if (client.options.mode !== 'free') return;
  if (talking) stopTalking();
  else { sendPictures(); startTalking(); }
};
$('talk').onpointerdown = e => { if (client.options.mode === 'push') { $('talk').setPointerCapture(e.pointerId); sendPictures(); push(); } };
$('talk').onpointerup = $('talk').onpointercancel = release;
$('talk').onkeydown = e => { if (client.options.mode === 'push' && e.key === 'Enter' && !e.repeat) { e.preventDefault(); sendPictures(); push(); } };
$('talk').onkeyup = e => { if (e.key === 'Enter') release(); };
$('mute').onclick = () => { sound.muted = !sound.muted; now(); };
$('stop').onclick = cut;
$('camera').onclick = openCamera;
$('snap').onclick = snap;
$('nosnap').onclick = closeCamera;
$('camerabox').onclose = closeCamera;
$('attach').onclick = () => $('file').click();
$('file').onchange = e => { if (e.target.files[0]) addPicture(e.target.files[0]); e.target.value = ''; };
$('example').onclick = async () => {
  addPicture(await (await fetch('example.png')).blob());
  $('text').value = t('exampleask');
  $('text').focus();
};
$('form').onsubmit = e => {
  e.preventDefault();
  const field = $('text'), text = field.value.trim();
  if (!text && !pictures.length) return;
  sound.wake().catch(() => {});
  cut();
  const at = client.turns.findIndex(x => x.id === field.dataset.edit);
  if (at >= 0) client.edit(at, text);
  else client.say(text, pictures.splice(0), true);
  delete field.dataset.edit;
  field.value = '';
  showPictures();
  toBottom();
};
$('text').onkeydown = e => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); $('form').requestSubmit(); } };
$('settings').onclick = () => { $('o-key').value = client.key; $('options').showModal(); };
$('options').onclose = keep;
$('history').onclick = () => { $('pastsearch').value = ''; past(); };
$('pastsearch').oninput = past;
$('pastclose').onclick = () => $('past').close();
$('pastclear').onclick = async () => {
  if ($('pastclear').textContent !== t('sure')) { $('pastclear').textContent = t('sure'); return; }
  await keeper.place.clear();
  client.clear();
  past();
};
$('events').onclick = () => drawer($('drawer').hidden);
$('closeevents').onclick = () => drawer(false);
$('copyevents').onclick = () => navigator.clipboard?.writeText(log.map(x => `${x.at.toFixed(0)} ${x.direction} ${x.short}`).join('\n'));
$('savejson').onclick = () => download(new Blob([JSON.stringify(client.export())], {type: 'application/json'}), 'conversation.json');
$('newtalk').onclick = () => { cut(); client.clear(); $('text').focus(); };

const inField = e => e.target.closest?.('input, textarea, select, button, dialog, [contenteditable]');
document.addEventListener('keydown', e => {
  if (e.key === 'Escape' && !document.querySelector('dialog[open]')) { if ($('drawer').hidden) cut(); else drawer(false); }
  if (inField(e) || e.repeat || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === ' ') { e.preventDefault(); if (client.options.mode === 'push') { sendPictures(); push(); } else $('talk').click(); }
  if (e.key === 'm' || e.key === 'M') $('mute').click();
});
document.addEventListener('keyup', e => { if (e.key === ' ' && !inField(e)) release(); });
document.addEventListener('paste', e => {
  for (const item of e.clipboardData.items) if (item.type.startsWith('image/')) { addPicture(item.getAsFile()); e.preventDefault(); return; }
});
document.addEventListener('dragover', e => { e.preventDefault(); document.body.classList.add('drag'); });
document.addEventListener('dragleave', e => { if (!e.relatedTarget) document.body.classList.remove('drag'); });
document.addEventListener('drop', e => {
  e.preventDefault();
  document.body.classList.remove('drag');
  for (const file of e.dataTransfer.files) if (file.type.startsWith('image/')) { addPicture(file); return; }
  if (e.dataTransfer.files.length) notice(make('p', {textContent: t('badpicture')}));
});

try { client.key = sessionStorage.getItem('stream-omni-key') || ''; } catch { /* a private window */ }
apply(stored());
fetch('props').then(r => r.ok ? r.json() : null).then(x => { about = x; if (x) apply(stored()); }, () => {});
client.connect();
Object.assign(window.stats, {client, log, keeper});
