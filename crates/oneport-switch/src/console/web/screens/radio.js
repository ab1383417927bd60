// Radio nodes: who is linked with whom, and who is keyed.

import { html, useEffect, useState } from '../lib/preact.js';
import { useLive } from '../live.js';
import { count, fixed, span, things } from '../format.js';
import { Card, Empty, Fault, Heading, State, Status, Waiting } from '../parts.js';

/** Nodes that the drawing shows; the table has all of them. */
const MOST = 60;

/** The least size of the drawing; it grows with what is in it. Of a phone it is a tall one. */
const WIDE = { width: 900, height: 420 };
const TALL = { width: 440, height: 420 };

/** Room that a node takes beside its neighbours: across, and down. */
const ACROSS = 94;
const DOWN = 34;

const KEYED = { frames: 'KEY and UNKEY', voice: 'its voice', report: 'what it said' };

/** Whether the page is as narrow as a phone. */
function useNarrow() {
  const query = matchMedia('(max-width: 700px)');
  const [narrow, set] = useState(query.matches);
  useEffect(() => {
    const changed = event => set(event.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return narrow;
}

/**
 * Nodes of calls that tell of others are hubs, in the middle; around them are all others, each beside the first hub with
 * which it is linked. Where they have no room side by side they stand in two rows or three.
 */
function places(nodes, links, least) {
  const calls = new Set(nodes.filter(one => one.call).map(one => one.node));
  const ends = links.flatMap(one => [[one.from, one.to], [one.to, one.from]]);
  const hubs = nodes.filter(one => one.call && ends.some(([from, to]) => from === one.node && !calls.has(to))).map(one => one.node);
  const hub = new Map(nodes.map(one => [one.node, ends.find(([from, to]) => from === one.node && hubs.includes(to))?.[1]]));
  const around = nodes.filter(one => !hubs.includes(one.node)).map(one => one.node).toSorted((a, b) => hubs.indexOf(hub.get(a)) - hubs.indexOf(hub.get(b)));
  const rows = Math.min(3, Math.ceil((around.length * ACROSS) / (Math.PI * (least.width - ACROSS))));
  const height = Math.max(least.height, Math.ceil((around.length / Math.max(1, rows)) * DOWN * 0.75) + rows * 60);
  const at = new Map();
  const put = (node, turn, share) => at.set(node, {
    x: least.width / 2 + Math.cos(turn) * share * (least.width - ACROSS) / 2,
    y: height / 2 + Math.sin(turn) * share * (height - DOWN) / 2,
  });
  const turn = place => (2 * Math.PI * place) / Math.max(1, around.length) - Math.PI / 2;
  around.forEach((node, place) => put(node, turn(place), 0.96 - (place % Math.max(1, rows)) * 0.2));
  hubs.forEach((node, place) => {
    const own = around.flatMap((one, n) => (hub.get(one) === node ? [n] : []));
    const middle = own.length > 0 ? own.reduce((sum, n) => sum + n, 0) / own.length : place;
    put(node, turn(middle), hubs.length === 1 ? 0 : 0.42);
  });
  return { at, ...least, height };
}

function Graph({ radio }) {
  // Nodes of calls come first, so that none of them is left out for one that is told of.
  const shown = [...radio.nodes.filter(one => one.call), ...radio.nodes.filter(one => !one.call)].slice(0, MOST);
  const names = new Set(shown.map(one => one.node));
  const links = radio.links.filter(one => names.has(one.from) && names.has(one.to));
  const { at, width, height } = places(shown, links, useNarrow() ? TALL : WIDE);
  const keyed = radio.nodes.filter(one => one.keyed).map(one => one.node);
  const summary = `${things(radio.nodes.length, 'node')}, ${things(radio.links.length, 'link')}, ${keyed.length > 0 ? `keyed: ${keyed.join(', ')}` : 'nobody is keyed'}. The table below says the same.`;
  return html`<figure class="radio">
    <svg viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${summary}>
      ${links.map(one => html`<line key=${`${one.from} ${one.to}`} class=${one.call ? 'here' : one.mode} x1=${at.get(one.from).x} y1=${at.get(one.from).y} x2=${at.get(one.to).x} y2=${at.get(one.to).y} />`)}
      ${shown.map(one => html`<g key=${one.node} class=${`${one.call ? 'here' : 'told'} ${one.keyed ? 'keyed' : ''}`} transform=${`translate(${at.get(one.node).x} ${at.get(one.node).y})`}>
        <rect x="-44" y="-14" width="88" height="28" rx="14" /><text>${one.keyed ? '▶ ' : ''}${one.node.length > 9 ? `${one.node.slice(0, 8)}…` : one.node}</text></g>`)}
    </svg>
    <figcaption><span class="legend"><span class="accent"><i aria-hidden="true"></i>a call through here</span><span class="none"><i aria-hidden="true"></i>as a node tells</span></span>
      ${radio.nodes.length > shown.length && html`<span>${count(radio.nodes.length - shown.length)} more are in the table alone.</span>`}</figcaption>
  </figure>`;
}

function Node({ node, links }) {
  const others = links.filter(one => one.from === node.node || one.to === node.node).map(one => (one.from === node.node ? one.to : one.from));
  return html`<tr>
    <td data-label="Node"><div class="leg"><strong>${node.node}</strong>${node.peer && html`<small>${node.peer}</small>`}</div></td>
    <td data-label="Keyed" class=${node.keyed === null ? 'nil' : ''}><div class="leg">${node.keyed === null ? html`<span class="quiet">not known</span>` : html`<${State} is=${node.keyed ? 'keyed' : 'idle'} />`}
      ${node.keyed !== null && html`<small>${node.for_seconds !== null && `for ${span(node.for_seconds)}, `}by ${KEYED[node.keyed_by] ?? node.keyed_by}</small>`}</div></td>
    <td data-label="Times" class=${`num ${node.times === null ? 'nil' : ''}`}>${node.times === null ? '–' : count(node.times)}</td>
    <td data-label="In all" class=${`num ${node.keyed_seconds === null ? 'nil' : ''}`}>${node.keyed_seconds === null ? '–' : `${fixed(node.keyed_seconds, 1)} s`}</td>
    <td data-label="Linked with" class="wrap">${others.slice(0, 12).join(', ') || '–'}${others.length > 12 && ` and ${count(others.length - 12)} more`}</td>
    <td data-label="Said last" class=${`wrap ${node.said === null ? 'nil' : ''}`}>${node.said ?? '–'}</td>
    <td data-label="Call">${node.call ? html`<a href=${`#/call/${node.call}`}>Look<span class="hidden"> at the call of ${node.node}</span></a>` : html`<span class="quiet">told of</span>`}</td>
  </tr>`;
}

export function Radio() {
  const { data: radio, error } = useLive('/v1/radio', { kinds: ['radio_keyed', 'radio_links', 'radio_text', 'call_answered', 'call_ended'] });
  const { data: status } = useLive('/v1/status', { period: 10000 });
  const clear = status && status.encryption === 'off';
  return html`
    <${Heading} title="Radio">${radio && html`<${Status} text=${`${things(radio.nodes.length, 'node')}, ${count(radio.keyed)} keyed`} />`}
      ${status && html`<span class="note">encryption ${status.encryption}${status.profile ? `, profile ${status.profile}` : ''}${clear ? '' : ': not for the air'}</span>`}<//>
    <${Fault} error=${error} />
    ${!radio ? !error && html`<${Waiting} />` : radio.nodes.length === 0 ? html`<${Empty} title="No node is linked">A call whose end sends KEY, UNKEY or a text of <code>app_rpt</code> is one, and so are those it tells of.<//>` : html`
    <${Card} title="Who is linked with whom" wide><${Graph} radio=${radio} /><//>
    <h2 class="section">Nodes</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Nodes"><table class="list"><caption class="hidden">Nodes</caption>
      <thead><tr><th scope="col">Node</th><th scope="col">Keyed</th><th scope="col" class="num">Times</th><th scope="col" class="num">In all</th><th scope="col">Linked with</th><th scope="col">Said last</th><th scope="col">Call</th></tr></thead>
      <tbody>${radio.nodes.map(node => html`<${Node} key=${node.node} node=${node} links=${radio.links} />`)}</tbody></table></div>
    ${radio.left_out > 0 && html`<p class="quiet below">${things(radio.left_out, 'node')} more had no room.</p>`}`}`;
}
