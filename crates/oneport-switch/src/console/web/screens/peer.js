// One peer: where it is, how fast it answers, how full it is, and what was refused to it.

import { html } from '../lib/preact.js';
import { may, query } from '../api.js';
import { useLive } from '../live.js';
import { count, fixed, moment, span } from '../format.js';
import { Bar, Card, Fault, Heading, State, Waiting } from '../parts.js';
import { PollPlot } from '../polls.js';

/** Refusals that are shown. */
const NEWEST = 10;

export function Peer({ who, at: [name] }) {
  const { data, error } = useLive(`/v1/peers/${encodeURIComponent(name)}`, { kinds: ['peer', 'registration', 'call_begun', 'call_ended'] });
  const { data: limits } = useLive('/v1/limits', { kinds: ['limit'] });
  const { data: refusals } = useLive(`/v1/refusals?${query({ peer: name, limit: NEWEST })}`, { kinds: ['refused'], period: 5000 });
  const { data: capacity } = useLive('/v1/capacity', { period: 5000 });
  if (!data) return html`<${Heading} title=${name} />${error ? html`<${Fault} error=${error} /><p><a href="#/peers">All peers</a></p>` : html`<${Waiting} />`}`;
  const { peer, polls } = data;
  const own = limits?.limits.filter(one => one.max_calls !== null && peer.limits.includes(one.name)) ?? [];
  const room = capacity?.peers.find(one => one.peer === name);
  // Among peers a carrier has the address of the gateway to SIP, and proves itself to that.
  const sip = name.startsWith('carrier:');
  const configured = sip ? `carriers.${name.slice(8)}` : `peers.${name}`;
  return html`
    <${Heading} title=${name}><${State} is=${peer.state} />
      ${may(who, 'admin') && html`<a class="note" href=${`#/configuration/${encodeURIComponent(configured)}`}>in the configuration</a>`}
      ${may(who, 'operator') && html`<a class="note" href=${`#/log/peer/${encodeURIComponent(name)}`}>in the log</a>`}<//>
    <${Fault} error=${error} />
    <div class="cards">
      <${Card} title="Polls" note=${peer.latency_ms === null ? null : `${fixed(peer.latency_ms)} ms`} wide>
        ${peer.state === 'unmonitored' ? html`<p class="quiet">It is not polled: <code>qualify</code> is off.</p>` : html`<${PollPlot} name=${name} polls=${polls} />`}<//>
      <${Card} title="Now"><table class="facts keys"><tbody>
        <tr><th scope="row">Address</th><td class="num wrap">${sip ? html`<a href="#/carriers">by SIP</a>` : peer.address ?? (peer.registers ? 'not registered' : 'not known')}</td></tr>
        ${peer.expires_seconds !== null && html`<tr><th scope="row">Registered for</th><td class="num">${span(peer.expires_seconds)} more</td></tr>`}
        <tr><th scope="row">Calls in, out</th><td class="num">${count(peer.calls_in)}, ${count(peer.calls_out)}</td></tr>
        <tr><th scope="row">Codecs</th><td class="num wrap">${peer.codecs.join(', ')}</td></tr>
        <tr><th scope="row">Contexts</th><td class="num wrap">${peer.contexts.join(', ')}</td></tr>
        ${!sip && html`<tr><th scope="row">Proves itself by</th><td class="num wrap">${peer.auth.join(' or ') || 'its address'}</td></tr>
        <tr><th scope="row">Trunk frames</th><td class="num">${peer.trunk ? 'yes' : 'no'}</td></tr>
        <tr><th scope="row">Encryption</th><td class="num">${peer.encryption}</td></tr>`}
        ${!sip && peer.restricted && html`<tr><th scope="row">Comes from</th><td class="num">some networks only</td></tr>`}
      </tbody></table><//>
      <${Card} title="Limits">${own.length === 0 ? html`<p class="quiet">No limit is on it.</p>` : own.map(one => html`<${Bar} key=${one.name} label=${one.name} used=${one.used} most=${one.max_calls} note=${`at most ${count(one.peak)} so far`} />`)}
        ${room && html`<p class="quiet">${room.forecast?.words ?? room.why_not}</p>`}<//>
      <${Card} title="Refused of late" note=${refusals?.records.length > 0 ? 'calls from it' : null}>
        ${!refusals ? html`<${Waiting} />` : refusals.records.length === 0 ? html`<p class="quiet">No call from it was refused.</p>` : html`
        <table class="facts"><caption class="hidden">Refused of late</caption><tbody>${refusals.records.map(one => html`<tr key=${`${one.call} ${one.number}`}><th scope="row">${moment(one.at)}</th><td><a href=${`#/call/${one.call}`}>${one.called_number || 'no number'}</a>: ${one.why}</td></tr>`)}</tbody></table>`}<//>
    </div>`;
}
