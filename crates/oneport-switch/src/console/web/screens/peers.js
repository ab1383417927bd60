// Peers and registrations, here and elsewhere.

import { html, useState } from '../lib/preact.js';
import { query } from '../api.js';
import { useLive } from '../live.js';
import { count, fixed, span } from '../format.js';
import { Empty, Fault, Heading, State, Status, Waiting } from '../parts.js';

/** Peers of a page. */
const PAGE = 100;

const STATES = ['ok', 'lagged', 'unreachable', 'unknown', 'unmonitored'];

function Peer({ peer }) {
  // Its address among peers is that of the gateway to SIP; where it is stands on its own screen.
  const sip = peer.name.startsWith('carrier:');
  return html`<tr>
    <td data-label="Peer"><div class="leg"><a href=${`#/peer/${encodeURIComponent(peer.name)}`}><strong>${peer.name}</strong></a><small>${peer.codecs.join(', ')}</small></div></td>
    <td data-label="State"><${State} is=${peer.state} /></td>
    <td data-label="Latency" class="num">${peer.latency_ms === null ? '–' : `${fixed(peer.latency_ms)} ms`}</td>
    <td data-label="Address"><div class="leg">${sip ? html`<a href="#/carriers">by SIP</a>` : peer.address ?? html`<span class="quiet">${peer.registers ? 'not registered' : 'not known'}</span>`}
      ${peer.expires_seconds !== null && html`<small>registered for ${span(peer.expires_seconds)} more</small>`}</div></td>
    <td data-label="Calls in" class="num">${count(peer.calls_in)}</td>
    <td data-label="Calls out" class="num">${count(peer.calls_out)}</td>
    <td data-label="Ways" class=${sip ? 'nil' : ''}><small>${sip ? '' : [peer.trunk && 'trunk', peer.encryption !== 'off' && `encryption ${peer.encryption}`, peer.restricted && 'some networks only', peer.auth.join(' or ')].filter(Boolean).join(', ')}</small></td>
  </tr>`;
}

function Elsewhere({ data }) {
  if (data.elsewhere.length === 0) return html`<p class="quiet">This switch registers nowhere. <code>[[registrations]]</code> lets it.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Our registrations"><table class="list"><caption class="hidden">Our registrations</caption>
    <thead><tr><th scope="col">Registrar</th><th scope="col">As</th><th scope="col">State</th><th scope="col" class="num">For</th><th scope="col">Seen at</th></tr></thead>
    <tbody>${data.elsewhere.map(one => html`<tr key=${`${one.registrar} ${one.username}`}>
      <td data-label="Registrar">${one.registrar}</td><td data-label="As">${one.username}</td>
      <td data-label="State"><div class="leg"><${State} is=${one.state} />${one.failure && html`<small class="bad">${one.failure}</small>`}</div></td>
      <td data-label="For" class="num">${span(one.refresh_seconds)}</td><td data-label="Seen at">${one.apparent_address ?? '–'}</td></tr>`)}</tbody></table></div>`;
}

export function Peers() {
  const [state, setState] = useState('');
  const [before, setBefore] = useState([]);
  const after = before.at(-1) ?? '';
  const kinds = ['peer', 'registration', 'registration_elsewhere'];
  const { data, error } = useLive(`/v1/peers?${query({ state, after, limit: PAGE })}`, { kinds, period: 2000 });
  const { data: registrations } = useLive('/v1/registrations?limit=1', { kinds, period: 5000 });
  const choose = event => { setState(event.target.value); setBefore([]); };
  return html`
    <${Heading} title="Peers and registrations">${data && html`<${Status} text=${`${count(data.total)} ${state || 'peers'}${registrations ? `, ${count(registrations.total)} registered here` : ''}`} about=${state} />`}<//>
    <div class="tools"><label><span class="hidden">State</span><select value=${state} onChange=${choose}><option value="">All states</option>${STATES.map(one => html`<option key=${one} value=${one}>${one}</option>`)}</select></label></div>
    <${Fault} error=${error} />
    ${!data ? !error && html`<${Waiting} />` : data.total === 0 ? html`<${Empty} title=${state ? `No peer is ${state}` : 'No peer is configured'}>${state ? 'Choose another state.' : html`<code>[peers.NAME]</code> in the configuration makes one.`}<//>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Peers"><table class="list"><caption class="hidden">Peers</caption>
      <thead><tr><th scope="col">Peer</th><th scope="col">State</th><th scope="col" class="num">Latency</th><th scope="col">Address</th><th scope="col" class="num">Calls in</th><th scope="col" class="num">Calls out</th><th scope="col">Ways</th></tr></thead>
      <tbody>${data.peers.map(peer => html`<${Peer} key=${peer.name} peer=${peer} />`)}</tbody></table></div>
    ${(before.length > 0 || data.next) && html`<nav class="pages" aria-label="Pages">
      <button disabled=${before.length === 0} onClick=${() => setBefore(before.slice(0, -1))}>Before</button>
      <button disabled=${!data.next} onClick=${() => setBefore([...before, data.next])}>After</button></nav>`}`}
    <h2 class="section">Where this switch registers</h2>
    ${registrations && html`<${Elsewhere} data=${registrations} />`}`;
}
