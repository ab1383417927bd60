// How the switch does, in ten seconds.

import { html } from '../lib/preact.js';
import { useLive } from '../live.js';
import { bytes, count, fixed, span, things } from '../format.js';
import { Bar, Card, Fault, Figure, Heading, Plot, State, Waiting } from '../parts.js';

const SOUNDS = ['best', 'good', 'fair', 'poor', 'bad'];
const WORDS = ['best', 'high', 'medium', 'low', 'bad'];

/** How many limits are shown: those nearest to their end. */
const LIMITS = 8;

function Sound({ overview }) {
  const heard = overview.mos.reduce((sum, one) => sum + one.calls, 0);
  if (heard === 0) return html`<p class="quiet">${overview.calls === 0 ? 'No call is up, so there is nothing to score.' : 'No voice was heard yet.'}</p>`;
  return html`<table class="bars"><caption class="hidden">Calls by mean opinion score</caption><tbody>
    ${overview.mos.map((one, n) => html`<tr key=${n}><th scope="row">${WORDS[n]}<small>${n < 4 ? ` from ${fixed(one.at_least, 2)}` : ` below ${fixed(overview.mos[n - 1].at_least, 2)}`}</small></th>
      <td><progress class=${SOUNDS[n]} max=${heard} value=${one.calls} aria-label=${`${WORDS[n]}: ${one.calls} of ${heard}`}></progress></td>
      <td class="num">${count(one.calls)}</td></tr>`)}
    </tbody></table>
    ${overview.unheard > 0 && html`<p class="quiet">${count(overview.unheard)} not heard yet.</p>`}`;
}

function Limits({ data }) {
  const limits = data.limits.filter(one => one.max_calls !== null);
  if (limits.length === 0) return html`<p class="quiet">No limit is configured. <code>[[limits]]</code> caps calls by peer, number or route.</p>`;
  const nearest = limits.toSorted((a, b) => b.used / b.max_calls - a.used / a.max_calls).slice(0, LIMITS);
  return html`${nearest.map(one => html`<${Bar} key=${one.name} label=${one.name} used=${one.used} most=${one.max_calls} note=${one.refused > 0 ? `${count(one.refused)} refused` : null} />`)}
    ${limits.length > LIMITS && html`<p class="quiet">${limits.length - LIMITS} more are less used.</p>`}`;
}

/** How busy each part is against the mark at which new calls are refused, and how many more calls fit. */
function Room({ capacity }) {
  const { forecast, mark_percent: mark } = capacity;
  const busy = [...capacity.threads.map(one => [`CPU of the ${one.thread} thread`, one.cpu_percent]), ['CPU quota of the process', capacity.cpu_quota_percent]];
  const peers = capacity.peers.filter(one => one.forecast).toSorted((a, b) => a.forecast.calls - b.forecast.calls);
  return html`
    ${capacity.refusing && html`<p class="ail"><strong>New calls are refused:</strong> ${capacity.refusing}</p>`}
    ${forecast ? html`<p class="forecast"><strong>${count(forecast.at_least)}${forecast.at_most > forecast.at_least && ` to ${count(forecast.at_most)}`}</strong> more calls</p><p class="quiet">${forecast.words}</p>`
      : html`<p class="quiet">Not known yet: ${capacity.why_not}.</p>`}
    <div class="below">${busy.filter(([, percent]) => percent !== null).map(([label, percent]) => html`<${Bar} key=${label} label=${label} used=${Math.round(percent)} most=${mark} note="%" full="overloaded" nearly="nearly overloaded" />`)}</div>
    ${peers.length > 0 && html`<table class="facts"><caption class="left">With those that have the least room</caption><tbody>${peers.slice(0, 5).map(one => html`<tr key=${one.peer}><th scope="row"><a href=${`#/peer/${encodeURIComponent(one.peer)}`}>${one.peer}</a></th><td class="num wrap">${things(one.calls, 'call')}, about ${count(one.forecast.calls)} more</td></tr>`)}</tbody></table>`}`;
}

/** The switches with the same database, and what this one has of the limits that they share. */
function Switches({ data, calls, limits }) {
  const shared = limits ? limits.limits.filter(one => one.shared !== null) : [];
  return html`
    ${data.cut_off !== null && html`<p class="ail"><strong>The database has not answered for ${span(data.cut_off_seconds)}:</strong> ${data.cut_off}</p>`}
    ${data.configuration_refused !== null && html`<p class="ail"><strong>Version ${data.configuration} of the shared configuration does not run here:</strong> ${data.configuration_refused}</p>`}
    <table class="facts switches"><caption class="hidden">Switches</caption><tbody>${data.switches.map(one => html`<tr key=${one.name} class=${one.state === 'dead' || one.state === 'cut_off' ? 'bad' : ''}><th scope="row">${one.name}${one.here && html`<small> here, ${things(calls, 'call')}</small>`}</th><td class="num">${one.configuration !== null && html`<small>configuration ${one.configuration} </small>`}<${State} is=${one.state} /></td></tr>`)}</tbody></table>
    ${shared.length > 0 && html`<table class="facts shared"><caption class="left">Slots of shared limits: here, and at the others</caption><tbody>${shared.slice(0, LIMITS).map(one => html`<tr key=${one.name}><th scope="row">${one.name}</th><td class="num">${count(one.shared.leased)} and ${count(one.shared.elsewhere)} of ${count(one.shared.max)}</td></tr>`)}</tbody></table>`}
    ${data.registered_elsewhere > 0 && html`<p class="quiet">${things(data.registered_elsewhere, 'peer')} registered at the others.</p>`}`;
}

export function Overview() {
  const { data: overview, error } = useLive('/v1/overview', { kinds: ['call_begun', 'call_answered', 'call_ended', 'refused'] });
  const { data: status } = useLive('/v1/status', { kinds: ['peer', 'registration_elsewhere', 'limit'] });
  const { data: limits } = useLive('/v1/limits', { kinds: ['limit'] });
  const { data: switches } = useLive('/v1/switches', { kinds: ['limit'], period: 3000 });
  const { data: capacity } = useLive('/v1/capacity', { kinds: ['overload'], period: 3000 });
  if (!overview) return html`<${Heading} title="Overview" />${error ? html`<${Fault} error=${error} />` : html`<${Waiting} />`}`;
  const { history, process, sockets } = overview;
  const recent = history.refused.slice(-30).reduce((sum, one) => sum + one, 0);
  const answered = overview.states.find(one => one.state === 'answered').calls;
  return html`
    <${Heading} title="Overview">${status && html`<span class="note">${status.ready ? 'takes calls' : 'takes no new calls'} · up ${span(status.uptime_seconds)} · ${status.version}${status.profile ? ` · ${status.profile}: encryption ${status.encryption}` : ''}</span>`}<//>
    <${Fault} error=${error} />
    ${status && status.troubles.length > 0 && html`<section class="troubles" aria-label="Needs you"><h2>Needs you</h2><ul>${status.troubles.map(one => html`<li key=${one}>${one}</li>`)}</ul></section>`}
    <dl class="figures">
      <${Figure} label="Calls now" value=${count(overview.calls)} unit=${overview.calls > 0 ? `${count(answered)} answered` : null} />
      <${Figure} label="Set-ups" value=${fixed(overview.begun_per_second)} unit="per s" />
      <${Figure} label="Refused, 5 min" value=${count(recent)} tone=${recent > 0 ? 'poor' : ''} />
      <${Figure} label="Not heard" value=${count(overview.one_way)} unit="legs" tone=${overview.one_way > 0 ? 'bad' : ''} />
      ${status && html`<${Figure} label="Peers" value=${count(status.peers)} unit=${status.peers_unreachable > 0 ? html`<span class="bad">${count(status.peers_unreachable)} not well</span>` : null} />`}
    </dl>
    <div class="cards even">
      <${Card} title="The last hour" wide>
        ${history.calls.length < 2 ? html`<p class="quiet">The first points come after twenty seconds.</p>` : html`
        <${Plot} label="Calls at once in the last hour" seconds=${history.seconds * history.calls.length} unit="calls"
          series=${[{ name: 'refused in 10 s', tone: 'bad', values: history.refused }, { name: 'calls', tone: 'accent', values: history.calls }]} />`}
      <//>
      <${Card} title="How calls sound" note="worst leg of each, MOS">
        <${Sound} overview=${overview} />
        ${overview.calls === 0 ? html`<p class="quiet">From another terminal: <code>oneport call 127.0.0.1/echo</code></p>` : html`
        <table class="facts"><caption class="hidden">Calls by state</caption><tbody>${overview.states.filter(one => one.calls > 0).map(one => html`<tr key=${one.state}><th scope="row"><${State} is=${one.state} /></th><td class="num">${count(one.calls)}</td></tr>`)}</tbody></table>`}
      <//>
      <${Card} title="Limits">${limits ? html`<${Limits} data=${limits} />` : html`<${Waiting} />`}<//>
      ${switches && switches.switches.length > 0 && html`<${Card} title="Switches"><${Switches} data=${switches} calls=${overview.calls} limits=${limits} /><//>`}
      <${Card} title="Room for more">${capacity ? html`<${Room} capacity=${capacity} />` : html`<${Waiting} />`}<//>
      <${Card} title="Process and sockets">
        <${Bar} label="CPU" used=${Math.round(process.cpu_percent)} most=${process.cores * 100} note="% of a core" />
        <table class="facts"><tbody>
          <tr><th scope="row">Answers within</th><td class="num">${fixed(process.lag_ms)} ms</td></tr>
          <tr><th scope="row">Memory at most</th><td class="num">${bytes(process.memory_peak_bytes)}</td></tr>
          <tr><th scope="row">Datagrams</th><td class="num">${count(Math.round(sockets.datagrams_per_second))} per s</td></tr>
          <tr class=${sockets.overflowed > 0 ? 'bad' : ''}><th scope="row">Lost to a full buffer</th><td class="num">${count(sockets.overflowed)}</td></tr>
          <tr><th scope="row">Frames dropped</th><td class="num">${count(sockets.dropped)}</td></tr>
          <tr><th scope="row">Frames sent again</th><td class="num">${count(sockets.retransmissions)}</td></tr>
        </tbody></table>
      <//>
    </div>`;
}
