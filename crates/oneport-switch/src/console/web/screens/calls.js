// Calls that are up: the switch searches and sorts, and gives the rows of a page, so that thousands of calls are
// as light as ten.

import { html, useRef, useState } from '../lib/preact.js';
import { useActions } from '../actions.js';
import { query } from '../api.js';
import { useLive } from '../live.js';
import { clock, count, fixed } from '../format.js';
import { Empty, Fault, Heading, Mos, Sort, Spark, State, Status, Waiting } from '../parts.js';

/** Rows of a page. */
const ROWS = 50;

const STATES = ['answered', 'ringing', 'calling', 'dialling', 'identifying', 'parked'];

/** The worse of two scores, of which either may be missing. */
const worse = (a, b) => (a === null ? b : b === null ? a : Math.min(a, b));

function Leg({ leg, number, name }) {
  return html`<div class="leg"><strong>${number || leg?.who || name}</strong>
    <small>${number ? `${leg?.who ?? name ?? ''}` : ''}${leg?.codec ? ` ${leg.codec}` : ''}${leg?.encrypted ? ' encrypted' : ''}</small></div>`;
}

/** The same figure of both sides. Who is rung together with others is not told apart. */
function Both({ call, show }) {
  const [called] = call.called;
  return html`<dl class="both"><div><dt>caller</dt><dd>${show(call.caller)}</dd></div>
    ${called && html`<div><dt>called</dt><dd>${call.called.length > 1 ? `${call.called.length} ring` : show(called)}</dd></div>`}</dl>`;
}

const score = leg => html`<${Mos} value=${worse(leg.mos_here, leg.mos_there)} />`;

const greatest = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));
const lost = leg => {
  const loss = greatest(leg.loss_percent, leg.loss_percent_there);
  return loss === null ? '–' : html`<span class=${loss >= 5 ? 'bad' : loss >= 1 ? 'poor' : ''}>${fixed(loss)} %</span> <${Spark} values=${leg.losses} />`;
};

/** What actions need to know of a row. */
const acted = call => ({
  id: call.id,
  from: call.calling_number ?? call.caller.who,
  to: call.number,
  // What an older process has can be hung up, and no more.
  answered: call.state === 'answered' && !call.process,
  bridged: call.called.length === 1,
});

function Row({ call, buttons }) {
  const [called] = call.called;
  const trouble = call.caller.trouble ?? called?.trouble;
  return html`<tr class=${trouble ? 'ill' : ''}>
    <td data-label="State"><${State} is=${call.state} /><div class="marks">${call.recorded && html`<span>recorded</span>`}${call.listened && html`<span>listened to</span>`}${call.transcoded && html`<span>transcoded</span>`}${call.process && html`<span>process ${call.process}</span>`}</div></td>
    <td data-label="From"><${Leg} leg=${call.caller} number=${call.calling_number} /></td>
    <td data-label="To"><${Leg} leg=${called} number=${call.number} name=${call.destination} /></td>
    <td data-label="MOS"><${Both} call=${call} show=${score} /></td>
    <td data-label="Loss"><${Both} call=${call} show=${lost} /></td>
    <td data-label="Time" class="num">${clock(call.seconds)}</td>
    <td class="act">${trouble && html`<span class="trouble" title=${trouble}>!<span class="hidden"> ${trouble}</span></span>`}
      <a class="more" href=${`#/call/${call.id}`} aria-label=${`More of the call to ${call.number}`}>More</a> ${buttons(acted(call), true)}</td>
  </tr>`;
}

export function Calls({ who }) {
  const [search, setSearch] = useState('');
  const [state, setState] = useState('');
  const [sort, setSort] = useState({ by: 'age', down: false });
  const [page, setPage] = useState(0);
  const [fault, setFault] = useState(null);
  const typed = useRef(null);
  const path = `/v1/calls/table?${query({ search, state, sort: sort.by, descending: sort.down, offset: page * ROWS, limit: ROWS })}`;
  const { data, error, again } = useLive(path, { kinds: ['call_begun', 'call_ringing', 'call_answered', 'call_ended', 'call_choppy', 'call_one_way'] });
  const type = event => {
    const text = event.target.value;
    clearTimeout(typed.current);
    typed.current = setTimeout(() => { setSearch(text); setPage(0); }, 200);
  };
  const sortBy = next => { setSort(next); setPage(0); };
  const { buttons, dialog } = useActions({ who, done: again, failed: setFault });
  const pages = data ? Math.max(1, Math.ceil(data.total / ROWS)) : 1;
  const head = (by, label, number) => html`<${Sort} by=${by} label=${label} sort=${sort} set=${sortBy} number=${number} />`;
  return html`
    <${Heading} title="Calls">${data && html`<${Status} text=${data.total === data.up ? `${count(data.up)} up` : `${count(data.total)} of ${count(data.up)}`} about=${search + state} />`}<//>
    <div class="tools">
      <label class="grow"><span class="hidden">Search</span><input type="search" placeholder="Number, peer, address or id   ( / )" onInput=${type} /></label>
      <label><span class="hidden">State</span><select value=${state} onChange=${event => { setState(event.target.value); setPage(0); }}><option value="">All states</option>${STATES.map(one => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
    </div>
    <${Fault} error=${fault ?? error} />
    ${!data ? !error && html`<${Waiting} />` : data.up === 0 ? html`<${Empty} title="No call is up">Calls appear here as they come. To place one: <code>oneport call 127.0.0.1/echo</code><//>`
      : data.total === 0 ? html`<${Empty} title="No call fits">Of ${count(data.up)} calls none has that number, name or state.<//>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Calls"><table class="list calls"><caption class="hidden">Calls that are up</caption>
      <thead><tr>${head('state', 'State')}${head('from', 'From')}${head('number', 'To')}${head('mos', 'MOS')}${head('loss', 'Loss')}${head('age', 'Time', true)}<th scope="col"><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${data.rows.map(call => html`<${Row} key=${call.id} call=${call} buttons=${buttons} />`)}</tbody></table></div>
    ${pages > 1 && html`<nav class="pages" aria-label="Pages">
      <button disabled=${page === 0} onClick=${() => setPage(page - 1)}>Earlier</button>
      <span>Page ${page + 1} of ${pages}</span>
      <button disabled=${page + 1 >= pages} onClick=${() => setPage(page + 1)}>Later</button></nav>`}`}
    ${dialog}`;
}
