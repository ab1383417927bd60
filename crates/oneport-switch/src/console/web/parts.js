// What several screens are made of.

import { html, useEffect, useRef, useState } from './lib/preact.js';
import { count, fixed, sound, span } from './format.js';

/** What could not be done, and what mends it. */
export const Fault = ({ error }) => error && html`
  <div class="fault" role="alert"><strong>${error.message}</strong>${error.hint && html`<span>${error.hint}</span>`}</div>`;

/** A list with nothing in it says why, and what fills it. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2><p>${children}</p></div>`;

export const Waiting = () => html`<p class="waiting" role="status">Asking the switch…</p>`;

/** How often who reads by ear is told of a text that changes by itself, in milliseconds. */
const TOLD = 15000;

/**
 * A text that changes by itself, beside a heading. It is told at once when `about` is something else, which is what
 * its reader has done, and now and then otherwise: figures that move each second would be all that is heard.
 */
export function Status({ text, about = '' }) {
  const [told, tell] = useState(text);
  const last = useRef({ at: 0, about: null });
  useEffect(() => {
    const say = () => {
      last.current = { at: performance.now(), about };
      tell(text);
    };
    const wait = last.current.about === about ? last.current.at + TOLD - performance.now() : 0;
    if (wait <= 0) {
      say();
      return undefined;
    }
    const timer = setTimeout(say, wait);
    return () => clearTimeout(timer);
  }, [text, about]);
  return html`<span class="note" aria-hidden="true">${text}</span><span class="hidden" role="status">${told}</span>`;
}

/** A heading with what stands beside it. */
export const Heading = ({ title, children }) => html`<header class="heading"><h1 tabindex="-1">${title}</h1>${children}</header>`;

export const Card = ({ title, note, children, wide }) => html`
  <section class=${wide ? 'card wide' : 'card'}><header><h2>${title}</h2>${note && html`<span class="note">${note}</span>`}</header>${children}</section>`;

/** A figure and what it counts. */
export const Figure = ({ value, unit, label, tone }) => html`
  <div class=${`figure ${tone ?? ''}`}><dt>${label}</dt><dd>${value}${unit && html` <small>${unit}</small>`}</dd></div>`;

/** How much is used of what there is. Colour never says it alone. */
export function Bar({ label, used, most, note, full = 'full', nearly = 'nearly full' }) {
  const share = most > 0 ? Math.min(1, used / most) : 0;
  const tone = share >= 1 ? 'bad' : share >= 0.8 ? 'poor' : 'good';
  const word = share >= 1 ? full : share >= 0.8 ? nearly : '';
  return html`<div class="bar">
    <div class="bar-label"><span>${label}${word && html`<em class=${tone}> ${word}</em>`}</span>
      <span class="num">${count(used)} of ${count(most)}${note && html`<small> ${note}</small>`}</span></div>
    <progress class=${tone} max=${most} value=${Math.min(used, most)} aria-label=${label}></progress></div>`;
}

/** A mean opinion score with its class. */
export function Mos({ value }) {
  const [tone, word] = sound(value);
  return html`<span class=${`mos ${tone}`} title=${`mean opinion score: ${word}`}><i aria-hidden="true"></i>${fixed(value, 2)}<span class="hidden"> ${word}</span></span>`;
}

/** How far a call is, or how a peer does: a mark and a word. */
const MARKS = {
  answered: 'good', ringing: 'fair', calling: 'fair', dialling: 'none', identifying: 'none', parked: 'poor',
  ok: 'good', lagged: 'poor', unreachable: 'bad', unknown: 'none', unmonitored: 'none',
  keyed: 'bad', idle: 'none', registered: 'good', trying: 'fair', failed: 'bad', serving: 'good', draining: 'poor', drained: 'bad',
  alive: 'good', dead: 'bad', left: 'none', cut_off: 'bad',
};
export const State = ({ is }) => html`<span class=${`state ${MARKS[is] ?? 'none'}`}><i aria-hidden="true"></i>${is.replaceAll('_', ' ')}</span>`;

/**
 * Lines over time, without axes but for the greatest value: `series` are lists of numbers with a name and a tone. `ago` are
 * the seconds that have passed since each, where they are not at even distances; `marks` the same of what is missing.
 */
export function Plot({ series, label, unit, seconds, ago = null, marks = null, height = 96 }) {
  const width = 600;
  const longest = Math.max(2, ...series.map(one => one.values.length));
  const known = series.flatMap(one => one.values.filter(value => value !== null && value !== undefined));
  const most = Math.max(0, ...known);
  const greatest = most || 1;
  const back = time => width * (1 - Math.min(1, time / seconds));
  const x = n => (ago ? back(ago[n]) : (n / (longest - 1)) * width);
  const y = value => height - 2 - (value / greatest) * (height - 6);
  const path = values => {
    let pen = 'M';
    let text = '';
    values.forEach((value, n) => {
      if (value === null || value === undefined) {
        pen = 'M';
      } else {
        const at = `${x(n + (ago ? 0 : longest - values.length)).toFixed(1)} ${y(value).toFixed(1)}`;
        // A point between two gaps is seen as well.
        text += pen === 'M' ? `M${at}h.01` : `L${at}`;
        pen = 'L';
      }
    });
    return text;
  };
  const lines = marks?.length > 0 ? [...series, { name: marks.name, tone: 'bad' }] : series;
  const round = value => count(Math.round(value * 10) / 10);
  const last = one => one.values?.findLast(value => value !== null && value !== undefined);
  // Who does not see the lines is told where they are.
  const summary = series.map(one => (last(one) === undefined ? `${one.name}: none` : `${one.name}: ${round(last(one))}${unit && ` ${unit}`} now`)).join(', ');
  return html`<figure class="plot">
    <svg viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label=${`${label}. ${summary}, highest ${round(most)}`}>
      <line class="grid" x1="0" x2=${width} y1=${height - 2} y2=${height - 2} />
      <line class="grid" x1="0" x2=${width} y1="4" y2="4" />
      ${marks && html`<path class="line bad" d=${marks.map(time => `M${back(time).toFixed(1)} ${height - 2}v-12`).join('')} />`}
      ${series.map(one => html`<path class=${`line ${one.tone} ${one.dashed ? 'dashed' : ''}`} d=${path(one.values)} />`)}
    </svg>
    <figcaption><span>${span(seconds)} ago</span>
      <span class="legend">${lines.map(one => html`<span class=${one.tone}><i class=${one.dashed ? 'dashed' : ''} aria-hidden="true"></i>${one.name}</span>`)}</span>
      <span>${known.length > 0 && `highest ${round(most)}${unit && ` ${unit}`}`}</span></figcaption>
  </figure>`;
}

/** The height of a small line at which it is full: loss above this sounds bad in any codec. */
const SPARK = 5;

/** A line as small as a word, of what was lost; the figures beside it say the same. */
export function Spark({ values }) {
  if (values.length < 2 || values.every(value => value === null)) return null;
  const x = n => ((n / (values.length - 1)) * 46 + 1).toFixed(1);
  const points = values.map((value, n) => `${n > 0 ? 'L' : 'M'}${x(n)} ${(13 - (Math.min(SPARK, value ?? 0) / SPARK) * 12).toFixed(1)}`);
  return html`<svg class=${`spark ${values.some(value => value >= 1) ? 'poor' : 'good'}`} viewBox="0 0 48 14" width="48" height="14" aria-hidden="true"><path class="line" d=${points.join('')} /></svg>`;
}

/** A question before something that cannot be undone. */
export function Ask({ title, children, act, label, close }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="ask" onClose=${close} aria-labelledby="ask-title">
    <h2 id="ask-title">${title}</h2><p>${children}</p>
    <div class="actions">
      <button onClick=${() => dialog.current.close()}>Cancel</button>
      <button class="danger" onClick=${() => { dialog.current.close(); act(); }}>${label}</button>
    </div></dialog>`;
}

/** A heading of a column by which a table can be sorted. */
export function Sort({ by, label, sort, set, number }) {
  const own = sort.by === by;
  const order = own ? (sort.down ? 'descending' : 'ascending') : 'none';
  return html`<th scope="col" class=${number ? 'num' : ''} aria-sort=${order}>
    <button class="sort" onClick=${() => set({ by, down: own ? !sort.down : Boolean(number) || by === 'loss' })}>${label}<span aria-hidden="true">${own ? (sort.down ? ' ↓' : ' ↑') : ''}</span></button></th>`;
}
