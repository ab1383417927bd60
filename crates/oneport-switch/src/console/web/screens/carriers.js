// Trunks and carriers: whether they are there, how full they are, and why calls were not taken.

import { html, useState } from '../lib/preact.js';
import { useLive } from '../live.js';
import { count, fixed, span, things } from '../format.js';
import { Polls } from '../polls.js';
import { Bar, Card, Empty, Fault, Heading, State, Waiting } from '../parts.js';

/** Refusals that are looked through for what a carrier has said. */
const REFUSALS = 500;

/** Cards of a page: each asks for its own polls. */
const PAGE = 24;

/** Reasons by which a destination turned calls away, the most frequent first. */
function reasons(refusals, name) {
  const found = new Map();
  for (const one of refusals) {
    if (one.destination !== `peer:${name}` && !one.destination?.startsWith(`peer:${name}/`)) continue;
    const why = `${one.cause === null ? '' : `${one.cause}: `}${one.why}`;
    found.set(why, (found.get(why) ?? 0) + 1);
  }
  return [...found].toSorted((a, b) => b[1] - a[1]);
}

/** Limits under which the peer of this name stands. */
function Limits({ names, limits }) {
  const own = limits.filter(one => one.max_calls !== null && names.includes(one.name));
  if (own.length === 0) return html`<p class="quiet">No limit is on it.</p>`;
  return own.map(one => html`<${Bar} key=${one.name} label=${one.name} used=${one.used} most=${one.max_calls} note=${`at most ${count(one.peak)} so far`} />`);
}

function Refused({ refusals, name }) {
  if (refusals === null || refusals.length === 0) return null;
  const found = reasons(refusals, name);
  if (found.length === 0) return html`<p class="quiet">None of the last ${count(refusals.length)} refusals was by it.</p>`;
  return html`<table class="facts"><caption class="left">Did not take</caption><tbody>${found.slice(0, 5).map(([why, times]) => html`<tr key=${why}><th scope="row">${why}</th><td class="num">${count(times)} ×</td></tr>`)}</tbody></table>`;
}

function Carrier({ carrier, peer, limits, refusals }) {
  return html`<${Card} title=${html`<a href=${`#/peer/carrier:${encodeURIComponent(carrier.name)}`}>${carrier.name}</a>`} note=${`SIP by ${carrier.transport}`}>
    <table class="facts"><tbody>
      <tr><th scope="row"><${State} is=${carrier.state} /></th><td class="num">${carrier.latency_ms === null ? '' : `${fixed(carrier.latency_ms)} ms, `}for ${span(carrier.since_seconds)}</td></tr>
      ${carrier.down && html`<tr class="bad"><th scope="row">No call can go there</th><td class="num wrap">${carrier.down}</td></tr>`}
      <tr><th scope="row">Host</th><td class="num wrap">${carrier.host}${carrier.addresses.length > 0 && html`<br /><small>${carrier.addresses.join(', ')}</small>`}</td></tr>
      ${carrier.registration && html`<tr><th scope="row">Our registration</th><td class="num"><${State} is=${carrier.registration} />${carrier.registration_failure && html`<br /><small class="bad">${carrier.registration_failure}</small>`}</td></tr>`}
      <tr><th scope="row">Calls in, out</th><td class="num">${count(carrier.calls_in)}, ${count(carrier.calls_out)}</td></tr>
      <tr><th scope="row">Turned away</th><td class="num">${count(carrier.turned_away)}</td></tr>
    </tbody></table>
    <${Polls} name=${`carrier:${carrier.name}`} />
    <${Limits} names=${peer?.limits ?? []} limits=${limits} /><${Refused} refusals=${refusals} name=${`carrier:${carrier.name}`} /><//>`;
}

function Trunk({ peer, limits, refusals }) {
  return html`<${Card} title=${html`<a href=${`#/peer/${encodeURIComponent(peer.name)}`}>${peer.name}</a>`} note=${peer.trunk ? 'IAX2 trunk' : 'IAX2'}>
    <table class="facts"><tbody>
      <tr><th scope="row"><${State} is=${peer.state} /></th><td class="num">${peer.latency_ms === null ? '' : `${fixed(peer.latency_ms)} ms`}</td></tr>
      <tr><th scope="row">Address</th><td class="num wrap">${peer.address ?? 'not known'}</td></tr>
      <tr><th scope="row">Calls in, out</th><td class="num">${count(peer.calls_in)}, ${count(peer.calls_out)}</td></tr>
    </tbody></table>
    <${Polls} name=${peer.name} />
    <${Limits} names=${peer.limits} limits=${limits} /><${Refused} refusals=${refusals} name=${peer.name} /><//>`;
}

/** A trunk is a peer that gets trunk frames, or one with an address of its own: it does not register. */
const isTrunk = peer => !peer.name.startsWith('carrier:') && (peer.trunk || !peer.registers);

export function Carriers() {
  const [page, setPage] = useState(0);
  const { data: carriers, error } = useLive('/v1/carriers', { kinds: ['peer', 'registration_elsewhere'], period: 2000 });
  const { data: peers } = useLive('/v1/peers?limit=1000', { kinds: ['peer'], period: 2000 });
  const { data: limits } = useLive('/v1/limits', { kinds: ['limit', 'refused'], period: 2000 });
  const { data: refusals } = useLive(`/v1/refusals?limit=${REFUSALS}`, { kinds: ['refused'], period: 10000 });
  if (!carriers || !peers || !limits) return html`<${Heading} title="Trunks and carriers" />${error ? html`<${Fault} error=${error} />` : html`<${Waiting} />`}`;
  const trunks = peers.peers.filter(isTrunk);
  const said = refusals?.records ?? null;
  const cards = [
    ...carriers.carriers.map(one => () => html`<${Carrier} key=${`carrier:${one.name}`} carrier=${one} peer=${peers.peers.find(peer => peer.name === `carrier:${one.name}`)} limits=${limits.limits} refusals=${said} />`),
    ...trunks.map(one => () => html`<${Trunk} key=${one.name} peer=${one} limits=${limits.limits} refusals=${said} />`),
  ];
  return html`
    <${Heading} title="Trunks and carriers"><span class="note">${things(trunks.length, 'trunk')}, ${things(carriers.carriers.length, 'carrier')}</span><//>
    <${Fault} error=${error} />
    ${trunks.length + carriers.carriers.length === 0 ? html`<${Empty} title="No trunk and no carrier is configured">Peers with an <code>address</code> or <code>trunk = true</code> are trunks; <code>[carriers.NAME]</code> is a carrier.<//>` : html`
    <div class="cards">${cards.slice(page * PAGE, (page + 1) * PAGE).map(card => card())}</div>
    ${cards.length > PAGE && html`<nav class="pages" aria-label="Pages">
      <button disabled=${page === 0} onClick=${() => setPage(page - 1)}>Before</button>
      <span>Page ${page + 1} of ${Math.ceil(cards.length / PAGE)}</span>
      <button disabled=${(page + 1) * PAGE >= cards.length} onClick=${() => setPage(page + 1)}>After</button></nav>`}`}`;
}
