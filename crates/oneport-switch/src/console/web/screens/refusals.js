// Why calls were refused: those alike are one row, with how often it was so.

import { html, useRef, useState } from '../lib/preact.js';
import { may, query } from '../api.js';
import { useLive } from '../live.js';
import { count, moment } from '../format.js';
import { Empty, Fault, Heading, Status, Waiting } from '../parts.js';

/** Refusals that are looked at. */
const NEWEST = 500;

const STAGES = ['opening', 'identification', 'acl', 'route', 'limit', 'destination', 'answer'];

/** Newest first; those of the same kind, rule, cause, peer and destination are folded. */
function folded(records) {
  const found = new Map();
  for (const one of records) {
    const key = [one.stage, one.kind, one.rule, one.cause, one.peer, one.destination, one.called_number].join('\n');
    const row = found.get(key);
    if (row) row.times += 1;
    else found.set(key, { ...one, key, times: 1 });
  }
  return [...found.values()];
}

/** What decided; whoever may see the configuration is led to its line. */
const Rule = ({ one, admin }) => html`<small>${one.rule === null ? one.kind.replaceAll('_', ' ')
  : admin ? html`<a href=${`#/configuration/${encodeURIComponent(one.rule)}`}>${one.rule}</a>` : one.rule}${one.value ? ` (${one.value})` : ''}</small>`;

function Row({ one, admin }) {
  return html`<tr>
    <td data-label="Last" class="when">${moment(one.at)}</td>
    <td data-label="Times" class="num">${one.times > 1 ? html`<span><strong>${count(one.times)}</strong> ×</span>` : '1 ×'}</td>
    <td data-label="From"><div class="leg"><strong>${one.calling_number ?? one.peer ?? 'a guest'}</strong><small>${one.calling_number ? one.peer ?? one.address : one.address}</small></div></td>
    <td data-label="To"><div class="leg"><strong>${one.called_number || '–'}</strong><small>${one.destination ?? ''}</small></div></td>
    <td data-label="By"><div class="leg">${one.stage}<${Rule} one=${one} admin=${admin} /></div></td>
    <td data-label="Why"><div class="leg">${one.cause !== null && html`<small>cause ${one.cause}${one.said ? `, “${one.said}”` : ''}</small>`}<span>${one.why}</span>
      ${one.fix && html`<small>${one.fix}</small>`}<a href=${`#/call/${one.call}`}>the call</a></div></td>
  </tr>`;
}

export function Refusals({ who }) {
  const [stage, setStage] = useState('');
  const [peer, setPeer] = useState('');
  const [number, setNumber] = useState('');
  const typed = useRef(null);
  const later = set => event => {
    const text = event.target.value.trim();
    clearTimeout(typed.current);
    typed.current = setTimeout(() => set(text), 250);
  };
  const { data, error } = useLive(`/v1/refusals?${query({ stage, peer, number, limit: NEWEST })}`, { kinds: ['refused'], period: 5000 });
  const { data: counts } = useLive('/v1/refusals/counts', { kinds: ['refused'], period: 5000 });
  return html`
    <${Heading} title="Refusals">${data && html`<${Status} text=${data.next ? `the newest ${count(data.records.length)}` : `${count(data.records.length)} refused`} about=${[stage, peer, number].join(' ')} />`}<//>
    <div class="tools">
      <label class="grow"><span class="hidden">Number</span><input type="search" placeholder="Number, or how it begins: 1212*   ( / )" onInput=${later(setNumber)} /></label>
      <label><span class="hidden">Peer</span><input placeholder="Peer" onInput=${later(setPeer)} /></label>
      <label><span class="hidden">Stage</span><select value=${stage} onChange=${event => setStage(event.target.value)}><option value="">All stages</option>${STAGES.map(one => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
    </div>
    <${Fault} error=${error} />
    ${!data ? !error && html`<${Waiting} />` : data.records.length === 0 ? html`<${Empty} title=${stage || peer || number ? 'No refusal fits' : 'Nothing was refused'}>${stage || peer || number ? 'Take a filter away.' : 'A call that is turned away appears here, with the rule or limit that did it and what mends it.'}<//>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Refusals"><table class="list"><caption class="hidden">Refusals</caption>
      <thead><tr><th scope="col">Last</th><th scope="col" class="num">Times</th><th scope="col">From</th><th scope="col">To</th><th scope="col">By</th><th scope="col">Why</th></tr></thead>
      <tbody>${folded(data.records).map(one => html`<${Row} key=${one.key} one=${one} admin=${may(who, 'admin')} />`)}</tbody></table></div>`}
    ${counts && counts.length > 0 && html`<h2 class="section">Since the store was made</h2>
      <div class="card"><table class="facts"><tbody>${counts.slice(0, 12).map(one => html`<tr key=${one.stage + one.kind}><th scope="row">${one.stage}: ${one.kind.replaceAll('_', ' ')}</th><td class="num">${count(one.count)}</td></tr>`)}</tbody></table></div>`}`;
}
