/* The page of the dashboard: asks for status.json again and again, and shows it.
 *
 * Texts of others get into the page as text alone: textContent, and attributes that are no code.
 * What is there is changed in its place, so that focus, selection and what was opened stay. */
'use strict';

const SAMPLES = 120;
const states = ['ready', 'warming', 'degraded', 'stalled', 'draining', 'died', 'stopped'];
const byId = (id) => document.getElementById(id);

/* ---- words ---- */

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const signals = { 1: 'HUP', 2: 'INT', 3: 'QUIT', 4: 'ILL', 5: 'TRAP', 6: 'ABRT', 7: 'BUS', 8: 'FPE',
  9: 'KILL', 10: 'USR1', 11: 'SEGV', 12: 'USR2', 13: 'PIPE', 14: 'ALRM', 15: 'TERM', 24: 'XCPU', 31: 'SYS' };

function count(value) {
  return value < 10000 ? String(Math.round(value * 10) / 10) : compact.format(value);
}

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024;
  return (at && value < 100 ? value.toFixed(1) : Math.round(value)) + ' ' + units[at];
}

/* Microseconds, with two or three digits that say something. */
function shortTime(us) {
  const whole = { 1000: '1 ms', 1e4: '10 ms', 1e5: '100 ms', 1e6: '1 s', 1e7: '10 s' }[us];
  if (whole) return whole;
  if (us < 1000) return Math.round(us) + ' µs';
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + ' ms';
  return us < 6e7 ? (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + ' s' : longTime(us / 1000);
}

function longTime(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + s % 60 + ' s';
  if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
}

function moment(ms) {
  const at = new Date(ms), now = new Date();
  const time = at.toLocaleTimeString('en-GB');
  return at.toDateString() === now.toDateString() ? time
    : at.getFullYear() + '-' + String(at.getMonth() + 1).padStart(2, '0') + '-' + String(at.getDate()).padStart(2, '0') + ' ' + time;
}

function endOf(event) {
  if (event.event === 'bound') return 'started';
  if (event.code > 128) return 'died of SIG' + (signals[event.code - 128] || event.code - 128);
  return event.code ? 'ended with ' + event.code : 'stopped';
}

/* As a configuration has it: relative to the run-time directory. */
function briefEndpoint(text) {
  const prefix = 'unix:' + runtimeDir + '/';
  return text.startsWith(prefix) && !text.includes('/', prefix.length) ? 'unix:' + text.slice(prefix.length) : text;
}

/* ---- the document ---- */

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function show(element, is) {
  if (element.hidden === is) element.hidden = !is;
}

/* Made anew only if what it shows is another than before. */
function fill(element, data, makeAll) {
  const now = JSON.stringify(data);
  if (element.shown === now) return;
  element.shown = now;
  element.replaceChildren(...makeAll(data));
}

function mark(state) {
  const svg = draw('svg', { class: 'mark ' + state, 'aria-hidden': 'true' });
  svg.append(draw('use', { href: '#is-' + state }));
  return svg;
}

/* ---- what a service is ---- */

function lastEnd(service) {
  const last = service.history[service.history.length - 1];
  return last && last.event === 'ended' ? last : null;
}

function stateOf(service) {
  switch (service.state) {
  case 'dead': {
    const end = lastEnd(service);
    return !service.left_page && end && end.code === 0 ? 'stopped' : 'died';
  }
  case 'alive': return service.degraded ? 'degraded' : 'ready';
  case 'alive, elsewhere': return service.phase === 'ready' ? 'ready' : service.phase === 'starting' || service.phase === 'warming' ? 'warming' : 'draining';
  default: return states.includes(service.state) ? service.state : 'warming';
  }
}

/* In a sentence, of what is not well. */
function whyOf(service, state) {
  const end = lastEnd(service);
  if (state === 'died')
    return end ? endOf(end) + ' at ' + moment(end.time_ms) + (end.text ? ': ' + end.text : '')
      : 'It is gone without a word: it was killed.';
  if (state === 'stopped') return 'Since ' + moment(end.time_ms) + '.';
  if (state === 'stalled' && service.loop && service.loop.turned_ms_ago !== null)
    return 'Its loop has not turned for ' + longTime(service.loop.turned_ms_ago) + ': it is stuck, or the process is stopped.';
  if (service.elsewhere) return 'It runs in ' + service.elsewhere + '.';
  return '';
}

/* ---- samples: what happened between two answers ---- */

function difference(now, before) {
  const counts = new Map();
  if (!now) return counts;
  for (const [from, to, n] of now.buckets) counts.set(from, [to, n]);
  for (const [from, , n] of before ? before.buckets : []) {
    const entry = counts.get(from);
    if (entry) entry[1] -= n;
  }
  for (const [from, entry] of counts) if (entry[1] <= 0) counts.delete(from);
  return counts;
}

function add(to, counts) {
  for (const [from, [end, n]] of counts) {
    const entry = to.get(from);
    if (entry) entry[1] += n; else to.set(from, [end, n]);
  }
}

/* The value below which that part of them is, at most a quarter too high. */
function quantile(counts, part) {
  let all = 0, so_far = 0;
  for (const [, n] of counts.values()) all += n;
  for (const from of [...counts.keys()].sort((a, b) => a - b)) {
    const [end, n] = counts.get(from);
    so_far += n;
    if (so_far >= part * all) return end - 1;
  }
  return null;
}

function totalOf(histogram) {
  return histogram ? histogram.buckets.reduce((sum, bucket) => sum + bucket[2], 0) : 0;
}

/* null: of another process than before, or too long ago. */
function sampleOf(service, before, seconds) {
  if (!before || !service.loop || !before.loop || service.pid !== before.pid || !(seconds > 0)) return null;
  const lag = difference(service.loop.lag, before.loop.lag), times = new Map(), calls = new Map();
  let callCount = 0;
  for (const callback of service.callbacks) {
    const old = before.callbacks.find((other) => other.callback === callback.callback);
    const counts = difference(callback.time, old && old.time);
    const n = callback.calls - (old ? old.calls : 0);
    add(times, counts);
    callCount += n;
    calls.set(callback.callback, n / seconds);
  }
  return {
    lag: { high: quantile(lag, 1), mid: quantile(lag, .5) },
    time: { high: quantile(times, .99), mid: quantile(times, .5) },
    calls: callCount / seconds, perCallback: calls,
    received: (service.received_bytes - before.received_bytes) / seconds,
    sent: (service.sent_bytes - before.sent_bytes) / seconds,
  };
}

/* ---- plots ---- */

/* A column for each sample: its middle, and its highest. Latencies differ by powers of ten, and so do
 * the lines: from least on, as many as it takes. */
class Plot {
  constructor(title, meaning, least, decades) {
    this.meaning = meaning;
    this.least = least;
    this.decades = decades;
    this.now = make('b');
    this.svg = draw('svg', { class: 'plot', viewBox: '0 0 ' + SAMPLES + ' 50', preserveAspectRatio: 'none', role: 'img' });
    this.rules = draw('path', { class: 'rule' });
    this.high = draw('path', { class: 'high' });
    this.mid = draw('path', { class: 'mid' });
    this.svg.append(this.rules, this.high, this.mid);
    this.scale = make('span');
    this.since = make('span');
    this.element = make('figure', {}, make('figcaption', {}, make('span', {}, title), this.now), this.svg,
      make('div', { class: 'scale' }, this.since, this.scale));
  }

  show(samples, refreshMs) {
    const known = samples.filter((sample) => sample && sample.high !== null);
    const last = known[known.length - 1];
    const most = Math.max(this.least, ...known.map((sample) => sample.high));
    const decades = Math.max(this.decades, Math.ceil(Math.log10(most / this.least)));
    const heightOf = (us) => Math.max(1, Math.log10(Math.max(us, this.least) / this.least) / decades * 50).toFixed(1);
    const columns = (key) => samples.map((sample, at) => !sample || sample[key] === null ? ''
      : 'M' + (SAMPLES - samples.length + at) + ' 50h.8v-' + heightOf(sample[key]) + 'h-.8z').join('');
    set(this.high, 'd', columns('high'));
    set(this.mid, 'd', columns('mid'));
    set(this.rules, 'd', Array.from({ length: decades - 1 }, (_, at) => 'M0 ' + (50 * (at + 1) / decades).toFixed(1) + 'H' + SAMPLES).join(''));
    say(this.now, last ? shortTime(last.high) : '–');
    say(this.since, longTime(SAMPLES * refreshMs));
    say(this.scale, shortTime(this.least) + ' to ' + shortTime(this.least * 10 ** decades) + ', log');
    set(this.svg, 'aria-label', this.meaning + (last ? ': now ' + shortTime(last.high) + ', most ' + shortTime(most) : ': none yet') + '; of the last ' + longTime(SAMPLES * refreshMs));
  }
}

/* ---- a card ---- */

function progress(value) {
  return value === null ? make('progress', { max: '1' }) : make('progress', { max: '1', value: String(value) });
}

class Bar {
  constructor(name, kind) {
    this.name = make('span', {}, name);
    this.note = make('span', { class: 'note' });
    this.progress = make('progress', { max: '1', 'aria-label': name });
    this.element = make('div', { class: 'bar ' + kind }, this.name, this.note, this.progress);
  }

  show(value, note, kind) {
    if (value === null) this.progress.removeAttribute('value');
    else this.progress.value = value;
    say(this.note, note);
    set(this.element, 'class', 'bar ' + kind);
  }
}

function partNote(part) {
  const notes = [];
  const amounts = { bytes, ms: (ms) => shortTime(ms * 1000), us: shortTime };
  const size = amounts[part.unit] || count;
  const unit = part.unit && !amounts[part.unit] ? ' ' + part.unit : '';
  if (part.state !== 'loading') notes.push(part.state + (part.attempts > 1 ? ', attempt ' + part.attempts : ''));
  if (part.total !== null) notes.push(size(part.done) + ' of ' + size(part.total) + unit);
  else if (part.done > 0) notes.push(size(part.done) + unit);
  if (part.state === 'loading' && part.rate_per_s > 0) notes.push(size(part.rate_per_s) + '/s');
  if (part.state === 'loading' && part.eta_ms !== null) notes.push(longTime(part.eta_ms) + ' left');
  return notes.join(' · ');
}

function partValue(part) {
  if (part.state === 'loaded') return 1;
  if (part.total !== null) return Math.min(1, part.done / part.total);
  return part.state === 'loading' ? null : 0;
}

function entry(dt, dd) {
  return make('div', {}, make('dt', {}, dt), dd);
}

class Card {
  constructor(name) {
    this.name = name;
    this.samples = [];
    this.parts = new Map();
    this.shown = {};
    this.build();
  }

  build() {
    const id = 'service-' + this.name;
    this.mark = mark('ready');
    this.word = make('span', { class: 'state' });
    this.about = make('p', { class: 'about' });
    this.why = make('p', { class: 'why' });
    this.endpoints = make('ul', { class: 'endpoints mono', 'aria-label': 'Endpoints' });
    this.all = new Bar('Loading', 'all');
    this.partList = make('div', { class: 'parts' });
    this.load = make('section', { 'aria-label': 'Load' }, this.all.element, this.partList);
    this.numbers = {};
    for (const key of ['active', 'held', 'accepted', 'turned away', 'calls', 'received', 'sent', 'jobs']) this.numbers[key] = make('dd');
    this.numberList = make('dl', { class: 'numbers' },
      entry('clients', this.numbers.active), entry('waiting', this.numbers.held),
      entry('so far', this.numbers.accepted), entry('turned away', this.numbers['turned away']),
      entry('calls/s', this.numbers.calls), entry('received', this.numbers.received),
      entry('sent', this.numbers.sent), entry('jobs', this.numbers.jobs));
    this.lag = new Plot('Loop lag', 'How late beats of the loop were', 10, 4);
    this.time = new Plot('Callback time, p99', 'How long calls of the backend took, 99 of 100', 1, 4);
    this.plots = make('section', { class: 'plots', 'aria-label': 'Latency' }, this.lag.element, this.time.element);
    this.errors = make('section', { 'aria-label': 'Last errors' });
    this.startsNow = make('b');
    this.bars = make('div', { class: 'starts', role: 'img' });
    this.starts = make('figure', {}, make('figcaption', {}, make('span', {}, 'Last starts, exec to ready'), this.startsNow), this.bars);
    this.items = this.details('Last start', make('ul', { class: 'items' }));
    this.calls = this.details('Callbacks', make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Callbacks' }));
    this.history = this.details('History', make('ol', { class: 'events' }));
    this.element = make('article', { tabindex: '-1', 'aria-labelledby': id },
      make('header', {}, this.mark, make('h2', { id }, this.name), this.word, this.about, this.why),
      this.endpoints, this.load, this.numberList, this.plots, this.errors, this.starts,
      make('div', {}, this.items.element, this.calls.element, this.history.element));
  }

  details(title, body) {
    const note = make('span');
    return { note, body, element: make('details', {}, make('summary', {}, title + ' ', note), body) };
  }

  sample(service, seconds) {
    const sample = sampleOf(service, this.before, seconds);
    this.before = service;
    this.now = sample;
    if (!service.loop) this.samples = [];
    else this.samples.push(sample);
    if (this.samples.length > SAMPLES) this.samples.shift();
  }

  show(service, refreshMs) {
    const state = stateOf(service);
    const lives = service.state !== 'dead';
    if (this.state && this.state !== state) tell(this.name + ' is ' + state);
    this.state = state;
    set(this.element, 'class', state);
    set(this.mark, 'class', 'mark ' + state);
    set(this.mark.firstChild, 'href', '#is-' + state);
    set(this.word, 'class', 'state ' + state);
    say(this.word, state);
    this.showAbout(service, state);
    fill(this.endpoints, lives ? service.endpoints : [], (list) => list.map((text) => make('li', { title: text }, briefEndpoint(text))));
    show(this.endpoints, lives && service.endpoints.length > 0);
    this.showLoad(service);
    this.showNumbers(service);
    show(this.plots, Boolean(service.loop));
    if (service.loop) {
      this.lag.show(this.samples.map((sample) => sample && sample.lag), refreshMs);
      this.time.show(this.samples.map((sample) => sample && sample.time), refreshMs);
    }
    this.showErrors(service);
    this.showStarts(service);
    this.showCalls(service);
    this.showHistory(service);
  }

  showAbout(service, state) {
    const words = [];
    if (service.plugin) words.push(service.plugin.split('/').pop());
    if (service.pid !== null) words.push('pid ' + service.pid);
    if (service.uptime_ms !== null) words.push('up ' + longTime(service.uptime_ms));
    if (service.keeper) words.push('generation ' + service.keeper.generation, service.keeper.restarts + ' restarts');
    if (service.loop && service.loop.rests) words.push('at rest');
    say(this.about, words.join(' · '));
    show(this.about, words.length > 0);
    const why = whyOf(service, state);
    say(this.why, why);
    show(this.why, why !== '');
  }

  showLoad(service) {
    const load = service.load;
    const loading = load && (service.phase === 'warming' || service.phase === 'starting' ||
      load.parts.some((part) => part.state !== 'loaded'));
    show(this.load, Boolean(loading));
    if (!loading) return;
    say(this.all.name, service.phase === 'ready' ? 'Load' : 'Loading');
    this.all.show(load.parts.length ? load.permille / 1000 : null, Math.floor(load.permille / 10) + ' %' +
      (load.eta_ms !== null ? ' · ' + longTime(load.eta_ms) + ' left' : ''), 'all');
    const names = new Set();
    for (const part of load.parts) {
      let bar = this.parts.get(part.name);
      names.add(part.name);
      if (!bar) {
        bar = new Bar(part.name + (part.optional ? ' (optional)' : ''), part.state);
        this.parts.set(part.name, bar);
        this.partList.append(bar.element);
      }
      bar.show(partValue(part), partNote(part), part.state);
    }
    for (const [name, bar] of this.parts) {
      if (names.has(name)) continue;
      bar.element.remove();
      this.parts.delete(name);
    }
  }

  showNumbers(service) {
    const clients = service.clients, now = this.now;
    show(this.numberList, Boolean(clients));
    if (!clients) return;
    const away = clients.refused + clients.left + clients.cut;
    const rate = (value) => now && value > 0 ? bytes(value) + '/s' : '0';
    const put = (key, text, shown) => {
      say(this.numbers[key], text);
      this.shown[key] = this.shown[key] || shown; /* what was there once keeps its place */
      show(this.numbers[key].parentNode, this.shown[key]);
    };
    put('active', count(clients.active), true);
    put('held', count(clients.held), clients.held > 0 || service.phase !== 'ready');
    put('accepted', count(clients.accepted), true);
    put('turned away', count(away), away > 0);
    put('calls', now ? count(now.calls) : '–', true);
    put('received', rate(now && now.received), service.received_bytes > 0);
    put('sent', rate(now && now.sent), service.sent_bytes > 0);
    put('jobs', count(service.jobs), service.jobs > 0);
    set(this.numbers['turned away'].parentNode, 'title', clients.refused + ' refused, ' + clients.left + ' left while they waited, ' + clients.cut + ' cut by a limit');
  }

  showErrors(service) {
    const error = service.last_error, slow = service.slow_callbacks;
    const list = [];
    if (error) list.push({ kind: 'error', title: service.errors > 1 ? 'The last of ' + service.errors + ' errors' : 'Error', time_s: error.time_s, text: error.text });
    if (slow && slow.count > 0) list.push({ kind: 'error slow', title: (slow.count > 1 ? 'The last of ' + slow.count + ' slow calls: ' : 'A slow call: ') + shortTime(slow.last_us), time_s: slow.time_s, text: slow.text });
    show(this.errors, list.length > 0);
    fill(this.errors, list, (all) => all.map((one) => make('div', { class: one.kind },
      make('h3', {}, one.title, ' ', make('time', {}, moment(one.time_s * 1000))),
      make('p', { class: 'mono' }, one.text || ''))));
  }

  showStarts(service) {
    const starts = service.starts, newest = starts[starts.length - 1];
    show(this.starts, starts.length > 0);
    show(this.items.element, Boolean(newest));
    if (!newest) return;
    const longest = Math.max(1, ...starts.map((start) => start.ready_us));
    say(this.startsNow, shortTime(newest.ready_us));
    set(this.bars, 'aria-label', 'How long the last ' + starts.length + ' starts took, the newest last: ' + starts.map((start) => shortTime(start.ready_us)).join(', '));
    fill(this.bars, starts.map((start) => [start.time_ms, start.ready_us]), (list) => list.map(([time_ms, ready_us], at) => {
      const height = Math.max(2, ready_us / longest * 94);
      const svg = draw('svg', { viewBox: '0 0 10 100', preserveAspectRatio: 'none', class: at === list.length - 1 ? 'newest' : '' });
      const title = draw('title', {});
      title.append(moment(time_ms) + ': ' + shortTime(ready_us));
      svg.append(title, draw('rect', { x: 0, y: 100 - height, width: 10, height }));
      return svg;
    }));
    say(this.items.note, moment(newest.time_ms));
    fill(this.items.body, newest.items || [], (items) => items.filter((item) => item.us > 0).map((item) =>
      make('li', {}, make('span', {}, item.name), make('span', {}, shortTime(item.us)),
        progress(Math.min(1, item.us / Math.max(1, newest.ready_us))))));
  }

  showCalls(service) {
    const list = service.callbacks || [];
    show(this.calls.element, list.length > 0);
    if (!this.calls.element.open && this.calls.body.shown) return;
    const rows = list.map((callback) => {
      const counts = difference(callback.time, null);
      const rate = this.now && this.now.perCallback.get(callback.callback);
      const us = (part) => totalOf(callback.time) ? shortTime(quantile(counts, part)) : '–';
      return [callback.callback, count(callback.calls), rate ? count(rate) : '0', us(.5), us(.99), String(callback.slow)];
    });
    fill(this.calls.body, rows, () => [make('table', {},
      make('thead', {}, make('tr', {}, ...['', 'calls', 'calls/s', 'p50', 'p99', 'slow'].map((text) => make('th', { scope: 'col' }, text)))),
      make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((text) => make('td', {}, text))))))]);
  }

  showHistory(service) {
    show(this.history.element, service.history.length > 0);
    fill(this.history.body, service.history, (list) => [...list].reverse().map((event) =>
      make('li', {}, make('time', {}, moment(event.time_ms)),
        make('span', event.code ? { class: 'bad' } : {}, endOf(event) + ', pid ' + event.pid),
        ...(event.text ? [make('p', { class: 'mono' }, event.text)] : []))));
  }
}

/* ---- the page ---- */

const ROW = 4, GAP = 16;
const heights = new ResizeObserver((entries) => {
  for (const { target } of entries) target.style.gridRowEnd = 'span ' + Math.ceil((target.offsetHeight + GAP) / ROW);
});

const cards = new Map();
let paused = false, runtimeDir = '', timer = 0, lastMs = 0, lastTime = 0, refreshMs = 1000;

function tell(text) {
  say(byId('news'), text);
}

/* What needs a look comes first, what does not run last. */
function order(services) {
  const rank = { stalled: 0, degraded: 0, died: 0, stopped: 2 };
  const of = (service) => rank[stateOf(service)] === undefined ? 1 : rank[stateOf(service)];
  return [...services].sort((a, b) => of(a) - of(b) || (a.service < b.service ? -1 : 1));
}

function place(main, elements) {
  elements.forEach((element, at) => {
    if (main.children[at] !== element) main.insertBefore(element, main.children[at] || null);
  });
}

function showSummary(services) {
  const counts = states.map((state) => [state, services.filter((service) => stateOf(service) === state).length]).filter(([, n]) => n > 0);
  const unwell = services.filter((service) => ['stalled', 'degraded', 'died'].includes(stateOf(service))).length;
  fill(byId('summary'), counts, (list) => list.map(([state, n]) => make('li', {}, mark(state), n + ' ' + state)));
  document.title = (unwell ? unwell + ' unwell · ' : '') + 'rpd';
}

function showAll(status) {
  const main = byId('services');
  const seconds = lastTime ? (status.time_ms - lastTime) / 1000 : 0;
  const isLate = seconds * 1000 > 5 * status.refresh_ms + 2000;
  lastTime = status.time_ms;
  refreshMs = status.refresh_ms;
  runtimeDir = status.runtime_dir;
  say(byId('host'), status.host ? 'on ' + status.host : '');
  say(byId('directory'), status.runtime_dir || '');
  const listed = new Set(status.services.map((service) => service.service));
  for (const [name, card] of cards) {
    if (listed.has(name)) continue;
    heights.unobserve(card.element);
    card.element.remove();
    cards.delete(name);
    tell(name + ' is gone');
  }
  for (const service of status.services) {
    if (!cards.has(service.service)) {
      cards.set(service.service, new Card(service.service));
      heights.observe(cards.get(service.service).element);
      if (seconds) tell(service.service + ' has appeared');
    }
    cards.get(service.service).sample(service, isLate ? 0 : seconds);
    cards.get(service.service).show(service, status.refresh_ms);
  }
  place(main, order(status.services).map((service) => cards.get(service.service).element));
  showSummary(status.services);
  show(byId('none'), status.services.length === 0);
}

function showFreshness(kind, text) {
  set(byId('freshness'), 'class', 'fresh ' + kind);
  say(byId('freshness'), text);
  byId('services').classList.toggle('stale', kind === 'lost');
}

async function look() {
  try {
    const response = await fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error((await response.text()).trim() || 'status ' + response.status);
    showAll(await response.json());
    lastMs = Date.now();
    show(byId('trouble'), false);
    showFreshness('', 'live');
  } catch (error) {
    say(byId('trouble'), 'The dashboard does not answer' + (lastMs ? '; what is below is of ' + moment(lastMs) : '') + '. ' + error.message);
    show(byId('trouble'), true);
    showFreshness('lost', 'no answer');
  }
}

async function run() {
  clearTimeout(timer);
  timer = -1; /* it looks */
  await look();
  timer = 0;
  schedule();
}

function schedule() {
  if (timer === 0 && !paused && !document.hidden) timer = setTimeout(run, refreshMs);
}

function pause() {
  paused = !paused;
  set(byId('pause'), 'aria-pressed', String(paused));
  say(byId('pause'), paused ? 'Resume' : 'Pause');
  if (timer > 0) { clearTimeout(timer); timer = 0; }
  if (paused) showFreshness('paused', 'paused at ' + moment(Date.now()));
  else if (timer === 0) run();
}

function move(by) {
  const list = [...byId('services').children];
  const at = list.indexOf(document.activeElement && document.activeElement.closest('article'));
  const next = list[Math.min(list.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by))];
  if (!next) return;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}

byId('pause').addEventListener('click', pause);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !paused && timer >= 0) run();
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest('input, textarea, select')) return;
  if (event.key === 'p') pause();
  else if (event.key === 'j') move(1);
  else if (event.key === 'k') move(-1);
});
run();
