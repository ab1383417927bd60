// How fast a peer has answered of late.

import { html } from './lib/preact.js';
import { useLive } from './live.js';
import { Plot } from './parts.js';

/** The graph of polls, oldest first. What was not answered is a mark at the foot. */
export function PollPlot({ name, polls, height }) {
  if (polls.length < 2) return html`<p class="quiet">The graph of its polls begins with the second one.</p>`;
  const marks = polls.filter(poll => poll.round_trip_ms === null).map(poll => poll.seconds_ago);
  marks.name = `${marks.length} not answered`;
  return html`<${Plot} label=${`Round trip of polls of ${name}`} unit="ms" height=${height} seconds=${Math.max(1, polls[0].seconds_ago)}
    ago=${polls.map(poll => poll.seconds_ago)} marks=${marks} series=${[{ name: 'round trip', tone: 'accent', values: polls.map(poll => poll.round_trip_ms) }]} />`;
}

/** The same, as the switch has it now. */
export function Polls({ name }) {
  const { data } = useLive(`/v1/peers/${encodeURIComponent(name)}`, { kinds: ['peer'], period: 5000 });
  return data && data.peer.state !== 'unmonitored' ? html`<${PollPlot} name=${name} polls=${data.polls} height=${60} />` : null;
}
