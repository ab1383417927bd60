// Call detail records: search and export.

import { html, useRef, useState } from '../lib/preact.js';
import { query } from '../api.js';
import { useLive } from '../live.js';
import { clock, count, moment } from '../format.js';
import { Empty, Fault, Heading, Mos, Waiting } from '../parts.js';

/** Records of a page, and of a file. */
const ROWS = 50;
const FILE = 1000;

/** A moment of a field, as the API takes it; the field is in the reader's own time. */
const utc = text => (text ? new Date(text).toISOString() : '');

function Row({ one }) {
  return html`<tr>
    <td data-label="Began"><div class="leg">${moment(one.start)}<a href=${`#/call/${one.call}`}>the call</a></div></td>
    <td data-label="Leg"><div class="leg">${one.direction} ${one.peer ?? 'a guest'}<small>${one.address}</small></div></td>
    <td data-label="From">${one.calling_number ?? '–'}</td>
    <td data-label="To"><div class="leg">${one.called_number}<small>${one.destination ?? ''}</small></div></td>
    <td data-label="Lasted" class="num">${clock(one.duration_ms / 1000)}</td>
    <td data-label="Talked" class="num">${clock(one.billable_ms / 1000)}</td>
    <td data-label="End"><div class="leg">${one.cause}${one.cause_text ? ` ${one.cause_text}` : ''}<small>${one.reason}</small></div></td>
    <td data-label="MOS"><${Mos} value=${one.quality.mos ?? null} /></td>
    <td data-label="Codec">${one.codec ?? '–'}</td>
  </tr>`;
}

export function Records() {
  const [filter, setFilter] = useState({});
  const [before, setBefore] = useState([]);
  const form = useRef(null);
  const timer = useRef(null);
  const after = before.at(-1) ?? '';
  const { data, error } = useLive(`/v1/cdrs?${query({ ...filter, after, limit: ROWS })}`, { kinds: ['call_ended'], period: 10000 });
  const change = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      const { from, to, ...rest } = Object.fromEntries(new FormData(form.current));
      setFilter({ ...rest, from: utc(from), to: utc(to) });
      setBefore([]);
    }, 250);
  };
  const filtered = Object.values(filter).some(Boolean);
  return html`
    <${Heading} title="Call records"><a class="note" href=${`/v1/cdrs?${query({ ...filter, format: 'csv', limit: FILE })}`} download="oneport-records.csv">Export as CSV</a><//>
    <form class="tools fields" ref=${form} onInput=${change} onSubmit=${event => event.preventDefault()}>
      <label class="field grow">Number<input type="search" name="number" placeholder="Whole, or how it begins: 1212*   ( / )" /></label>
      <label class="field">Peer<input name="peer" /></label>
      <label class="field">Ended from<input type="datetime-local" name="from" /></label>
      <label class="field">Ended before<input type="datetime-local" name="to" /></label>
      <label class="field narrow">Cause<input name="cause" inputmode="numeric" pattern="[0-9]*" maxlength="3" /></label>
    </form>
    <${Fault} error=${error} />
    ${!data ? !error && html`<${Waiting} />` : data.records.length === 0 ? html`<${Empty} title=${filtered ? 'No record fits' : 'No call has ended yet'}>${filtered ? 'Take a field away, or another time.' : 'Each leg of a call that ends leaves a record here.'}<//>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Call records"><table class="list"><caption class="hidden">Call records</caption>
      <thead><tr><th scope="col">Began</th><th scope="col">Leg</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="num">Lasted</th><th scope="col" class="num">Talked</th><th scope="col">End</th><th scope="col">MOS</th><th scope="col">Codec</th></tr></thead>
      <tbody>${data.records.map(one => html`<${Row} key=${`${one.call} ${one.leg}`} one=${one} />`)}</tbody></table></div>
    ${(before.length > 0 || data.next !== null) && html`<nav class="pages" aria-label="Pages">
      <button disabled=${before.length === 0} onClick=${() => setBefore(before.slice(0, -1))}>Newer</button>
      <span>Page ${count(before.length + 1)}</span>
      <button disabled=${data.next === null} onClick=${() => setBefore([...before, data.next])}>Older</button></nav>`}`}`;
}
