// What several screens are made of.

import { html, useEffect, useRef } from './lib/preact.js';
import { count, fixed, sound } from './format.js';

/** What could not be done, and what mends it. */
export const Fault = ({ error }) => error && html`
  <div class="fault" role="alert"><strong>${error.message}</strong>${error.hint && html`<span>${error.hint}</span>`}</div>`;

/** A list with nothing in it says why, and what fills it. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2><p>${children}</p></div>`;

export const Waiting = () => html`<p class="waiting" role="status">Asking the switch…</p>`;

/** A heading with what stands beside it. */
export const Heading = ({ title, children }) => html`<header class="heading"><h1 tabindex="-1">${title}</h1>${children}</header>`;

export const Card = ({ title, note, children, wide }) => html`
  <section class=${wide ? 'card wide' : 'card'}><header><h2>${title}</h2>${note && html`<span class="note">${note}</span>`}</header>${children}</section>`;

/** A figure and what it counts. */
export const Figure = ({ value, unit, label, tone }) => html`
  <div class=${`figure ${tone ?? ''}`}><dt>${label}</dt><dd>${value}${unit && html`<small> ${unit}</small>`}</dd></div>`;

/** How much is used of what there is. Colour never says it alone. */
export function Bar({ label, used, most, note }) {
  const share = most > 0 ? Math.min(1, used / most) : 0;
  const tone = share >= 1 ? 'bad' : share >= 0.8 ? 'poor' : 'good';
  const word = share >= 1 ? 'full' : share >= 0.8 ? 'nearly full' : '';
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
  registered: 'good', trying: 'fair', failed: 'bad', serving: 'good', draining: 'poor', drained: 'bad',
};
export const State = ({ is }) => html`<span class=${`state ${MARKS[is] ?? 'none'}`}><i aria-hidden="true"></i>${is}</span>`;

/**
 * Lines over time, without axes but for the greatest value: `series` are lists of numbers with a name and a tone.
 */
export function Plot({ series, label, unit, seconds, height = 96 }) {
  const width = 600;
  const longest = Math.max(2, ...series.map(one => one.values.length));
  const most = Math.max(0, ...series.flatMap(one => one.values.filter(value => value !== null)));
  const greatest = most || 1;
  const x = n => (n / (longest - 1)) * width;
  const y = value => height - 2 - (value / greatest) * (height - 6);
  const path = values => {
    let pen = 'M';
    let text = '';
    values.forEach((value, n) => {
      if (value === null) {
        pen = 'M';
      } else {
        text += `${pen}${x(n + longest - values.length).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = 'L';
      }
    });
    return text;
  };
  const span = seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
  return html`<figure class="plot">
    <svg viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      <line class="grid" x1="0" x2=${width} y1=${height - 2} y2=${height - 2} />
      <line class="grid" x1="0" x2=${width} y1="4" y2="4" />
      ${series.map(one => html`<path class=${`line ${one.tone}`} d=${path(one.values)} />`)}
    </svg>
    <figcaption><span>${span} ago</span>
      <span class="legend">${series.map(one => html`<span class=${one.tone}><i aria-hidden="true"></i>${one.name}</span>`)}</span>
      <span>highest ${count(Math.round(most * 10) / 10)}${unit && ` ${unit}`}</span></figcaption>
  </figure>`;
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
